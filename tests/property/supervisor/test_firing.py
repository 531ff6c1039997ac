"""Whatever is killed, set or corrected at whatever instant: every fire is decided once."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import anyio
import pytest
from doubles.firing import CLOSE, WeekdayCalendars, firing, scheduled
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from openbell.calendars.table import CalendarTable
from openbell.model import events as ev
from openbell.model.calendars import Overlay
from openbell.model.schedules import MissedRule, ScheduleUse
from openbell.schedule.parser import parse
from openbell.schedule.planner import Planner
from openbell.testing import MemoryHistory

pytestmark = pytest.mark.property

BEGIN = datetime(2026, 1, 5, 12, tzinfo=UTC)
EXPRESSIONS = (
    "every 20m",
    "cron '*/30 * * * *' UTC",
    "WEEKDAYS every 45m in [open, close]",
    "WEEKDAYS close + 10m",
    "WEEKDAYS session at 16:00 UTC",
)
ALL = MissedRule(most=10_000, spread_s=0.0)

expressions = st.sampled_from(EXPRESSIONS)
pieces = st.lists(
    st.tuples(
        st.integers(0, 15 * 3600),  # seconds at work
        st.integers(0, 10 * 3600),  # seconds of downtime
        st.integers(0, 12),  # the record after which everything dies, 0 for none
        st.booleans(),  # whether it dies after it is on disk
    ),
    min_size=1,
    max_size=5,
)


class Killed(Exception):  # noqa: N818 - no error: the process is gone
    """The process is gone at once."""


class Mortal(MemoryHistory):
    """A history at whose n-th decision about fires the process dies, before or after it is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0
        self.is_after = False
        self.is_dead = False

    @override
    async def record(self, *events: ev.Event) -> tuple[ev.StoredEvent, ...]:
        if any(isinstance(event, ev.FireDecided) for event in events) and self.left:
            self.left -= 1
            if self.left == 0 and not self.is_dead:
                if self.is_after:
                    await super().record(*events)
                self.is_dead = True
        if self.is_dead:
            raise Killed
        return await super().record(*events)


class _Tables:
    def __init__(self, table: CalendarTable) -> None:
        self._table = table

    def sessions(self, calendar: str) -> CalendarTable:
        del calendar
        return self._table


async def planned(
    text: str, start: datetime, end: datetime, calendars: WeekdayCalendars
) -> list[tuple[str, datetime]]:
    """Return identities and instants of the fires after `start` up to `end`."""
    planner = Planner(_Tables(await calendars.table("WEEKDAYS")))
    tick = timedelta(microseconds=1)
    found = planner.between(parse(text, calendars.names), start + tick, end + tick)
    return [(fire.identity, fire.at) for fire in found]


async def settled(history: MemoryHistory) -> list[tuple[str, datetime]]:
    fires = await history.fires(limit=1_000_000)
    assert {fire.outcome for fire in fires} <= {"run"}
    return sorted(((f.identity, f.due_at) for f in fires), key=lambda each: (each[1], each[0]))


@settings(max_examples=20, deadline=None)
@given(text=expressions, spans=pieces, jitter_s=st.sampled_from([0.0, 900.0]))
def test_a_restart_at_any_instant_neither_loses_nor_repeats_a_fire(
    text: str, spans: list[tuple[int, int, int, bool]], jitter_s: float
) -> None:
    async def story() -> None:
        history, now, calendars = Mortal(), BEGIN, WeekdayCalendars()
        use = ScheduleUse(expression=text, jitter_s=jitter_s, on_missed=ALL)
        pipeline = scheduled(use, overlap="queue_all")
        # What is added last counts until it is on record: the first start is not killed.
        async with firing(pipeline, at=now, history=history) as world:
            await world.settle()
        for number, (work_s, down_s, left, is_after) in enumerate(spans):
            history.left, history.is_after, history.is_dead = left, is_after, False
            options: Any = {"history": history, "calendars": calendars, "seed": number + 2}
            try:
                async with firing(pipeline, at=now, **options) as world:
                    await world.settle(work_s)
            except* Killed:
                pass
            now += timedelta(seconds=work_s + down_s)
        history.left, history.is_dead = 0, False
        async with firing(pipeline, at=now, history=history, seed=99) as world:
            await world.settle(7200)
            end = world.clock.now()
            runs = await world.runs()
        found = await settled(history)
        wanted = await planned(text, BEGIN, end, calendars)
        done = [fire for fire in wanted if fire[1] <= end - timedelta(seconds=jitter_s)]
        assert [fire for fire in found if fire in done] == sorted(done, key=lambda f: (f[1], f[0]))
        assert set(found) <= set(wanted)
        assert sorted(run.fire for run in runs) == sorted(identity for identity, _ in found)
        assert {str(run.state) for run in runs if not _is_fresh(run, end)} <= {"success"}

    anyio.run(story)


