"""Schedules at work on a manual clock: sessions on weekdays, pipelines that end at once."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from doubles import scripted
from doubles.scripted import REGISTRY, Play, ScriptedPool, Seen, Weekdays, deployment, pipeline
from openbell.calendars.table import CalendarTable, to_day
from openbell.model.history import History, RunFilter
from openbell.model.ids import IdSource
from openbell.model.pipelines import Deployment, Pipeline
from openbell.model.runs import RunRecord
from openbell.model.schedules import ScheduleUse
from openbell.pacing.broker import PacingBroker
from openbell.sdk.clock import Clock
from openbell.sdk.errors import FatalError
from openbell.sdk.values import to_us
from openbell.supervisor.engine import LiveEngine
from openbell.supervisor.firing.schedules import ScheduleDesk
from openbell.supervisor.journal import Journal
from openbell.supervisor.restart import RestartPolicy
from openbell.supervisor.services import Services
from openbell.testing import MemoryHistory
from openbell.testing.clock import ManualClock

FIRST, LAST = date(2025, 6, 2), date(2026, 12, 31)
OPEN, CLOSE = time(14, 30, tzinfo=UTC), time(21, tzinfo=UTC)


class Names:
    """Calendars: WEEKDAYS and BROKEN, which cannot be built."""

    def canonical(self, calendar: str) -> str:
        return calendar.upper()

    def events(self, calendar: str) -> Sequence[str]:
        del calendar
        return ()


@dataclass
class WeekdayCalendars:
    """Sessions on weekdays from 14:30 to 21:00 UTC, and corrections: a day's close, None for closed."""

    corrections: dict[date, time | None] = field(default_factory=dict)
    last: date = LAST
    is_broken: bool = False

    @property
    def names(self) -> Names:
        return Names()

    async def table(self, calendar: str, *, through: date | None = None) -> CalendarTable:
        del through
        if self.is_broken or calendar != "WEEKDAYS":
            raise FatalError(f"calendar {calendar!r} cannot be built")
        days = [FIRST + timedelta(days=n) for n in range((self.last - FIRST).days + 1)]
        inside = [
            day
            for day in days
            if self.corrections.get(day, CLOSE if day.weekday() < 5 else None) is not None
        ]
        closes = [datetime.combine(d, self.corrections.get(d) or CLOSE) for d in inside]
        return CalendarTable(
            calendar="WEEKDAYS",
            zone="UTC",
            library="made",
            first_day=to_day(FIRST),
            last_day=to_day(self.last),
            is_bounded=False,
            days=array("q", map(to_day, inside)),
            opens_us=array("q", [to_us(datetime.combine(day, OPEN)) for day in inside]),
            closes_us=array("q", map(to_us, closes)),
            break_indices=array("q"),
            break_starts_us=array("q"),
            break_ends_us=array("q"),
            digest=str(sorted(self.corrections.items())),
        )


class JumpingClock:
    """A manual clock whose wall can be set: time goes on as the inner clock says."""

    def __init__(self, inner: ManualClock) -> None:
        self.inner = inner
        self.offset = timedelta(0)

    def now(self) -> datetime:
        return self.inner.now() + self.offset

    def monotonic(self) -> float:
        return self.inner.monotonic()

    async def sleep_until(self, instant: datetime) -> None:
        while (left := instant - self.now()) > timedelta(0):
            await self.inner.sleep(min(left.total_seconds(), 30.0))

    async def sleep(self, delay_s: float) -> None:
        await self.inner.sleep(delay_s)

    def jump(self, by: timedelta) -> None:
        self.offset += by


def scheduled(*uses: ScheduleUse | str, name: str = "job", **changes: Any) -> Pipeline:
    """Return a pipeline with these schedules, one session a run."""
    found = tuple(u if isinstance(u, ScheduleUse) else ScheduleUse(expression=u) for u in uses)
    options = {"mode": "interval", "job": None, "start": None, "end": None, **changes}
    return pipeline(name, schedule=found, **options)


@dataclass
class FiringWorld:
    """An engine that fires schedules, and everything a test wants to look at."""

    engine: LiveEngine
    history: History
    clock: Any
    inner: ManualClock
    seen: Seen
    pool: ScriptedPool
    calendars: WeekdayCalendars
    services: Services
    deployed: list[Deployment]

    @property
    def schedules(self) -> ScheduleDesk:
        assert self.engine.schedules is not None
        return self.engine.schedules

    async def settle(self, seconds: float = 0.0) -> None:
        await self.inner.advance(seconds)

    async def until(self, instant: datetime) -> None:
        """Let time go on to an instant of the wall."""
        await self.inner.advance(max(0.0, (instant - self.clock.now()).total_seconds()))

    async def runs(self, pipeline: str = "job") -> list[RunRecord]:
        """Return every run that a fire began, by when it was due."""
        found = await self.history.runs(RunFilter(pipeline=pipeline, limit=100_000))
        return sorted((r for r in found if r.due_at), key=lambda run: (str(run.due_at), run.fire))

    async def reload(self, *pipelines: Pipeline) -> None:
        self.deployed[0] = deployment(*pipelines)
        await self.engine.reload()


@asynccontextmanager
async def firing(
    *pipelines: Pipeline,
    at: datetime = datetime(2026, 1, 5, 12, tzinfo=UTC),
    history: History | None = None,
    calendars: WeekdayCalendars | None = None,
    scripts: Sequence[Play] = (scripted.succeed,),
    policy: RestartPolicy | None = None,
    seed: int = 1,
) -> AsyncIterator[FiringWorld]:
    """Yield an engine that fires schedules."""
    inner = ManualClock(at)
    clock: Clock = JumpingClock(inner)
    seen = Seen()
    kept = history if history is not None else MemoryHistory()
    pool = ScriptedPool(list(scripts))
    bits = itertools.count(seed << 40)
    made = calendars or WeekdayCalendars()
    deployed = [replace(deployment(*pipelines))]
    services = Services(
        clock=clock,
        history=kept,
        journal=Journal(kept, [seen], clock=clock),
        executor=pool,
        broker=PacingBroker(clock),
        sessions=Weekdays(),
        specs=REGISTRY,
        ids=IdSource(lambda _: next(bits)),
        state_dir=Path("/nowhere"),
        deployment=deployed[0],
        jitter=lambda: 0.5,
        random_bits=lambda _: next(bits),
    )

    async def load() -> Deployment:
        return deployed[0]

    engine = LiveEngine(
        services,
        pool,
        load=load,
        parse=lambda _: pipeline("from_api"),
        policy=policy,
        calendars=made,
    )
    async with engine:
        yield FiringWorld(engine, kept, clock, inner, seen, pool, made, services, deployed)
