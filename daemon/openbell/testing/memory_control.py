"""What people's requests and retries do to runs and nodes of an in-memory history."""

from __future__ import annotations

from openbell.model import events as ev
from openbell.model.history import RecordRefusedError
from openbell.model.items import NodeRequest
from openbell.model.quick import changed
from openbell.model.runs import IllegalStepError, NodeState, RunRecord, RunState
from openbell.testing.memory_tables import MISFIT, RunPage, Tables

TAKEN = "taken over from run "


def _open_run(
    tables: Tables,
    event: ev.RunPaused | ev.RunPrioritized | ev.NodeEndRequested | ev.NodesTakenOver,
) -> RunRecord:
    run = tables.runs.get(event.run_id)
    if run is None:
        raise RecordRefusedError(event.name, f"run {event.run_id!r} is unknown")
    if run.state.is_final:
        raise IllegalStepError("a run", run.state, event.name)
    return run


def change_run(tables: Tables, event: ev.RunPaused | ev.RunPrioritized) -> None:
    """Pause an open run, let it go on, or give it another priority."""
    run = _open_run(tables, event)
    if isinstance(event, ev.RunPaused):
        run = changed(run, paused=event.paused)
    else:
        run = changed(run, priority=event.priority)
    tables.put(tables.runs, event.run_id, run)


def request_end(tables: Tables, event: ev.NodeEndRequested) -> None:
    """Keep how somebody asked for a node to end; asked alike again it stays as it is."""
    _open_run(tables, event)
    page = tables.pages[event.run_id]
    node = page.nodes.get(event.node)
    if node is None:
        reason = f"run {event.run_id!r} with a node {event.node!r} is unknown"
        raise RecordRefusedError(event.name, reason)
    if node.state.is_final:
        raise IllegalStepError("a node", node.state, event.state)
    known = page.requests.get(event.node)
    if known is not None:
        if (known.state, known.outcome) != (event.state, event.outcome):
            raise RecordRefusedError(event.name, "the node was asked to end in another way")
        return
    if event.state not in {NodeState.SUCCESS, NodeState.FAILED, NodeState.CANCELLED}:
        raise RecordRefusedError(event.name, MISFIT)
    request = NodeRequest(
        run_id=event.run_id,
        node=event.node,
        state=event.state,
        outcome=event.outcome,
        reason=event.reason,
        asked_by=event.by,
        asked_at=event.at,
    )
    tables.put(page.requests, event.node, request)


def take_over(tables: Tables, event: ev.NodesTakenOver) -> None:
    """Let nodes of a retry end as they did in the run before, and keep items that succeeded."""
    run = _open_run(tables, event)
    if run.state is not RunState.QUEUED:
        raise IllegalStepError("a run that takes nodes over", run.state, RunState.QUEUED)
    page, source = tables.pages[event.run_id], tables.pages.get(event.source_run_id)
    for name in event.nodes:
        node = page.nodes.get(name)
        before = source.nodes.get(name) if source else None
        is_open = node is not None and node.state is NodeState.PENDING
        if before is None or node is None or not is_open or not before.state.is_final:
            reason = f"not all nodes ended in run {event.source_run_id!r}"
            raise RecordRefusedError(event.name, reason)
        taken = changed(
            node,
            state=before.state,
            outcome=before.outcome,
            error=before.error,
            error_kind=before.error_kind,
            output=before.output,
            finished_at=event.at,
            reason=before.reason
            if before.reason.startswith(TAKEN)
            else f"{TAKEN}{event.source_run_id}",
        )
        tables.put(page.nodes, name, taken)
    if source is not None:
        _take_items(tables, event, page, source)


def _take_items(tables: Tables, event: ev.NodesTakenOver, page: RunPage, source: RunPage) -> None:
    for (node, number), item in source.items.items():
        if node not in event.items_of:
            continue
        kept = changed(item, run_id=event.run_id)
        if item.state is not NodeState.SUCCESS:
            kept = changed(
                kept,
                state=NodeState.PENDING,
                attempts=0,
                outcome=None,
                error="",
                error_kind="",
                retry_at=None,
                output=None,
                started_at=None,
                finished_at=None,
            )
        tables.put(page.items, (node, number), kept)
