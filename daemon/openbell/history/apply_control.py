"""What people's requests do to runs and nodes, and what a retry takes over."""

from __future__ import annotations

from typing import TypeAlias, assert_never

from openbell.history.queries import Statements
from openbell.model import events as ev
from openbell.model.bodies import encode_plain
from openbell.model.history import RecordRefusedError
from openbell.model.runs import IllegalStepError, NodeState, RunState
from openbell.sdk.values import to_us

ControlEvent: TypeAlias = ev.RunPaused | ev.RunPrioritized | ev.NodeEndRequested | ev.NodesTakenOver


def apply(db: Statements, event: ControlEvent) -> None:
    """Change the tables as `event` says."""
    state = _open_run(db, event)
    match event:
        case ev.RunPaused():
            db.run("pause_run", {"run_id": event.run_id, "paused": int(event.paused)})
        case ev.RunPrioritized():
            db.run("prioritize_run", {"run_id": event.run_id, "priority": event.priority})
        case ev.NodeEndRequested():
            _request_end(db, event)
        case ev.NodesTakenOver():
            if state is not RunState.QUEUED:
                raise IllegalStepError("a run that takes nodes over", state, RunState.QUEUED)
            _take_over(db, event)
        case _:
            assert_never(event)


def _open_run(db: Statements, event: ControlEvent) -> RunState:
    """Return where the event's run stands, which has not ended."""
    row = db.first("run_state", {"run_id": event.run_id})
    if row is None:
        raise RecordRefusedError(event.name, f"run {event.run_id!r} is unknown")
    state = RunState(row[0])
    if state.is_final:
        raise IllegalStepError("a run", state, event.name)
    return state


def _request_end(db: Statements, event: ev.NodeEndRequested) -> None:
    place = {"run_id": event.run_id, "node": event.node}
    found = db.first("node_state", place)
    if found is None:
        reason = f"run {event.run_id!r} with a node {event.node!r} is unknown"
        raise RecordRefusedError(event.name, reason)
    if NodeState(found[0]).is_final:
        raise IllegalStepError("a node", found[0], event.state)
    row = place | {
        "state": event.state,
        "outcome": event.outcome,
        "reason": event.reason,
        "by": event.by,
        "at_us": to_us(event.at),
    }
    if db.run("insert_node_request", row).rowcount == 0:
        raise RecordRefusedError(event.name, "the node was asked to end in another way")


def _take_over(db: Statements, event: ev.NodesTakenOver) -> None:
    row = {"run_id": event.run_id, "source_run_id": event.source_run_id}
    taken = row | {"nodes": encode_plain(event.nodes), "at_us": to_us(event.at)}
    if db.run("take_over_nodes", taken).rowcount != len(event.nodes):
        raise RecordRefusedError(event.name, f"not all nodes ended in run {event.source_run_id!r}")
    if event.items_of:
        db.run("take_over_items", row | {"nodes": encode_plain(event.items_of)})
