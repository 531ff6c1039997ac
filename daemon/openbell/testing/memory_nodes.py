"""What events do to the nodes, attempts, checkpoints, findings and logs of an in-memory history."""

from __future__ import annotations

from openbell.model import events as ev
from openbell.model.bodies import (
    decode_body,
    encode_plain,
    keep_lines,
    lineage_row,
    log_limit_bytes,
)
from openbell.model.history import RecordRefusedError
from openbell.model.quick import changed
from openbell.model.runs import (
    BEGUN,
    AttemptRecord,
    Checkpoint,
    IllegalStepError,
    NodeRecord,
    NodeState,
    QualityRecord,
    StoredLogLine,
    Totals,
)
from openbell.testing.memory_tables import MISFIT, RunPage, Tables

_ENDS = frozenset({"success", "failed", "interrupted"})

OfNode = ev.NodeChanged | ev.AttemptStarted | ev.BatchCommitted | ev.QualityChecked | ev.LogWritten


def _place(tables: Tables, event: OfNode) -> tuple[RunPage, NodeRecord]:
    page = tables.pages.get(event.run_id)
    node = page.nodes.get(event.node) if page else None
    if page is None or node is None:
        reason = f"run {event.run_id!r} with a node {event.node!r} is unknown"
        raise RecordRefusedError(event.name, reason)
    return page, node


def _open_place(
    tables: Tables, event: ev.NodeChanged | ev.AttemptStarted | ev.BatchCommitted
) -> tuple[RunPage, NodeRecord]:
    found = _place(tables, event)
    state = tables.runs[event.run_id].state
    if state.is_final:
        raise IllegalStepError(f"node {event.node!r} of a run", f"its end ({state})", event.name)
    return found


def change_node(tables: Tables, event: ev.NodeChanged) -> None:
    """Move a node of an open run; an ended node stays as it ended."""
    page, node = _open_place(tables, event)
    if node.state.is_final:
        raise IllegalStepError("a node", node.state, event.state)
    is_begun = event.state in BEGUN
    is_skipped = event.state is NodeState.SKIPPED
    moved = changed(
        node,
        state=event.state,
        attempts=0 if is_skipped else max(node.attempts, event.attempt),
        started_at=(node.started_at or event.at) if is_begun else node.started_at,
        finished_at=event.at if event.state.is_final else None,
        outcome=event.outcome,
        error=event.error,
        error_kind=event.error_kind,
        retry_at=event.retry_at,
        totals=event.totals or node.totals,
        output=node.output if event.output is None else decode_body(encode_plain(event.output)),
        reason=event.reason,
    )
    tables.put(page.nodes, event.node, moved)


def start_attempt(tables: Tables, event: ev.AttemptStarted) -> None:
    """Begin an attempt at a node of an open run."""
    page, node = _open_place(tables, event)
    if event.attempt_id in tables.attempt_runs:
        raise RecordRefusedError(event.name, MISFIT)
    attempt = AttemptRecord(
        attempt_id=event.attempt_id,
        run_id=event.run_id,
        node=event.node,
        number=event.number,
        state="running",
        started_at=event.at,
        item=event.item,
    )
    tables.put(tables.attempt_runs, event.attempt_id, event.run_id)
    tables.put(page.attempts, event.attempt_id, attempt)
    if event.item < 0 and event.number > node.attempts:
        tables.put(page.nodes, event.node, changed(node, attempts=event.number))


def finish_attempt(tables: Tables, event: ev.AttemptFinished) -> None:
    """End an attempt that runs."""
    owner = tables.attempt_runs.get(event.attempt_id)
    if owner is None:
        raise RecordRefusedError(event.name, f"attempt {event.attempt_id!r} is unknown")
    attempts = tables.pages[owner].attempts
    attempt = attempts[event.attempt_id]
    if attempt.state != "running" or event.state not in _ENDS:
        raise IllegalStepError("an attempt", attempt.state, event.state)
    ended = changed(
        attempt,
        state=event.state,
        finished_at=event.at,
        worker_pid=event.worker_pid,
        error_kind=event.error_kind,
        error=event.error,
        traceback=event.traceback,
        cpu_s=event.cpu_s,
        peak_memory_bytes=event.peak_memory_bytes,
        io_read_bytes=event.io_read_bytes,
        io_written_bytes=event.io_written_bytes,
    )
    tables.put(attempts, event.attempt_id, ended)


def commit_batch(tables: Tables, event: ev.BatchCommitted) -> None:
    """Move a source's checkpoint forward and keep the receipts and totals that came with it."""
    page, _ = _open_place(tables, event)
    known = page.checkpoints.get(event.node)
    if known is not None and event.next_chunk <= known.next_chunk:
        steps = (f"chunk {known.next_chunk}", f"chunk {event.next_chunk}")
        raise IllegalStepError("a checkpoint", *steps)
    point = Checkpoint(
        run_id=event.run_id,
        node=event.node,
        next_chunk=event.next_chunk,
        cursor=event.cursor,
        totals=dict(event.totals),
        at=event.at,
    )
    tables.put(page.checkpoints, event.node, point)
    tables.put(page.batch_counts, event.node, page.batch_counts.get(event.node, 0) + 1)
    for name, totals in event.totals.items():
        _set_totals(tables, page, event, (name, totals))
    for name, receipt in event.receipts.items():
        if receipt.key in tables.commits:
            continue
        if name not in page.nodes:
            raise RecordRefusedError(event.name, MISFIT)
        row = lineage_row(run_id=event.run_id, pipeline=event.pipeline, node=name, receipt=receipt)
        tables.put(tables.commits, receipt.key, row)


def _set_totals(
    tables: Tables, page: RunPage, event: ev.BatchCommitted, of_node: tuple[str, Totals]
) -> None:
    name, totals = of_node
    node = page.nodes.get(name)
    if node is None:
        raise RecordRefusedError(event.name, f"run {event.run_id!r} has no node {name!r}")
    tables.put(page.nodes, name, changed(node, totals=totals))


def keep_findings(tables: Tables, event: ev.QualityChecked) -> None:
    """Keep each finding of a gate."""
    page, _ = _place(tables, event)
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
        tables.put(page.findings, record.id, record)


def keep_log(tables: Tables, event: ev.LogWritten) -> ev.LogWritten:
    """Keep what of the lines fits the attempt's bound, and return the event with just those."""
    page, _ = _place(tables, event)
    place = (event.node, event.item, event.attempt)
    used, dropped = page.log_sizes.get(place, (0, 0))
    limit_bytes = log_limit_bytes(event.item)
    kept = keep_lines(event.lines, used_bytes=used, limit_bytes=limit_bytes)
    sizes = (used + kept.size_bytes, dropped + kept.dropped_count)
    tables.put(page.log_sizes, place, sizes)
    for line in kept.lines:
        stored = StoredLogLine(
            id=tables.next_id("logs"),
            node=event.node,
            attempt=event.attempt,
            line=line,
            item=event.item,
        )
        tables.put(page.logs, stored.id, stored)
    return event if kept.dropped_count == 0 else changed(event, lines=kept.lines)
