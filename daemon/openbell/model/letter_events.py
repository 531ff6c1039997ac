"""What can happen to work that failed for good, and what was decided about work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from openbell.model.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLettered(Event):
    """A node's attempts, or those of its item `item`, are used up; it can be replayed."""

    name: ClassVar[str] = "letter.written"
    letter_id: str
    run_id: str
    pipeline: str
    node: str
    item: int | None = None
    error_kind: str
    error: str
    traceback: str = ""
    attempts: int
    params: Mapping[str, Any] = field(default_factory=dict)
    input: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterReplayed(Event):
    """The run `run_id` does again what a dead letter holds. A letter is replayed once.

    It does all failed work of `of_run` again, so that whatever else waits of that run is replayed
    with it; without a `letter_id` it is about just that.
    """

    name: ClassVar[str] = "letter.replayed"
    letter_id: str
    run_id: str
    pipeline: str
    by: str = ""
    of_run: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterPurged(Event):
    """Somebody gave a dead letter up."""

    name: ClassVar[str] = "letter.purged"
    letter_id: str
    pipeline: str
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionNoted(Event):
    """Why something waits, was passed over or ended: `what` is a stable word, `reason` for people."""

    name: ClassVar[str] = "decision.noted"
    pipeline: str
    what: str
    reason: str
    run_id: str | None = None
    node: str = ""
