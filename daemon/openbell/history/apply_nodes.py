"""What events do to a run's nodes, attempts, checkpoints, findings and logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from openbell.history.entries import Entry, rows
from openbell.history.queries import Statements
from openbell.model import events as ev
from openbell.model.bodies import encode_plain, keep_lines, log_limit_bytes
from openbell.model.history import RecordRefusedError
from openbell.model.runs import IllegalStepError, NodeState, RunState, Totals
from openbell.sdk.values import Receipt, to_us

_ENDS = frozenset({"success", "failed", "interrupted"})


def change_nodes(db: Statements, entries: Sequence[Entry]) -> bool:
    """Move nodes of open runs, each of them once; return whether all of them could.

    An ended node stays as it ended.
    """
    changed = db.run("change_nodes", {"rows": rows(entries, "retry_at")}).rowcount
    with_totals = [
        each
        for each in entries
        if isinstance(each.event, ev.NodeChanged) and each.event.totals is not None
    ]
    if with_totals:
        db.run("set_totals_of_nodes", {"rows": rows(with_totals)})
    return changed == len(entries)


def refuse_node(db: Statements, event: ev.NodeChanged) -> None:
    """Raise what speaks against `event`, if anything does."""
    old = _open_node(db, event)
    if old.is_final:
        raise IllegalStepError("a node", old, event.state)


def start_attempts(db: Statements, entries: Sequence[Entry]) -> bool:
    """Begin attempts at nodes of open runs; return whether all of them could."""
    row = {"rows": rows(entries)}
    started = db.run("insert_attempts", row).rowcount
    if any(isinstance(each.event, ev.AttemptStarted) and each.event.item < 0 for each in entries):
        db.run("count_attempts", row)
    return started == len(entries)


def refuse_start(db: Statements, event: ev.AttemptStarted) -> None:
    """Raise what speaks against `event`, if anything does."""
    _open_node(db, event)


def finish_attempts(db: Statements, entries: Sequence[Entry]) -> bool:
    """End attempts that run; return whether all of them could."""
    ends = [each.event.state for each in entries if isinstance(each.event, ev.AttemptFinished)]
    if not _ENDS.issuperset(ends):
        return False
    return db.run("finish_attempts", {"rows": rows(entries)}).rowcount == len(entries)


def refuse_finish(db: Statements, event: ev.AttemptFinished) -> None:
    """Raise what speaks against `event`, if anything does."""
    found = db.first("attempt_state", {"attempt_id": event.attempt_id})
    if found is None:
        raise RecordRefusedError(event.name, f"attempt {event.attempt_id!r} is unknown")
    if found[0] != "running" or event.state not in _ENDS:
        raise IllegalStepError("an attempt", found[0], event.state)


def commit_batch(db: Statements, event: ev.BatchCommitted) -> None:
    """Move a source's checkpoint forward and keep the receipts and totals that came with it."""
    _open_node(db, event)
    row = {
        "run_id": event.run_id,
        "node": event.node,
        "next_chunk": event.next_chunk,
        "cursor": event.cursor,
        "totals": encode_plain(event.totals),
        "at_us": to_us(event.at),
    }
    if db.run("advance_checkpoint", row).rowcount == 0:
        found = db.first("checkpoint", {"run_id": event.run_id, "node": event.node})
        raise IllegalStepError("a checkpoint", f"chunk {found[2]}", f"chunk {event.next_chunk}")
    for node, totals in event.totals.items():
        _set_totals(db, event, node, totals)
    for node, receipt in event.receipts.items():
        _keep_receipt(db, event, node, receipt)


def _keep_receipt(db: Statements, event: ev.BatchCommitted, node: str, receipt: Receipt) -> None:
    row = {
        "key": receipt.key,
        "run_id": event.run_id,
        "node": node,
        "pipeline": event.pipeline,
        "dataset": receipt.dataset,
        "provider": event.provider,
        "start_at_us": to_us(receipt.interval.start),
        "end_at_us": to_us(receipt.interval.end),
        "row_count": receipt.row_count,
        "written_count": receipt.written_count,
        "unchanged_count": receipt.unchanged_count,
        "size_bytes": receipt.size_bytes,
        "digest": receipt.digest,
        "version": receipt.version,
        "committed_at_us": to_us(receipt.committed_at),
    }
    db.run("insert_commit", row)


def keep_findings(db: Statements, event: ev.QualityChecked) -> None:
    """Keep each finding of a gate."""
    _node_and_run(db, event)
    rows = [
        {
            "run_id": event.run_id,
            "node": event.node,
            "chunk": event.chunk,
            "verdict": event.verdict,
            "rule": finding.rule,
            "severity": finding.severity,
            "message": finding.message,
            "column_name": finding.column,
            "row_count": finding.row_count,
            "metric": finding.metric,
            "threshold": finding.threshold,
            "examples": encode_plain(finding.examples),
            "at_us": to_us(event.at),
        }
        for finding in event.findings
    ]
    db.run_each("insert_finding", rows)


def keep_log(db: Statements, event: ev.LogWritten) -> ev.LogWritten:
    """Keep what of the lines fits the attempt's bound, and return the event with just those."""
    _node_and_run(db, event)
    place = {
        "run_id": event.run_id,
        "node": event.node,
        "item": event.item,
        "attempt": event.attempt,
    }
    used = db.first("log_size", place)
    limit_bytes = log_limit_bytes(event.item)
    kept = keep_lines(event.lines, used_bytes=used[0] if used else 0, limit_bytes=limit_bytes)
    size = {"size_bytes": kept.size_bytes, "dropped_count": kept.dropped_count}
    db.run("grow_log", {**place, **size})
    rows = [
        {
            **place,
            "stream": line.stream,
            "level": line.level,
            "text": line.text,
            "at_us": to_us(line.at),
        }
        for line in kept.lines
    ]
    db.run_each("insert_log_line", rows)
    return event if kept.dropped_count == 0 else replace(event, lines=kept.lines)


def _open_node(
    db: Statements, event: ev.NodeChanged | ev.AttemptStarted | ev.BatchCommitted
) -> NodeState:
    node_state, run_state = _node_and_run(db, event)
    if run_state.is_final:
        thing = f"node {event.node!r} of a run"
        raise IllegalStepError(thing, f"its end ({run_state})", event.name)
    return node_state


def _node_and_run(
    db: Statements,
    event: ev.NodeChanged
    | ev.AttemptStarted
    | ev.BatchCommitted
    | ev.QualityChecked
    | ev.LogWritten,
) -> tuple[NodeState, RunState]:
    row = db.first("node_state", {"run_id": event.run_id, "node": event.node})
    if row is None:
        reason = f"run {event.run_id!r} with a node {event.node!r} is unknown"
        raise RecordRefusedError(event.name, reason)
    return NodeState(row[0]), RunState(row[1])


def _set_totals(db: Statements, event: ev.BatchCommitted, node: str, totals: Totals) -> None:
    row = {"run_id": event.run_id, "node": node, **asdict(totals)}
    if db.run("set_node_totals", row).rowcount == 0:
        raise RecordRefusedError(event.name, f"run {event.run_id!r} has no node {node!r}")
