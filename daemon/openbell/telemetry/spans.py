"""Spans of runs, their nodes and their batches, made from events after the fact.

A span is made when what it traces has ended; its id was known before (`openbell.model.traces`),
so that workers could name it as their parent. A restart of the daemon in between changes nothing
but the attributes that only the lost process knew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from typing_extensions import override

from openbell.model import events as ev
from openbell.model.runs import NodeState, RunState
from openbell.model.traces import node_span_id, span_id_of
from openbell.sdk.values import to_us
from openbell.telemetry import names
from openbell.telemetry.known_runs import KnownRun

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

MAX_OPEN_NODES = 20_000
MAX_TEXT = 1000

_RUN_RESULTS = {
    RunState.SUCCESS: "success",
    RunState.FAILED: "failure",
    RunState.CANCELLED: "cancellation",
}
_NODE_RESULTS = {
    NodeState.SUCCESS: "success",
    NodeState.FAILED: "failure",
    NodeState.RETRYING: "failure",
    NodeState.UPSTREAM_FAILED: "skip",
    NodeState.SKIPPED: "skip",
    NodeState.CANCELLED: "cancellation",
    NodeState.PENDING: "cancellation",
    NodeState.QUEUED: "cancellation",
}
_ERROR_RESULTS = {"timeout": "timeout", "worker_lost": "error"}


@dataclass(slots=True)
class _OpenNode:
    began_at: datetime
    attempt: int
    last_batch_at: datetime
    worker: str = ""


class _ChosenIds(IdGenerator):
    """Gives out the ids that were set, as every span's id is computed before."""

    def __init__(self) -> None:
        self.trace_id = self.span_id = 1

    @override
    def generate_trace_id(self) -> int:
        return self.trace_id

    @override
    def generate_span_id(self) -> int:
        return self.span_id


