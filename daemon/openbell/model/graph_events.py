"""What can happen inside a run beside its nodes' steps: items, questions to people, waiting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from openbell.model.event import Event
from openbell.model.items import ItemChange


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHeld(Event):
    """A run stays in the queue until what it needs of other pipelines is there; `reason` says what."""

    name: ClassVar[str] = "run.held"
    run_id: str
    pipeline: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAsked(Event):
    """A node asks a person; the answer is one of `labels`. `item` is -1 without `for_each`."""

    name: ClassVar[str] = "approval.asked"
    run_id: str
    pipeline: str
    node: str
    item: int
    question: str
    labels: Sequence[str]
    deadline_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAnswered(Event):
    """Somebody answered a node's question."""

    name: ClassVar[str] = "approval.answered"
    run_id: str
    pipeline: str
    node: str
    item: int
    label: str
    by: str
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemsListed(Event):
    """Some items of a node with `for_each` are known, in order; `first` is the first one's number."""

    name: ClassVar[str] = "items.listed"
    run_id: str
    pipeline: str
    node: str
    first: int
    items: Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemsChanged(Event):
    """Instances of a node with `for_each` went to other states."""

    name: ClassVar[str] = "items.changed"
    run_id: str
    pipeline: str
    node: str
    changes: Sequence[ItemChange]
