"""What can happen to schedules and to the clock that they go by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import ClassVar, Literal

from openbell.model.event import Event
from openbell.model.schedules import FireOutcome, ScheduleUse


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleAdded(Event):
    """A pipeline has a schedule that it had not, or has it again; fires from `at` on count."""

    name: ClassVar[str] = "schedule.added"
    schedule_id: str
    pipeline: str
    key: str
    use: ScheduleUse
    origin: Literal["config", "api"]
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRemoved(Event):
    """A schedule was deleted or left the configuration; what it fired stays on record."""

    name: ClassVar[str] = "schedule.removed"
    schedule_id: str
    pipeline: str
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePaused(Event):
    """Somebody paused a schedule (`paused`), or let it go on."""

    name: ClassVar[str] = "schedule.paused"
    schedule_id: str
    pipeline: str
    paused: bool
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FireDecided(Event):
    """A fire began the run `run_id`, or is `skipped` for `reason`. One fire is decided once.

    History refuses a second decision about the same `identity` of the same pipeline. With it every
    fire of the schedule due up to `until` is decided, if that is given. `late_s` counts from when the
    run was to start, jitter included. A fire decided before it is due is let go later.
    """

    name: ClassVar[str] = "fire.decided"
    schedule_id: str
    pipeline: str
    identity: str
    session: date | None
    event: str
    index: int
    due_at: datetime
    outcome: FireOutcome
    reason: str = ""
    run_id: str | None = None
    until: datetime | None = None
    late_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FireLetGo(Event):
    """The run of a fire that was decided before it was due may begin, `late_s` after it was due."""

    name: ClassVar[str] = "fire.let_go"
    durable: ClassVar[bool] = False
    pipeline: str
    run_id: str
    late_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FireTakenBack(Event):
    """A fire that was decided before it was due is not decided any more: plans changed meanwhile.

    Its run `run_id` ends as cancelled in the same transaction. Fires of the schedule that are due
    after `until` are to be decided.
    """

    name: ClassVar[str] = "fire.taken_back"
    schedule_id: str
    pipeline: str
    identity: str
    run_id: str
    reason: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleAdvanced(Event):
    """Every fire of a schedule due up to `until` is decided; `passed_over` of them as a whole."""

    name: ClassVar[str] = "schedule.advanced"
    schedule_id: str
    pipeline: str
    until: datetime
    passed_over: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockJumped(Event):
    """The wall clock went another way than time: set by hand, or the machine was suspended."""

    name: ClassVar[str] = "clock.jumped"
    by_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelinePaused(Event):
    """Somebody paused a pipeline (`paused`), or let it go on. The empty name is all of them."""

    name: ClassVar[str] = "pipeline.paused"
    pipeline: str
    paused: bool
    by: str = ""
