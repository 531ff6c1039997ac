"""What is known of work while it waits or is under way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnWait:
    """A unit that waits for its turn: its place from 1, how long it waits, and for what."""

    run_id: str
    node: str
    pipeline: str
    priority: int
    position: int
    waited_s: float
    reason: str
