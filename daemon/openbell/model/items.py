"""Instances of nodes with `for_each`, and questions to people, as history knows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from openbell.model.runs import NodeState


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemChange:
    """What one instance went to; `number` is its place in the list, from 0."""

    number: int
    state: NodeState
    attempt: int = 0
    outcome: str | None = None
    error: str = ""
    error_kind: str = ""
    retry_at: datetime | None = None
    output: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRecord:
    """One instance of a node: its item, and how it stands."""

    run_id: str
    node: str
    number: int
    item: Any
    state: NodeState
    attempts: int = 0
    outcome: str | None = None
    error: str = ""
    error_kind: str = ""
    retry_at: datetime | None = None
    output: Mapping[str, Any] | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRequest:
    """How somebody asked for a node to end; `outcome` is the label that edges see of a success."""

    run_id: str
    node: str
    state: NodeState
    outcome: str
    reason: str
    asked_by: str
    asked_at: datetime

    @property
    def told(self) -> str:
        """Say who ended the node how, and why."""
        verb = "cancelled" if self.state is NodeState.CANCELLED else f"marked {self.state}"
        why = f": {self.reason}" if self.reason else ""
        return f"{verb} by {self.asked_by or 'somebody'}{why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRecord:
    """A question that a run asked a person; `label` is the answer, None while there is none."""

    run_id: str
    pipeline: str
    node: str
    item: int
    question: str
    labels: Sequence[str]
    asked_at: datetime
    deadline_at: datetime | None = None
    label: str | None = None
    answered_by: str = ""
    comment: str = ""
    answered_at: datetime | None = None
