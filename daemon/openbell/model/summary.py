"""A run in numbers, as `mdp run -o json` and the API show it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from openbell.model.runs import NodeRecord, NodeState, RunRecord


def sources(definition: Mapping[str, Any] | None) -> frozenset[str]:
    """Return the names of the nodes that need no other node."""
    nodes = definition["nodes"] if definition else ()
    return frozenset(node["name"] for node in nodes if not node["needs"])


def summarize(
    run: RunRecord,
    nodes: Sequence[NodeRecord],
    *,
    source_nodes: Collection[str],
    batches: int,
    now: datetime,
) -> dict[str, Any]:
    """Return `run` with its nodes and totals as plain JSON values.

    `rows_in` counts rows that entered at the sources. `duration_s` runs on until the run ends.
    """
    totals = [node.totals for node in nodes]
    return {
        "run_id": run.run_id,
        "job_id": run.job_id,
        "job": run.pipeline,
        "state": str(run.state),
        "reason": run.reason,
        "error": run.error,
        "rows_in": sum(node.totals.rows_in for node in nodes if node.node in source_nodes),
        "rows_written": sum(total.rows_written for total in totals),
        "rows_unchanged": sum(total.rows_unchanged for total in totals),
        "rows_quarantined": sum(total.rows_quarantined for total in totals),
        "batches": batches,
        "duration_s": duration_s(run, now),
        "mode": run.mode,
        "dry_run": run.dry_run,
        "session": run.session,
        "params": dict(run.params),
        "origin": run.origin,
        "retry_of": run.retry_of,
        "workflow_version": run.workflow_version,
        "cancel_requested": run.cancel_requested,
        "priority": run.priority,
        "paused": run.paused,
        "trace_id": run.trace_id,
        "submitted_at": run.submitted_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "nodes": {node.node: _node(node) for node in nodes},
    }


def duration_s(run: RunRecord, now: datetime) -> float:
    """Return seconds from the run's start to its end or to `now`; 0 while it is queued."""
    if run.started_at is None:
        return 0.0
    return round(max(0.0, ((run.finished_at or now) - run.started_at).total_seconds()), 6)


def _has_judged(node: NodeRecord) -> bool:
    """Return False for a gate that ended before it had seen a row: it passed nothing."""
    ended_early = {NodeState.CANCELLED, NodeState.UPSTREAM_FAILED, NodeState.SKIPPED}
    return bool(node.totals.rows_in) or node.state not in ended_early


def _node(node: NodeRecord) -> dict[str, Any]:
    return {
        "state": str(node.state),
        "attempts": node.attempts,
        "rows_in": node.totals.rows_in,
        "rows_out": node.totals.rows_out,
        "verdict": node.totals.verdict if _has_judged(node) else None,
        "op": node.op,
        "outcome": node.outcome,
        "error": node.error,
        "error_kind": node.error_kind,
    }
