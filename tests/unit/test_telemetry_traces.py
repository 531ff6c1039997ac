"""Trace context: what is written is read back, what is broken is ignored."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbell.model.traces import (
    TraceParent,
    new_trace_id,
    node_span_id,
    node_traceparent,
    parse_traceparent,
    span_id_of,
    trace_id_of,
)

pytestmark = [pytest.mark.unit, pytest.mark.property]

_TRACE, _SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
trace_ids = st.integers(1, 2**128 - 1).map(lambda number: f"{number:032x}")
span_ids = st.integers(1, 2**64 - 1).map(lambda number: f"{number:016x}")


@given(trace_id=trace_ids, span_id=span_ids, is_sampled=st.booleans())
def test_a_written_header_is_read_back(trace_id: str, span_id: str, is_sampled: bool) -> None:
    parent = TraceParent(trace_id=trace_id, span_id=span_id, is_sampled=is_sampled)
    assert parse_traceparent(str(parent)) == parent


@given(st.text(max_size=70))
def test_reading_never_raises(text: str) -> None:
    parse_traceparent(text)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        f"ff-{_TRACE}-{_SPAN}-01",
        f"00-{'0' * 32}-{_SPAN}-01",
        f"00-{_TRACE}-{'0' * 16}-01",
        f"00-{_TRACE.upper()}-{_SPAN}-01",
        f"00-{_TRACE}-{_SPAN}-01-more",
        f"00-{_TRACE}-{_SPAN}",
    ],
)
def test_a_broken_header_is_no_header(header: str | None) -> None:
    assert parse_traceparent(header) is None


def test_a_later_version_is_read_as_far_as_this_one_goes() -> None:
    read = parse_traceparent(f"cc-{_TRACE}-{_SPAN}-01-what-the-future-holds")
    assert read == TraceParent(trace_id=_TRACE, span_id=_SPAN)


def test_only_the_lowest_flag_samples() -> None:
    unsampled = parse_traceparent(f"00-{_TRACE}-{_SPAN}-02")
    assert unsampled is not None
    assert not unsampled.is_sampled


@given(st.integers(0, 2**128 - 1))
def test_a_new_trace_id_is_never_the_forbidden_zero(bits: int) -> None:
    trace_id = new_trace_id(lambda count: bits % 2**count)
    assert re.fullmatch("[0-9a-f]{32}", trace_id)
    assert int(trace_id, 16) == (bits or 1)


@given(one=st.text(), other=st.text())
def test_ids_follow_from_what_they_name(one: str, other: str) -> None:
    assert re.fullmatch("[0-9a-f]{16}", span_id_of(one))
    assert re.fullmatch("[0-9a-f]{32}", trace_id_of(one))
    assert (span_id_of(one) == span_id_of(other)) == (one == other)


def test_a_worker_gets_the_span_of_its_attempt_as_parent() -> None:
    header = node_traceparent(_TRACE, "run_1", "fetch", 2)
    span_id = node_span_id("run_1", "fetch", 2)
    assert parse_traceparent(header) == TraceParent(trace_id=_TRACE, span_id=span_id)
    assert span_id != node_span_id("run_1", "fetch", 3)
