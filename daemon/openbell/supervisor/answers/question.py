"""What a control node asks of the daemon, and how it is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from openbell.supervisor.runs.context import RunContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A control node at work: its settings, filled in and validated, and when it began.

    Deadlines and timeouts count from `asked_at`: when the attempt began, the first one over all
    restarts. `item` is the number of an instance of a node with `for_each`, else -1.
    """

    context: RunContext
    node: str
    settings: Mapping[str, Any]
    asked_at: datetime
    attempt: int
    item: int = -1

    def left_s(self, limit_s: float) -> float:
        """Return seconds until `limit_s` seconds after the attempt began; not below 0."""
        due_at = self.asked_at + timedelta(seconds=limit_s)
        return max(0.0, (due_at - self.context.services.clock.now()).total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a control node ends: the label that edges see, and a reference to what it made."""

    outcome: str = "success"
    output: Mapping[str, Any] | None = None


class StandIn(Protocol):
    """Answers control nodes in place of people, files, vendors and webhooks."""

    def way(self, question: Question, op: str) -> Callable[[Question], Awaitable[Answer]] | None:
        """Return how a node is answered, None for one that the daemon itself answers."""
        ...


FAILED = "failed"
SKIPPED = "skipped"


def value(plain: Any) -> Mapping[str, Any]:  # noqa: ANN401 - plain JSON
    """Return the reference to a small plain value."""
    return {"kind": "value", "value": plain}
