"""What is known of one run when it is explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from openbell.model.items import ApprovalRecord
from openbell.model.letters import DeadLetter
from openbell.model.pipelines import Node, Pipeline
from openbell.model.runs import NodeRecord, NodeState, RunRecord
from openbell.model.tracking import TurnWait


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """`pipeline` is the definition that the run was accepted under, if kept.

    `approvals` are its questions; `items` counts those of its fan-outs by state, and `children` are
    the runs that its nodes follow, of nodes that are running.
    """

    run: RunRecord
    nodes: Mapping[str, NodeRecord]
    pipeline: Pipeline | None
    letters: Sequence[DeadLetter] = ()
    turns: Sequence[TurnWait] = ()
    approvals: Sequence[ApprovalRecord] = ()
    items: Mapping[str, Mapping[NodeState, int]] = field(default_factory=dict)
    children: Mapping[str, RunRecord] = field(default_factory=dict)
    now: datetime

    def definition(self, name: str) -> Node | None:
        """Return a node's definition."""
        nodes = self.pipeline.nodes if self.pipeline else ()
        return next((node for node in nodes if node.name == name), None)
