"""What the API answers about calendars and corrections of them."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import BaseModel, Field


class Calendar(BaseModel):
    """How a calendar stands."""

    calendar: str
    state: str
    policy: str
    horizon: date | None
    sessions_left: int | None
    reason: str


class Session(BaseModel):
    """One session; a break is its start and end."""

    session: date
    open: datetime
    close: datetime
    breaks: list[tuple[datetime, datetime]]
    early_close: bool
    late_open: bool


class OverlayHours(BaseModel):
    """What a correction says of its day; hours are local."""

    id: str | None
    calendar: str
    day: date = Field(alias="date")
    closed: bool
    open: str | None
    close: str | None
    reason: str


class Overlay(OverlayHours):
    """A correction in force; one of the configuration has no id."""

    origin: str
    added_by: str
    added_at: datetime | None


class SessionChange(BaseModel):
    """What becomes of one day; null is no session."""

    session: date
    before: Session | None
    after: Session | None


class FireChange(BaseModel):
    """What becomes of one fire: it moves, appears (no `before`) or vanishes (no `after`)."""

    pipeline: str
    schedule: str
    session: date | None
    event: str
    index: int
    before: datetime | None
    after: datetime | None


class OverlayChange(OverlayHours):
    """What a correction changes; without an id it was only tried."""

    changes: list[SessionChange]
    fire_count: int
    fires: list[FireChange]