def _is_fresh(run: Any, end: datetime) -> bool:
    return bool(run.submitted_at > end - timedelta(seconds=1))


@settings(max_examples=20, deadline=None)
@given(
    text=expressions,
    jumps=st.lists(st.tuples(st.integers(60, 40_000), st.integers(-50_000, 50_000)), max_size=4),
)
def test_clock_jumps_neither_lose_nor_repeat_a_fire(
    text: str, jumps: list[tuple[int, int]]
) -> None:
    async def story() -> None:
        history, calendars = MemoryHistory(), WeekdayCalendars()
        use = ScheduleUse(expression=text, on_missed=ALL)
        newest = BEGIN
        async with firing(scheduled(use, overlap="queue_all"), history=history) as world:
            await world.settle()
            for work_s, jump_s in jumps:
                await world.settle(work_s)
                newest = max(newest, world.clock.now())
                world.clock.jump(timedelta(seconds=jump_s))
                await world.settle(1000)
                newest = max(newest, world.clock.now())
            await world.until(max(newest, world.clock.now()))
            await world.settle(1)
            newest = max(newest, world.clock.now())
        found = await settled(history)
        wanted = set(await planned(text, BEGIN, newest, calendars))
        assert wanted <= set(found)
        assert len({identity for identity, _ in found}) == len(found)
        early = [fire for fire in found if fire not in wanted]
        assert all(at <= BEGIN for _, at in early)

    anyio.run(story)


@settings(max_examples=20, deadline=None)
@given(
    work_s=st.integers(0, 3 * 86_400),
    day=st.integers(5, 9),
    close_minute=st.none() | st.integers(15 * 60, 23 * 60 + 59),
)
def test_a_correction_at_any_instant_fires_every_session_once(
    work_s: int, day: int, close_minute: int | None
) -> None:
    async def story() -> None:
        label = date(2026, 1, day)
        calendars = WeekdayCalendars()
        use = ScheduleUse(expression="WEEKDAYS close", on_missed=ALL)
        async with firing(scheduled(use, overlap="queue_all"), calendars=calendars) as world:
            await world.settle(work_s)
            before = world.clock.now()
            close = None if close_minute is None else time(*divmod(close_minute, 60), tzinfo=UTC)
            calendars.corrections[label] = close
            overlay = Overlay(calendar="WEEKDAYS", session=label, closed=True, reason="r")
            await world.services.journal.record(
                ev.OverlayAdded(at=before, overlay_id="ovl_1", overlay=overlay, by="me")
            )
            await world.until(datetime(2026, 1, 10, tzinfo=UTC))
            sessions = [run.session for run in await world.runs()]
        had_fired = datetime.combine(label, CLOSE) <= before
        days = [d for d in range(5, 10) if d != day or close is not None or had_fired]
        assert sorted(str(s) for s in sessions) == [f"2026-01-{d:02}" for d in days]

    anyio.run(story)


@settings(max_examples=15, deadline=None)
@given(
    text=expressions,
    steps=st.lists(st.tuples(st.integers(0, 30_000), st.booleans()), min_size=1, max_size=6),
)
def test_deleting_and_adding_never_repeats_a_fire_and_skips_only_what_was_due_in_between(
    text: str, steps: list[tuple[int, bool]]
) -> None:
    async def story() -> None:
        history, calendars = MemoryHistory(), WeekdayCalendars()
        pipeline = scheduled(ScheduleUse(expression=text, on_missed=ALL), overlap="queue_all")
        wanted: set[tuple[str, datetime]] = set()
        async with firing(pipeline, history=history) as world:
            await world.settle()
            since, is_there = BEGIN, True
            for work_s, is_wanted in steps:
                await world.settle(work_s)
                now = world.clock.now()
                if is_there:
                    wanted |= set(await planned(text, since, now, calendars))
                await world.reload(pipeline if is_wanted else scheduled())
                await world.settle()
                since, is_there = now, is_wanted
        assert set(await settled(history)) == wanted

    anyio.run(story)
