from __future__ import annotations

import dataclasses
from types import MappingProxyType

import pytest
from doubles import story
from hypothesis import given
from hypothesis import strategies as st

from openbell.history.durable import DURABLE_EVENTS
from openbell.model import events as ev
from openbell.model.bodies import decode_body, encode_event, encode_plain, keep_lines
from openbell.model.runs import LogLine

pytestmark = pytest.mark.unit


def test_every_durable_event_is_one_that_history_knows() -> None:
    def subclasses(kind: type[ev.Event]) -> set[type[ev.Event]]:
        found = {
            sub for sub in kind.__subclasses__() if sub.__module__.startswith("openbell.model.")
        }
        return found.union(*(subclasses(sub) for sub in found))

    durable = {kind for kind in subclasses(ev.Event) if kind.durable and kind.name}
    assert {kind.name for kind in durable} == {kind.name for kind in DURABLE_EVENTS}


@pytest.mark.parametrize("event", story.whole_run(), ids=lambda event: str(event.name))
def test_a_body_has_every_field_of_its_event_as_plain_json(event: ev.Event) -> None:
    body = decode_body(encode_event(event))
    assert set(body) == {field.name for field in dataclasses.fields(event)}
    assert body["at"] == event.at.isoformat().replace("+00:00", "Z")


def test_mappings_of_any_kind_become_objects() -> None:
    assert encode_plain(MappingProxyType({"a": (1, MappingProxyType({}))})) == '{"a":[1,{}]}'


def test_sequences_of_any_kind_become_lists() -> None:
    assert encode_plain({"days": range(3)}) == '{"days":[0,1,2]}'


def test_what_is_no_plain_value_is_named() -> None:
    with pytest.raises(TypeError, match="object has no place in an event"):
        encode_plain({"a": object()})


def _lines(sizes: list[int]) -> list[LogLine]:
    return [LogLine(at=story.START, stream="stdout", level="info", text="x" * n) for n in sizes]


@given(
    chunks=st.lists(st.lists(st.integers(0, 200), max_size=8), max_size=10),
    limit=st.integers(1, 1500),
)
def test_an_attempts_log_stays_in_its_bound_and_says_once_where_it_ends(
    chunks: list[list[int]], limit: int
) -> None:
    used, dropped = 0, 0
    kept: list[LogLine] = []
    for sizes in chunks:
        result = keep_lines(_lines(sizes), used_bytes=used, limit_bytes=limit)
        used += result.size_bytes
        kept += result.lines
        dropped += result.dropped_count
    marks = [line for line in kept if line.text.startswith("truncated")]
    assert len(marks) == (1 if dropped else 0)
    assert kept[-1:] == marks or not marks
    assert len(kept) - len(marks) + dropped == sum(len(sizes) for sizes in chunks)
    assert sum(len(line.text) for line in kept if line not in marks) <= limit
