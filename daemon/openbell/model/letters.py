"""Work that failed for good, and why work did not run."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from openbell.model.quick import quick


class UnknownLetterError(Exception):
    """There is no dead letter with this id."""

    def __init__(self, letter_id: str) -> None:
        super().__init__(f"dead letter {letter_id!r} is unknown")
        self.letter_id = letter_id


class LetterState(enum.StrEnum):
    """Where a dead letter stands."""

    WAITING = "waiting"
    REPLAYED = "replayed"
    PURGED = "purged"


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A node, or item number `item` of its fan-out, whose attempts are used up.

    `input` is a reference to what it was given. `replayed_by` is the run that does it again;
    `settled_at` is when that was submitted or the letter was purged, and `settled_by` who did it.
    """

    letter_id: str
    run_id: str
    pipeline: str
    node: str
    item: int | None
    state: LetterState
    error_kind: str
    error: str
    traceback: str
    attempts: int
    params: Mapping[str, Any]
    input: Mapping[str, Any] | None
    created_at: datetime
    replayed_by: str | None = None
    settled_at: datetime | None = None
    settled_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which letters to list, newest first. `before` is a letter's id: only older ones.

    `kind` is an error kind, `since` an instant: only those written then or later.
    """

    pipeline: str | None = None
    state: LetterState | None = None
    run_id: str | None = None
    kind: str | None = None
    since: datetime | None = None
    before: str | None = None
    limit: int = 50


MAX_DECISIONS = 100
"""How many decisions about one run, or about a pipeline outside its runs, are kept: the newest."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Why something waits, was passed over or ended: `what` is a stable word, `reason` for people.

    `at` is since when that holds: the same decision again, right after itself, is not kept twice.
    """

    id: int
    at: datetime
    pipeline: str
    run_id: str | None
    node: str
    what: str
    reason: str
