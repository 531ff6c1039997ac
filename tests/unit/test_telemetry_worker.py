"""What a node's code learns of its trace."""

from __future__ import annotations

import pytest
from opentelemetry import trace

from openbell.model.traces import node_traceparent, parse_traceparent
from openbell.telemetry.worker import worker_tracing

pytestmark = pytest.mark.unit

HEADER = node_traceparent("4bf92f3577b34da6a3ce929d0e0e4736", "run_1", "fetch", 1)


def test_code_inside_sees_its_parent_and_code_outside_does_not() -> None:
    env = {"TRACEPARENT": "outer", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}
    with worker_tracing(HEADER, env):
        assert env["TRACEPARENT"] == HEADER
        current = trace.get_current_span().get_span_context()
        parent = parse_traceparent(HEADER)
        assert parent is not None
        assert f"{current.trace_id:032x}" == parent.trace_id
        assert f"{current.span_id:016x}" == parent.span_id
        assert current.is_remote
    assert env["TRACEPARENT"] == "outer"
    assert not trace.get_current_span().get_span_context().is_valid


def test_the_variable_goes_again_even_when_the_task_fails() -> None:
    env: dict[str, str] = {}
    with pytest.raises(ZeroDivisionError), worker_tracing(HEADER, env):
        assert 1 / 0
    assert env == {}


@pytest.mark.parametrize("header", ["", "nonsense"])
def test_a_task_without_a_trace_changes_nothing(header: str) -> None:
    env = {"TRACEPARENT": "outer"}
    with worker_tracing(header, env):
        assert env == {"TRACEPARENT": "outer"}
