"""What an in-memory history holds, and what each event does to it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from openbell.model import events as ev
from openbell.model.bodies import decode_body, encode_plain, keep_lines, lineage_row
from openbell.model.calendars import OverlayRecord
from openbell.model.history import DuplicateSubmissionError, RecordRefusedError
from openbell.model.runs import (
    AttemptRecord,
    Checkpoint,
    IllegalStepError,
    NodeRecord,
    NodeState,
    QualityRecord,
    RunRecord,
    RunState,
    StoredLogLine,
    Totals,
    WorkflowRecord,
    step_run,
)

_MISFIT = "it does not fit what history holds"
_ENDS = frozenset({"success", "failed", "interrupted"})


@dataclass(slots=True)
class Tables:
    """Frozen records in plain containers, so that a copy is a cheap transaction."""

    workflows: dict[tuple[str, int], WorkflowRecord] = field(default_factory=dict)
    runs: dict[str, RunRecord] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    nodes: dict[tuple[str, str], NodeRecord] = field(default_factory=dict)
    attempts: dict[str, AttemptRecord] = field(default_factory=dict)
    checkpoints: dict[tuple[str, str], Checkpoint] = field(default_factory=dict)
    batch_counts: dict[str, int] = field(default_factory=dict)
    commits: dict[str, dict[str, Any]] = field(default_factory=dict)
    findings: list[QualityRecord] = field(default_factory=list)
    logs: list[tuple[str, StoredLogLine]] = field(default_factory=list)
    log_sizes: dict[tuple[str, str, int], tuple[int, int]] = field(default_factory=dict)
    overlays: dict[str, OverlayRecord] = field(default_factory=dict)
    events: list[ev.StoredEvent] = field(default_factory=list)
    last_id: dict[str, int] = field(default_factory=dict)

    def copy(self) -> Tables:
        """Return tables that change apart from these."""
        return Tables(**{name: getattr(self, name).copy() for name in self.__slots__})

    def next_id(self, table: str) -> int:
        """Return the next id of `table`; ids are never used twice."""
        self.last_id[table] = self.last_id.get(table, 0) + 1
        return self.last_id[table]

    def newest_version(self, pipeline: str) -> WorkflowRecord | None:
        """Return the newest version of a definition, or None."""
        versions = [w for (name, _), w in self.workflows.items() if name == pipeline]
        return max(versions, key=lambda found: found.version, default=None)


def apply(tables: Tables, event: ev.Event) -> ev.Event:
    """Change `tables` as `event` says, and return the event as it is kept."""
    match event:
        case ev.WorkflowDefined() | ev.WorkflowRetired():
            _change_workflow(tables, event)
        case ev.RunSubmitted():
            _submit(tables, event)
        case ev.RunStarted() | ev.RunFinished() | ev.RunCancelRequested():
            _change_run(tables, event)
        case ev.NodeChanged():
            _change_node(tables, event)
        case ev.AttemptStarted() | ev.AttemptFinished():
            _change_attempt(tables, event)
        case ev.BatchCommitted():
            _commit_batch(tables, event)
        case ev.QualityChecked():
            _keep_findings(tables, event)
        case ev.LogWritten():
            return _keep_log(tables, event)
        case _:
            _apply_other(tables, event)
    return event


def _apply_other(tables: Tables, event: ev.Event) -> None:
    match event:
        case ev.OverlayAdded() | ev.OverlayRemoved():
            _change_overlay(tables, event)
        case _ if not event.durable or not event.name:
            name = event.name or type(event).__name__
            raise RecordRefusedError(name, "it is not a durable event")
        case _:
            pass


def _change_overlay(tables: Tables, event: ev.OverlayAdded | ev.OverlayRemoved) -> None:
    known = tables.overlays.get(event.overlay_id)
    if isinstance(event, ev.OverlayAdded):
        if known is not None:
            raise RecordRefusedError(event.name, _MISFIT)
        tables.overlays[event.overlay_id] = OverlayRecord(
            overlay_id=event.overlay_id,
            overlay=event.overlay,
            added_at=event.at,
            added_by=event.by,
        )
        return
    if known is None or known.removed_at is not None:
        reason = f"there is no overlay {event.overlay_id!r} to remove"
        raise RecordRefusedError(event.name, reason)
    tables.overlays[event.overlay_id] = replace(known, removed_at=event.at, removed_by=event.by)


def _retire(tables: Tables, pipeline: str) -> None:
    for place, known in tables.workflows.items():
        if place[0] == pipeline:
            tables.workflows[place] = replace(known, active=False)


def _change_workflow(tables: Tables, event: ev.WorkflowDefined | ev.WorkflowRetired) -> None:
    newest = tables.newest_version(event.pipeline)
    if isinstance(event, ev.WorkflowRetired):
        if newest is None:
            raise RecordRefusedError(event.name, f"pipeline {event.pipeline!r} was never defined")
        _retire(tables, event.pipeline)
        return
    place = (event.pipeline, event.version)
    if newest and (newest.version, newest.fingerprint) == (event.version, event.fingerprint):
        tables.workflows[place] = replace(newest, active=True)
        return
    if newest and event.version <= newest.version:
        reason = f"pipeline {event.pipeline!r} already has version {newest.version}"
        raise RecordRefusedError(event.name, reason)
    _retire(tables, event.pipeline)
    tables.workflows[place] = WorkflowRecord(
        name=event.pipeline,
        version=event.version,
        fingerprint=event.fingerprint,
        definition=decode_body(encode_plain(event.definition)),
        created_at=event.at,
        active=True,
    )


def _submit(tables: Tables, event: ev.RunSubmitted) -> None:
    if event.idempotency_key in tables.keys:
        raise DuplicateSubmissionError(tables.keys[event.idempotency_key or ""])
    if (event.pipeline, event.workflow_version) not in tables.workflows:
        version = f"version {event.workflow_version} of pipeline {event.pipeline!r}"
        raise RecordRefusedError(event.name, f"{version} was never defined")
    if event.run_id in tables.runs or len(dict(event.nodes)) < len(event.nodes):
        raise RecordRefusedError(event.name, _MISFIT)
    if event.idempotency_key is not None:
        tables.keys[event.idempotency_key] = event.run_id
    tables.runs[event.run_id] = RunRecord(
        run_id=event.run_id,
        job_id=event.job_id,
        pipeline=event.pipeline,
        workflow_version=event.workflow_version,
        mode=event.mode,
        state=RunState.QUEUED,
        params=decode_body(encode_plain(event.params)),
        submitted_at=event.at,
        session=event.session,
        retry_of=event.retry_of,
        origin=event.origin,
        dry_run=event.dry_run,
        trace_id=event.trace_id,
    )
    for node, op in event.nodes:
        tables.nodes[event.run_id, node] = NodeRecord(
            run_id=event.run_id, node=node, op=op, state=NodeState.PENDING
        )


def _change_run(
    tables: Tables, event: ev.RunStarted | ev.RunFinished | ev.RunCancelRequested
) -> None:
    run = tables.runs.get(event.run_id)
    if run is None:
        raise RecordRefusedError(event.name, f"run {event.run_id!r} is unknown")
    match event:
        case ev.RunStarted():
            state = step_run(run.state, RunState.RUNNING)
            run = replace(run, state=state, started_at=event.at)
        case ev.RunFinished():
            if not event.state.is_final:
                raise IllegalStepError("a run that ends", run.state, event.state)
            state = step_run(run.state, event.state)
            run = replace(
                run, state=state, finished_at=event.at, reason=event.reason, error=event.error
            )
        case ev.RunCancelRequested():
            if run.state.is_final:
                raise IllegalStepError("a run", run.state, RunState.CANCELLED)
            run = replace(run, cancel_requested=True)
    tables.runs[event.run_id] = run


def _node(
    tables: Tables,
    event: ev.NodeChanged
    | ev.AttemptStarted
    | ev.BatchCommitted
    | ev.QualityChecked
    | ev.LogWritten,
) -> NodeRecord:
    node = tables.nodes.get((event.run_id, event.node))
    if node is None:
        reason = f"run {event.run_id!r} with a node {event.node!r} is unknown"
        raise RecordRefusedError(event.name, reason)
    return node


def _open_node(
    tables: Tables, event: ev.NodeChanged | ev.AttemptStarted | ev.BatchCommitted
) -> NodeRecord:
    node = _node(tables, event)
    state = tables.runs[event.run_id].state
    if state.is_final:
        raise IllegalStepError(f"node {event.node!r} of a run", f"its end ({state})", event.name)
    return node


def _change_node(tables: Tables, event: ev.NodeChanged) -> None:
    node = _open_node(tables, event)
    if node.state.is_final:
        raise IllegalStepError("a node", node.state, event.state)
    is_running = event.state is NodeState.RUNNING
    is_skipped = event.state is NodeState.SKIPPED
    tables.nodes[event.run_id, event.node] = replace(
        node,
        state=event.state,
        attempts=0 if is_skipped else max(node.attempts, event.attempt),
        started_at=(node.started_at or event.at) if is_running else node.started_at,
        finished_at=event.at if event.state.is_final else None,
        outcome=event.outcome,
        error=event.error,
        error_kind=event.error_kind,
        retry_at=event.retry_at,
        totals=event.totals or node.totals,
    )


def _change_attempt(tables: Tables, event: ev.AttemptStarted | ev.AttemptFinished) -> None:
    if isinstance(event, ev.AttemptStarted):
        _start_attempt(tables, event)
    else:
        _finish_attempt(tables, event)


def _start_attempt(tables: Tables, event: ev.AttemptStarted) -> None:
    node = _open_node(tables, event)
    if event.attempt_id in tables.attempts:
        raise RecordRefusedError(event.name, _MISFIT)
    tables.attempts[event.attempt_id] = AttemptRecord(
        attempt_id=event.attempt_id,
        run_id=event.run_id,
        node=event.node,
        number=event.number,
        state="running",
        started_at=event.at,
    )
    attempts = max(node.attempts, event.number)
    tables.nodes[event.run_id, event.node] = replace(node, attempts=attempts)


def _finish_attempt(tables: Tables, event: ev.AttemptFinished) -> None:
    attempt = tables.attempts.get(event.attempt_id)
    if attempt is None:
        raise RecordRefusedError(event.name, f"attempt {event.attempt_id!r} is unknown")
    if attempt.state != "running" or event.state not in _ENDS:
        raise IllegalStepError("an attempt", attempt.state, event.state)
    tables.attempts[event.attempt_id] = replace(
        attempt,
        state=event.state,
        finished_at=event.at,
        worker_pid=event.worker_pid,
        error_kind=event.error_kind,
        error=event.error,
        traceback=event.traceback,
        cpu_s=event.cpu_s,
        peak_memory_bytes=event.peak_memory_bytes,
    )


def _commit_batch(tables: Tables, event: ev.BatchCommitted) -> None:
    _open_node(tables, event)
    place = (event.run_id, event.node)
    known = tables.checkpoints.get(place)
    if known is not None and event.next_chunk <= known.next_chunk:
        steps = (f"chunk {known.next_chunk}", f"chunk {event.next_chunk}")
        raise IllegalStepError("a checkpoint", *steps)
    tables.checkpoints[place] = Checkpoint(
        run_id=event.run_id,
        node=event.node,
        next_chunk=event.next_chunk,
        cursor=event.cursor,
        totals=dict(event.totals),
    )
    tables.batch_counts[event.run_id] = tables.batch_counts.get(event.run_id, 0) + 1
    for name, totals in event.totals.items():
        _set_totals(tables, event, name, totals)
    for name, receipt in event.receipts.items():
        if receipt.key not in tables.commits and (event.run_id, name) not in tables.nodes:
            raise RecordRefusedError(event.name, _MISFIT)
        row = lineage_row(run_id=event.run_id, pipeline=event.pipeline, node=name, receipt=receipt)
        tables.commits.setdefault(receipt.key, row)


def _set_totals(tables: Tables, event: ev.BatchCommitted, name: str, totals: Totals) -> None:
    node = tables.nodes.get((event.run_id, name))
    if node is None:
        raise RecordRefusedError(event.name, f"run {event.run_id!r} has no node {name!r}")
    tables.nodes[event.run_id, name] = replace(node, totals=totals)


def _keep_findings(tables: Tables, event: ev.QualityChecked) -> None:
    _node(tables, event)
    for finding in event.findings:
        record = QualityRecord(
            id=tables.next_id("findings"),
            run_id=event.run_id,
            node=event.node,
            chunk=event.chunk,
            rule=finding.rule,
            severity=finding.severity,
            message=finding.message,
            column=finding.column,
            row_count=finding.row_count,
            metric=finding.metric,
            threshold=finding.threshold,
            examples=tuple(finding.examples),
            at=event.at,
        )
        tables.findings.append(record)


def _keep_log(tables: Tables, event: ev.LogWritten) -> ev.LogWritten:
    _node(tables, event)
    place = (event.run_id, event.node, event.attempt)
    used, dropped = tables.log_sizes.get(place, (0, 0))
    kept = keep_lines(event.lines, used_bytes=used)
    tables.log_sizes[place] = (used + kept.size_bytes, dropped + kept.dropped_count)
    for line in kept.lines:
        stored = StoredLogLine(
            id=tables.next_id("logs"), node=event.node, attempt=event.attempt, line=line
        )
        tables.logs.append((event.run_id, stored))
    return event if kept.dropped_count == 0 else replace(event, lines=kept.lines)
