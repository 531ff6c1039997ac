"""What people ask of runs that are under way, and what a retry keeps of the run before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from openbell.model.event import Event
from openbell.model.runs import NodeState


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPaused(Event):
    """Somebody paused a run (`paused`), or let it go on. What it has begun is not touched."""

    name: ClassVar[str] = "run.paused"
    run_id: str
    pipeline: str
    paused: bool
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPrioritized(Event):
    """Somebody gave an open run another priority."""

    name: ClassVar[str] = "run.prioritized"
    run_id: str
    pipeline: str
    priority: int
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEndRequested(Event):
    """Somebody asked for an open node to end: cancelled, or marked as a success or a failure.

    `outcome` is the label that edges see of a success. The node's own step follows.
    """

    name: ClassVar[str] = "node.end_requested"
    run_id: str
    pipeline: str
    node: str
    state: NodeState
    outcome: str = "success"
    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesTakenOver(Event):
    """Nodes of a retry ended as they did in the run before, and do not run again.

    Of the nodes in `items_of`, which do, the items that succeeded stay so.
    """

    name: ClassVar[str] = "nodes.taken_over"
    run_id: str
    pipeline: str
    source_run_id: str
    nodes: Sequence[str] = ()
    items_of: Sequence[str] = ()