class Spans:
    """Makes spans and gives them to `processor`. Not for more than one thread.

    `redact` takes secrets out of error messages.

    Run: `RUN <pipeline>`, kind SERVER. Node: `execute node`, one for each attempt, child of the
    run. Batch: `commit output`, child of its source node, from the commit before to its own.
    """

    def __init__(
        self,
        processor: SpanProcessor,
        *,
        resource: Resource | None = None,
        redact: Callable[[str], str] = str,
    ) -> None:
        self._redact = redact
        self._ids = _ChosenIds()
        self._provider = TracerProvider(
            resource=resource or Resource.get_empty(),
            id_generator=self._ids,
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_attribute_length=MAX_TEXT),
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer(names.SCOPE)
        self._open: OrderedDict[tuple[str, str], _OpenNode] = OrderedDict()

    def see(self, event: ev.Event, run: KnownRun) -> None:
        """Make the spans that end with `event`."""
        match event:
            case ev.NodeChanged():
                self._node_changed(event, run)
            case ev.AttemptFinished(item=-1) if event.worker_pid is not None:
                for (run_id, _), opened in self._open.items():
                    if run_id == event.run_id and opened.attempt == event.number:
                        opened.worker = str(event.worker_pid)
            case ev.BatchCommitted():
                self._batch_committed(event, run)
            case ev.RunFinished():
                self._run_finished(event, run)
            case _:
                pass

    def _node_changed(self, event: ev.NodeChanged, run: KnownRun) -> None:
        key = (event.run_id, event.node)
        if event.state is NodeState.RUNNING:
            self._open[key] = _OpenNode(event.at, event.attempt, last_batch_at=event.at)
            while len(self._open) > MAX_OPEN_NODES:
                self._open.popitem(last=False)
            return
        opened = self._open.pop(key, None)
        if opened is not None:
            self._end_node(event, opened, run)

    def _end_node(self, event: ev.NodeChanged, opened: _OpenNode, run: KnownRun) -> None:
        result = _ERROR_RESULTS.get(event.error_kind) or _NODE_RESULTS.get(event.state, "error")
        attributes: dict[str, AttributeValue] = {
            names.PIPELINE_NAME: event.pipeline,
            names.PIPELINE_RUN_ID: event.run_id,
            names.TASK_NAME: event.node,
            names.TASK_RUN_ID: f"{event.run_id}/{event.node}/{opened.attempt}",
            names.TASK_RESULT: result,
            names.OPERATOR: run.operators.get(event.node, ""),
            names.ATTEMPT: opened.attempt,
            names.WORKER_ID: opened.worker,
            names.ERROR_TYPE: event.error_kind,
            names.VERDICT: (event.totals.verdict or "") if event.totals else "",
        }
        self._emit(
            names.NODE_SPAN,
            run,
            span_id=node_span_id(event.run_id, event.node, opened.attempt),
            parent_id=span_id_of(event.run_id),
            kind=SpanKind.INTERNAL,
            between=(opened.began_at, event.at),
            attributes=attributes,
            error=event.error if event.error_kind else None,
        )

    def _batch_committed(self, event: ev.BatchCommitted, run: KnownRun) -> None:
        opened = self._open.get((event.run_id, event.node))
        began_at = event.at - timedelta(seconds=event.write_duration_s)
        parent_id = span_id_of(event.run_id)
        if opened is not None:
            began_at, opened.last_batch_at = opened.last_batch_at, event.at
            parent_id = node_span_id(event.run_id, event.node, opened.attempt)
        receipts = event.receipts.values()
        self._emit(
            names.BATCH_SPAN,
            run,
            span_id=span_id_of(f"{event.run_id}/{event.node}#{event.next_chunk}"),
            parent_id=parent_id,
            kind=SpanKind.INTERNAL,
            between=(began_at, event.at),
            attributes={
                names.PIPELINE_NAME: event.pipeline,
                names.PIPELINE_RUN_ID: event.run_id,
                names.TASK_NAME: event.node,
                names.CHUNK: event.next_chunk - 1,
                names.DATASETS: tuple(sorted({receipt.dataset for receipt in receipts})),
                names.ROWS: sum(receipt.row_count for receipt in receipts),
                names.ROWS_WRITTEN: sum(receipt.written_count for receipt in receipts),
                names.WRITE_DURATION: event.write_duration_s,
            },
        )

    def _run_finished(self, event: ev.RunFinished, run: KnownRun) -> None:
        for key in [key for key in self._open if key[0] == event.run_id]:
            del self._open[key]
        has_failed = event.state is RunState.FAILED
        kind = "timeout" if event.reason == "timeout" else run.error_kind if has_failed else ""
        result = _ERROR_RESULTS.get(kind) or _RUN_RESULTS.get(event.state, "error")
        self._emit(
            f"{names.RUN_SPAN} {event.pipeline}",
            run,
            span_id=span_id_of(event.run_id),
            parent_id=run.parent_span_id,
            kind=SpanKind.SERVER,
            between=(event.at - timedelta(seconds=event.duration_s), event.at),
            attributes={
                names.PIPELINE_NAME: event.pipeline,
                names.PIPELINE_ACTION: names.RUN_SPAN,
                names.PIPELINE_RUN_ID: event.run_id,
                names.PIPELINE_RESULT: result,
                names.MODE: run.mode,
                names.ERROR_TYPE: (kind or "_OTHER") if has_failed else "",
            },
            error=event.error if has_failed else None,
        )

    def _emit(
        self,
        name: str,
        run: KnownRun,
        *,
        span_id: str,
        parent_id: str,
        kind: SpanKind,
        between: tuple[datetime, datetime],
        attributes: Mapping[str, AttributeValue],
        error: str | None = None,
    ) -> None:
        self._ids.trace_id, self._ids.span_id = int(run.trace_id, 16), int(span_id, 16)
        began_us, ended_us = (to_us(instant) for instant in between)
        span = self._tracer.start_span(
            name,
            context=_parent(run.trace_id, parent_id),
            kind=kind,
            attributes={key: value for key, value in attributes.items() if value != ""},
            start_time=min(began_us, ended_us) * 1000,
        )
        if error is not None:
            span.set_status(Status(StatusCode.ERROR, self._redact(error)[:MAX_TEXT]))
        span.end(end_time=ended_us * 1000)


def _parent(trace_id: str, parent_id: str) -> Context:
    """Return the context in which a child of span `parent_id` starts; an empty one for none."""
    if not parent_id:
        return Context()
    parent = SpanContext(
        trace_id=int(trace_id, 16),
        span_id=int(parent_id, 16),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
    return set_span_in_context(NonRecordingSpan(parent), Context())
