"""When pipelines fire: what is asked for, what became of each fire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, Literal, Protocol

from openbell.model.quick import quick
from openbell.sdk.values import to_us

Catching = Literal["run_all", "latest", "coalesce", "skip", "if_before"]
"""Which of the fires that nobody was there for are made up for."""

Overlap = Literal["skip", "queue_one", "queue_all", "cancel_running", "allow"]
"""What a fire does while runs of its pipeline are going on."""

FireOutcome = Literal["run", "skipped"]


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})  # python 3.11 cannot hash it: no plain default


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedRule:
    """`on_missed:` of a schedule.

    `if_before` is a schedule expression: a missed fire still runs before the first moment of it
    that follows the fire. Of what would run only the newest `most` do, `spread_s` seconds apart.
    """

    catching: Catching = "run_all"
    if_before: str | None = None
    most: int = 100
    spread_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleUse:
    """One schedule of a pipeline: an expression, and how its fires are taken.

    It is silent before `active_from` and from `active_until` on. A fire runs up to `jitter_s`
    seconds late, always by the same for one fire. `params` go over the pipeline's.
    """

    expression: str
    dst_missing: Literal["shift", "skip"] = "shift"
    dst_duplicate: Literal["first", "last", "both"] = "first"
    active_from: datetime | None = None
    active_until: datetime | None = None
    jitter_s: float = 0.0
    on_missed: MissedRule = field(default_factory=MissedRule)
    params: Mapping[str, Any] = field(default_factory=_nothing)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRecord:
    """A schedule as history knows it: `key` is its meaning, one of a pipeline and for ever.

    Every fire due up to `decided_until` has been decided: each by itself, or, of those due up to
    `passed_until`, some as a whole. `origin` is config or api; one of the configuration that left
    it, or one of the API that was deleted, has `removed_at`.
    """

    schedule_id: str
    pipeline: str
    key: str
    use: ScheduleUse
    origin: Literal["config", "api"]
    added_at: datetime
    added_by: str
    decided_until: datetime
    passed_until: datetime
    paused: bool = False
    removed_at: datetime | None = None
    removed_by: str = ""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class FireRecord:
    """What became of one fire: the run that it began, or why it began none."""

    pipeline: str
    identity: str
    schedule_id: str
    session: date | None
    event: str
    index: int
    due_at: datetime
    decided_at: datetime
    outcome: FireOutcome
    reason: str = ""
    run_id: str | None = None

    @property
    def cursor(self) -> str:
        """Its place among the fires, newest decision first, as text; `fire_place` reads it."""
        at = f"{to_us(self.decided_at)}.{to_us(self.due_at)}"
        return f"{at}.{self.pipeline}.{self.identity}"


def fire_place(cursor: str) -> tuple[int, int, str, str]:
    """Return what a fire's cursor says: decided, due, pipeline, identity; raises ValueError."""
    decided_us, due_us, pipeline, identity = cursor.split(".", 3)
    return int(decided_us), int(due_us), pipeline, identity


NEWEST_FIRE = (2**63 - 1, 0, "", "")
"""A place before that of every fire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleStatus:
    """A schedule as it stands. It is `waiting` before `active_from`, and `failed` for `reason`.

    `next_at` is the next fire, None when none is known. `last` is the newest decided fire.
    """

    record: ScheduleRecord
    state: Literal["active", "paused", "waiting", "over", "failed"]
    next_at: datetime | None = None
    next_session: date | None = None
    last: FireRecord | None = None
    reason: str = ""


class UnknownScheduleError(Exception):
    """No schedule has this id."""

    def __init__(self, schedule_id: str) -> None:
        super().__init__(f"schedule {schedule_id!r} is unknown; `mdp get schedules` lists them")
        self.schedule_id = schedule_id


class Schedules(Protocol):
    """What the API asks of the scheduler; `openbell.supervisor.firing` answers."""

    def statuses(self, pipeline: str | None = None) -> Sequence[ScheduleStatus]:
        """Return every schedule in force, by pipeline and expression."""
        ...

    async def add(self, pipeline: str, use: ScheduleUse, *, by: str) -> ScheduleStatus:
        """Add a schedule; it is durable when this returns.

        Raises SettingsError for an expression that cannot be read, UnknownPipelineError, and
        ConflictError when the pipeline has a schedule of this meaning.
        """
        ...

    async def remove(self, schedule_id: str, *, by: str) -> ScheduleStatus:
        """Delete a schedule that was added; one of the configuration raises ConflictError."""
        ...

    async def pause(self, schedule_id: str, *, by: str) -> ScheduleStatus:
        """Take no fires for now; at `resume` those are missed fires."""
        ...

    async def resume(self, schedule_id: str, *, by: str) -> ScheduleStatus:
        """Take fires again; `on_missed` decides about those since the pause."""
        ...

    async def fires(
        self, *, pipeline: str | None = None, limit: int = 100, before: str | None = None
    ) -> Sequence[FireRecord]:
        """Return decided fires, newest first, those after the `cursor` of another in this order."""
        ...
