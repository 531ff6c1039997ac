"""What the API answers about schedules, for the OpenAPI document."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field


class Fire(BaseModel):
    """What became of one fire: the run that it began, or why it began none."""

    pipeline: str
    schedule_id: str
    fire: str
    session: date | None
    event: str
    index: int
    due_at: datetime
    decided_at: datetime
    outcome: Literal["run", "skipped"]
    reason: str
    run_id: str | None


class ScheduleDst(BaseModel):
    """What happens to local times when clocks change."""

    missing: Literal["shift", "skip"]
    duplicate: Literal["first", "last", "both"]


class ScheduleActive(BaseModel):
    """The time in which it fires."""

    start: datetime | None = Field(alias="from")
    until: datetime | None


class ScheduleMissed(BaseModel):
    """What becomes of missed fires."""

    catch: Literal["run_all", "latest", "coalesce", "skip"] | None
    if_before: str | None
    most: int
    spread_s: float


class Schedule(BaseModel):
    """A schedule as it stands; `next_at` is null when no fire is known."""

    id: str
    pipeline: str
    when: str
    state: Literal["active", "paused", "waiting", "over", "failed"]
    reason: str
    next_at: datetime | None
    next_session: date | None
    last: Fire | None
    origin: Literal["config", "api"]
    key: str
    paused: bool
    dst: ScheduleDst
    active: ScheduleActive
    jitter_s: float
    on_missed: ScheduleMissed
    params: dict[str, Any]
    added_at: datetime
    added_by: str
    decided_until: datetime
    removed_at: datetime | None
    removed_by: str
