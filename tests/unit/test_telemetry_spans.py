"""From events to spans: which there are, whose children they are, and when they were."""

from __future__ import annotations

import pytest
from doubles import story
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from openbell.model import events as ev
from openbell.model.runs import NodeState, RunState, Totals
from openbell.model.traces import node_span_id, span_id_of, trace_id_of
from openbell.sdk.values import to_us
from openbell.telemetry import names
from openbell.telemetry.known_runs import KnownRuns
from openbell.telemetry.redact import MASK, Redactor
from openbell.telemetry.spans import Spans

pytestmark = pytest.mark.unit

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"


class _Traced:
    """Spans made from a story."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self._spans = Spans(SimpleSpanProcessor(self.exporter), redact=Redactor(["hunter22"]).text)
        self._runs = KnownRuns()

    def tell(self, *events: ev.Event) -> list[ReadableSpan]:
        """Return the spans that `events` ended, in the order of their ends."""
        self.exporter.clear()
        for event in events:
            run = self._runs.of(event)
            if run is not None:
                self._spans.see(event, run)
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def traced() -> _Traced:
    return _Traced()


def begun(node: str = "fetch", attempt: int = 1, *, at_s: float = 2.0) -> ev.NodeChanged:
    return story.node(node, NodeState.RUNNING, attempt=attempt, at=story.after(at_s))


def ended(
    node: str, state: NodeState = NodeState.SUCCESS, *, at_s: float = 8.0, error_kind: str = ""
) -> ev.NodeChanged:
    return story.node(
        node,
        state,
        attempt=1,
        at=story.after(at_s),
        error_kind=error_kind,
        error="went wrong with hunter22" if error_kind else "",
        totals=Totals(verdict="warn") if node == "check" else None,
    )


def batch(next_chunk: int, *, at_s: float) -> ev.BatchCommitted:
    return ev.BatchCommitted(
        at=story.after(at_s),
        run_id="run_1",
        pipeline="eod",
        node="fetch",
        next_chunk=next_chunk,
        cursor=None,
        totals={},
        receipts={"publish": story.receipt(rows=100)},
        write_duration_s=0.25,
    )


def ids(span: ReadableSpan) -> tuple[str, str, str | None]:
    assert span.context is not None
    parent = f"{span.parent.span_id:016x}" if span.parent else None
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}", parent


def us(span: ReadableSpan) -> tuple[int, int]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time // 1000, span.end_time // 1000


def test_a_run_its_nodes_and_its_batches_form_one_tree(traced: _Traced) -> None:
    first, second, fetch, check, run = traced.tell(
        story.submitted(trace_id=TRACE),
        story.started(),
        begun("fetch"),
        begun("check"),
        batch(1, at_s=4),
        batch(2, at_s=6),
        story.attempt_finished(),
        ended("fetch"),
        ended("check"),
        story.finished(),
    )
    node_id = node_span_id("run_1", "fetch", 1)
    assert ids(run) == (TRACE, span_id_of("run_1"), None)
    assert ids(fetch) == (TRACE, node_id, span_id_of("run_1"))
    assert ids(check)[2] == span_id_of("run_1")
    assert {ids(first)[2], ids(second)[2]} == {node_id}
    assert len({ids(span)[1] for span in (first, second, fetch, check, run)}) == 5
    assert (run.name, fetch.name, first.name) == ("RUN eod", "execute node", "commit output")
    assert (run.kind, fetch.kind) == (SpanKind.SERVER, SpanKind.INTERNAL)


def test_spans_last_as_long_as_what_they_trace(traced: _Traced) -> None:
    first, second, fetch, run = traced.tell(
        story.submitted(trace_id=TRACE),
        story.started(at_s=1),
        begun("fetch", at_s=2),
        batch(1, at_s=4),
        batch(2, at_s=6),
        ended("fetch", at_s=8),
        story.finished(at_s=9),
    )
    at = [to_us(story.after(second)) for second in range(10)]
    assert us(run) == (at[1], at[9])
    assert us(fetch) == (at[2], at[8])
    assert us(first) == (at[2], at[4])
    assert us(second) == (at[4], at[6])


def test_attributes_follow_the_conventions_and_are_all_in_the_table(traced: _Traced) -> None:
    committed, fetch, check, run = traced.tell(
        story.submitted(trace_id=TRACE),
        begun("fetch"),
        begun("check"),
        batch(1, at_s=4),
        story.attempt_finished(),
        ended("fetch"),
        ended("check"),
        story.finished(),
    )
    assert run.attributes == {
        names.PIPELINE_NAME: "eod",
        names.PIPELINE_ACTION: "RUN",
        names.PIPELINE_RUN_ID: "run_1",
        names.PIPELINE_RESULT: "success",
        names.MODE: "backfill",
    }
    assert fetch.attributes == {
        names.PIPELINE_NAME: "eod",
        names.PIPELINE_RUN_ID: "run_1",
        names.TASK_NAME: "fetch",
        names.TASK_RUN_ID: "run_1/fetch/1",
        names.TASK_RESULT: "success",
        names.OPERATOR: "ingest",
        names.ATTEMPT: 1,
        names.WORKER_ID: "77",
    }
    assert check.attributes is not None
    assert check.attributes[names.VERDICT] == "warn"
    assert committed.attributes is not None
    assert committed.attributes[names.ROWS_WRITTEN] == 99
    assert committed.attributes[names.DATASETS] == ("bars",)
    for span in (committed, fetch, check, run):
        assert set(span.attributes or {}) <= set(names.ATTRIBUTES)


@pytest.mark.parametrize(
    ("state", "kind", "result"),
    [
        (NodeState.FAILED, "data", "failure"),
        (NodeState.RETRYING, "transient", "failure"),
        (NodeState.FAILED, "timeout", "timeout"),
        (NodeState.RETRYING, "worker_lost", "error"),
    ],
)
def test_a_failed_attempt_says_what_went_wrong(
    traced: _Traced, state: NodeState, kind: str, result: str
) -> None:
    [span] = traced.tell(story.submitted(), begun(), ended("fetch", state, error_kind=kind))
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == f"went wrong with {MASK}"
    assert span.attributes is not None
    assert span.attributes[names.ERROR_TYPE] == kind
    assert span.attributes[names.TASK_RESULT] == result


def test_every_attempt_has_a_span_of_its_own(traced: _Traced) -> None:
    one, two = traced.tell(
        story.submitted(),
        begun(attempt=1),
        ended("fetch", NodeState.RETRYING, error_kind="transient"),
        begun(attempt=2),
        ended("fetch"),
    )
    assert ids(one)[1] != ids(two)[1]
    assert ids(two)[1] == node_span_id("run_1", "fetch", 2)


@pytest.mark.parametrize(
    ("state", "result", "code"),
    [
        (RunState.SUCCESS, "success", StatusCode.UNSET),
        (RunState.FAILED, "failure", StatusCode.ERROR),
        (RunState.CANCELLED, "cancellation", StatusCode.UNSET),
    ],
)
def test_a_runs_result_is_told_in_the_conventions_words(
    traced: _Traced, state: RunState, result: str, code: StatusCode
) -> None:
    [span] = traced.tell(story.submitted(), story.finished(state=state))
    assert span.attributes is not None
    assert span.attributes[names.PIPELINE_RESULT] == result
    assert span.status.status_code is code
    assert (names.ERROR_TYPE in span.attributes) == (state is RunState.FAILED)


def test_a_failed_run_takes_the_kind_of_error_of_its_node(traced: _Traced) -> None:
    _, run = traced.tell(
        story.submitted(),
        begun(),
        ended("fetch", NodeState.FAILED, error_kind="timeout"),
        story.finished(state=RunState.FAILED),
    )
    assert run.attributes is not None
    assert run.attributes[names.ERROR_TYPE] == "timeout"
    assert run.attributes[names.PIPELINE_RESULT] == "timeout"


def test_the_callers_span_is_the_parent_of_the_run(traced: _Traced) -> None:
    [span] = traced.tell(story.submitted(trace_id=TRACE, parent_span_id=CALLER), story.finished())
    assert ids(span) == (TRACE, span_id_of("run_1"), CALLER)


def test_a_run_that_an_earlier_process_began_still_gets_its_span(traced: _Traced) -> None:
    committed, run = traced.tell(batch(3, at_s=4), story.finished())
    assert ids(run)[0] == trace_id_of("run_1")
    assert ids(committed) == (trace_id_of("run_1"), ids(committed)[1], span_id_of("run_1"))
    assert us(committed) == (to_us(story.after(3.75)), to_us(story.after(4)))


def test_nodes_that_never_ran_have_no_span(traced: _Traced) -> None:
    assert not traced.tell(
        story.submitted(), story.node("publish", NodeState.SKIPPED), ended("fetch")
    )
