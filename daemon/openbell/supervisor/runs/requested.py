"""How a unit ends when somebody asks for it: cancelled, or marked as a success or a failure."""

from __future__ import annotations

from collections.abc import Sequence

from openbell.execution.chains import Unit, below
from openbell.execution.graph import Ended
from openbell.model.events import Event, ItemsChanged
from openbell.model.items import ItemChange, NodeRequest
from openbell.model.runs import NodeState
from openbell.supervisor.runs.context import Completion, RunContext
from openbell.supervisor.runs.item_list import pages

MARKED = "marked"
"""The error kind of a node that somebody marked as failed."""


def ended_by(
    context: RunContext, unit: Unit, request: NodeRequest, *, events: Sequence[Event] = ()
) -> Completion:
    """Return how all nodes of a unit end by a request about one of them; only that is to record.

    A chain is one piece of work: cancelled or marked as a success it is as a whole; of one that is
    marked as failed, what follows the failed node has failed upstream and the rest is cancelled.
    """
    told = context.services.redact(request.told)
    changes: list[Event] = []
    ends: dict[str, Ended] = {}
    for node in unit.nodes:
        state = _state_of(unit, node.name, request)
        outcome = request.outcome if node.name == request.node else "success"
        is_failure = state is NodeState.FAILED
        changes.append(
            context.change(
                node.name,
                state,
                outcome=outcome if state is NodeState.SUCCESS else None,
                error=told if is_failure else "",
                error_kind=MARKED if is_failure else "",
                reason=told,
            )
        )
        ends[node.name] = Ended(state, outcome)
    return Completion(
        unit=unit,
        events=(*events, *changes),
        ends=ends,
        errors={} if request.state is NodeState.SUCCESS else {request.node: told},
    )


def _state_of(unit: Unit, node: str, request: NodeRequest) -> NodeState:
    if request.state is not NodeState.FAILED or node == request.node:
        return request.state
    return NodeState.UPSTREAM_FAILED if node in below(unit, request.node) else NodeState.CANCELLED


async def cancel_items(context: RunContext, node: str) -> None:
    """Put on record that the instances of a node that are still open end with it."""
    async for found in pages(context, node, only_open=True):
        await context.record(
            ItemsChanged(
                at=context.services.clock.now(),
                run_id=context.run.run_id,
                pipeline=context.run.pipeline,
                node=node,
                changes=tuple(
                    ItemChange(number=item.number, state=NodeState.CANCELLED) for item in found
                ),
            )
        )
