"""What every event has, and an event as history keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened at an instant (aware UTC).

    A durable event is in history before anyone sees it; the others are only passed on.
    """

    name: ClassVar[str] = ""
    durable: ClassVar[bool] = True
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event in history's order; `body` is plain JSON values."""

    id: int
    at: datetime
    name: str
    run_id: str | None
    pipeline: str | None
    body: Mapping[str, Any]
