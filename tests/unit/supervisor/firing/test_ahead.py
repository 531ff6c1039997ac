"""Fires that are decided before they are due: nothing begins early, and plans may still change."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import anyio
import pytest
from doubles.firing import FiringWorld, WeekdayCalendars, firing, scheduled
from doubles.scripted import until_stopped
from typing_extensions import override

from openbell.calendars.table import CalendarTable
from openbell.model.calendars import Overlay
from openbell.model.control import Submission
from openbell.model.events import FireDecided, FireLetGo, FireTakenBack, OverlayAdded, RunStarted
from openbell.model.runs import RunState
from openbell.model.schedules import MissedRule, ScheduleUse
from openbell.testing import MemoryHistory

pytestmark = [pytest.mark.unit, pytest.mark.anyio]

DUE = datetime(2026, 1, 5, 13, tzinfo=UTC)
JUST_BEFORE = DUE - timedelta(milliseconds=400)
HOURLY = ScheduleUse(expression="every 1h", on_missed=MissedRule(catching="skip"))


async def states(world: FiringWorld) -> list[str]:
    return [str(run.state) for run in await world.runs()]


async def test_a_sure_fire_is_on_record_before_it_is_due_and_begins_when_it_is() -> None:
    async with firing(scheduled("every 1h")) as world:
        await world.until(JUST_BEFORE)
        (fire,) = world.seen.of(FireDecided)
        assert fire.at < fire.due_at == DUE
        assert await states(world) == ["queued"]
        await world.until(DUE)
        (started,) = world.seen.of(RunStarted)
        (let_go,) = world.seen.of(FireLetGo)
        assert (started.at, let_go.at, let_go.late_s) == (DUE, DUE, 0.0)
        assert await states(world) == ["success"]


async def test_a_fire_behind_a_run_is_decided_when_it_is_due() -> None:
    pipeline = scheduled("every 1h", overlap="skip")
    async with firing(pipeline, scripts=[until_stopped]) as world:
        await world.settle()
        await world.engine.submit(Submission(pipeline="job"))
        await world.until(JUST_BEFORE)
        assert world.seen.of(FireDecided) == []
        await world.until(DUE)
        (fire,) = world.seen.of(FireDecided)
        assert (fire.at, fire.outcome) == (DUE, "skipped")


async def test_a_run_that_waits_for_its_fire_survives_a_crash() -> None:
    history = MemoryHistory()
    async with firing(scheduled(HOURLY), history=history) as world:
        await world.until(JUST_BEFORE)
        assert len(await world.runs()) == 1
    async with firing(scheduled(HOURLY), at=JUST_BEFORE, history=history, seed=2) as world:
        await world.settle(0.3)
        assert await states(world) == ["queued"]
        await world.until(DUE + timedelta(minutes=1))
        assert await states(world) == ["success"]
        assert world.seen.of(RunStarted)[0].at == DUE


@pytest.mark.parametrize("what", ["schedule", "pipeline"])
async def test_a_pause_takes_back_what_is_not_due_yet(what: str) -> None:
    async with firing(scheduled(HOURLY)) as world:
        await world.until(JUST_BEFORE)
        schedule_id = world.schedules.statuses()[0].record.schedule_id
        if what == "schedule":
            await world.schedules.pause(schedule_id, by="me")
        else:
            await world.engine.pause("job")
        (taken,) = world.seen.of(FireTakenBack)
        assert taken.reason == f"its {what} was paused"
        await world.until(DUE + timedelta(minutes=10))
        assert await states(world) == ["cancelled"]
        assert await world.schedules.fires() == []
        if what == "schedule":
            await world.schedules.resume(schedule_id, by="me")
        else:
            await world.engine.resume("job")
        await world.settle(1)
        assert [fire.outcome for fire in await world.schedules.fires()] == ["skipped"]
        await world.until(DUE + timedelta(hours=1))
        assert await states(world) == ["cancelled", "success"]


async def test_a_pause_that_is_over_before_the_fire_changes_nothing() -> None:
    async with firing(scheduled(HOURLY)) as world:
        await world.until(JUST_BEFORE)
        await world.engine.pause("job")
        await world.engine.resume("job")
        await world.until(DUE)
        assert sorted(await states(world)) == ["cancelled", "success"]
        assert world.seen.of(RunStarted)[0].at == DUE


async def test_a_schedule_that_leaves_takes_its_fire_along() -> None:
    async with firing(scheduled(HOURLY)) as world:
        await world.until(JUST_BEFORE)
        await world.reload(scheduled())
        await world.until(DUE)
        assert await states(world) == ["cancelled"]
        assert await world.schedules.fires() == []


async def test_a_schedule_of_the_api_that_is_deleted_takes_its_fire_along() -> None:
    async with firing(scheduled()) as world:
        await world.settle()
        added = await world.schedules.add("job", HOURLY, by="me")
        await world.until(JUST_BEFORE)
        await world.schedules.remove(added.record.schedule_id, by="me")
        await world.until(DUE)
        assert await states(world) == ["cancelled"]


async def test_a_correction_moves_a_fire_that_was_decided() -> None:
    async with firing(scheduled("WEEKDAYS close")) as world:
        close = datetime(2026, 1, 5, 21, tzinfo=UTC)
        await world.until(close - timedelta(milliseconds=400))
        assert await states(world) == ["queued"]
        world.calendars.corrections[date(2026, 1, 5)] = time(23, tzinfo=UTC)
        overlay = Overlay(calendar="WEEKDAYS", session=date(2026, 1, 5), closed=True, reason="r")
        await world.services.journal.record(
            OverlayAdded(at=world.clock.now(), overlay_id="ovl_1", overlay=overlay, by="me")
        )
        await world.until(close + timedelta(hours=1))
        assert await states(world) == ["cancelled"]
        await world.until(close + timedelta(hours=3))
        found = [(run.state, run.due_at) for run in await world.runs()]
        moved = close + timedelta(hours=2)
        assert found == [(RunState.CANCELLED, close), (RunState.SUCCESS, moved)]
        (fire,) = await world.schedules.fires()
        assert fire.due_at == moved


async def test_a_correction_of_another_day_leaves_a_decided_fire_alone() -> None:
    async with firing(scheduled("WEEKDAYS close")) as world:
        close = datetime(2026, 1, 5, 21, tzinfo=UTC)
        await world.until(close - timedelta(milliseconds=400))
        world.calendars.corrections[date(2026, 1, 7)] = None
        overlay = Overlay(calendar="WEEKDAYS", session=date(2026, 1, 7), closed=True, reason="r")
        await world.services.journal.record(
            OverlayAdded(at=world.clock.now(), overlay_id="ovl_1", overlay=overlay, by="me")
        )
        await world.until(close + timedelta(hours=1))
        assert await states(world) == ["success"]
        assert world.seen.of(FireTakenBack) == []


async def test_a_cancelled_run_does_not_begin_when_its_fire_is_due() -> None:
    async with firing(scheduled(HOURLY)) as world:
        await world.until(JUST_BEFORE)
        (run,) = await world.runs()
        await world.engine.cancel(run.run_id, by="me")
        await world.until(DUE + timedelta(minutes=1))
        assert await states(world) == ["cancelled"]
        assert len(await world.schedules.fires()) == 1


async def test_a_clock_set_back_lets_a_decided_fire_wait_and_fires_it_once() -> None:
    async with firing(scheduled(HOURLY)) as world:
        await world.until(JUST_BEFORE)
        world.clock.jump(timedelta(minutes=-30))
        await world.settle(60)
        assert await states(world) == ["queued"]
        await world.until(DUE + timedelta(minutes=1))
        assert await states(world) == ["success"]


class HangingCalendars(WeekdayCalendars):
    """Never has the sessions of WEEKDAYS."""

    @override
    async def table(self, calendar: str, *, through: date | None = None) -> CalendarTable:
        await anyio.sleep_forever()
        raise AssertionError


async def test_a_calendar_that_never_comes_holds_up_nobody_else() -> None:
    pipelines = [
        scheduled("WEEKDAYS close", name="waits"),
        scheduled("every 1h", mode="live", name="job"),
    ]
    async with firing(*pipelines, calendars=HangingCalendars()) as world:
        await world.until(DUE)
        (waits,) = world.schedules.statuses("waits")
        assert (waits.state, waits.next_at) == ("active", None)
        assert [run.due_at for run in await world.runs()] == [DUE]
        await world.reload(*pipelines)
        await world.until(DUE + timedelta(hours=1))
        assert len(await world.runs()) == 2
