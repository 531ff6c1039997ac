"""What changes while schedules are at work: definitions, pauses, calendars, other runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time

import pytest
from doubles.firing import WeekdayCalendars, firing, scheduled
from doubles.scripted import until_stopped

from openbell.model.calendars import Overlay
from openbell.model.control import ConflictError, UnknownPipelineError
from openbell.model.events import ActorCrashed, OverlayAdded
from openbell.model.schedules import MissedRule, ScheduleUse, UnknownScheduleError
from openbell.sdk.errors import SettingsError
from openbell.testing import MemoryHistory

pytestmark = [pytest.mark.unit, pytest.mark.anyio]


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 1, day, hour, minute, tzinfo=UTC)


def corrected(day: int, world_at: datetime) -> OverlayAdded:
    overlay = Overlay(calendar="WEEKDAYS", session=date(2026, 1, day), closed=True, reason="r")
    return OverlayAdded(at=world_at, overlay_id=f"ovl_{day}", overlay=overlay, by="me")


async def test_deleting_and_adding_again_fires_nothing_twice() -> None:
    async with firing(scheduled("WEEKDAYS close")) as world:
        await world.until(at(5, 22))
        await world.reload(scheduled())
        assert world.schedules.statuses() == []
        await world.reload(scheduled("WEEKDAYS   CLOSE  # the same"))
        await world.until(at(6, 22))
        assert [run.due_at for run in await world.runs()] == [at(5, 21), at(6, 21)]


async def test_what_was_due_while_a_schedule_was_deleted_is_not_missed() -> None:
    async with firing(scheduled("every 1h")) as world:
        await world.reload(scheduled())
        await world.until(at(5, 15, 30))
        await world.reload(scheduled("every 1h"))
        await world.until(at(5, 16, 30))
        assert [run.due_at for run in await world.runs()] == [at(5, 16)]


async def test_another_policy_or_parameter_fires_nothing_twice() -> None:
    async with firing(scheduled("every 1h")) as world:
        await world.until(at(5, 13, 10))
        await world.reload(scheduled(ScheduleUse(expression="every 1h", jitter_s=600.0)))
        await world.until(at(5, 14, 30))
        assert [run.due_at for run in await world.runs()] == [at(5, 13), at(5, 14)]


async def test_jitter_delays_a_fire_always_by_the_same() -> None:
    use = ScheduleUse(expression="every 1h", jitter_s=1800.0)
    starts = []
    for _ in range(2):
        async with firing(scheduled(use)) as world:
            await world.settle()
            (status,) = world.schedules.statuses()
            await world.until(at(5, 13, 45))
            (run,) = await world.runs()
            starts.append(run.submitted_at)
            assert (status.next_at, run.due_at) == (run.submitted_at, at(5, 13))
            assert at(5, 13) <= run.submitted_at <= at(5, 13, 30)
    assert starts[0] == starts[1]


async def test_a_fire_that_waits_for_its_jitter_survives_a_crash() -> None:
    use = ScheduleUse(expression="every 1h", jitter_s=1800.0, on_missed=MissedRule(catching="skip"))
    history = MemoryHistory()
    async with firing(scheduled(use), history=history) as world:
        await world.until(
            at(
                5,
                13,
                0,
            )
        )
        assert await world.runs() == []
    async with firing(scheduled(use), at=at(5, 13, 0), history=history, seed=2) as world:
        await world.until(at(5, 13, 45))
        assert [run.due_at for run in await world.runs()] == [at(5, 13)]


async def test_a_schedule_is_silent_outside_its_active_time() -> None:
    use = ScheduleUse(expression="every 1h", active_from=at(5, 14), active_until=at(5, 16))
    async with firing(scheduled(use)) as world:
        await world.settle()
        assert [s.state for s in world.schedules.statuses()] == ["waiting"]
        await world.until(at(5, 20))
        assert [run.due_at for run in await world.runs()] == [at(5, 14), at(5, 15)]
        assert [s.state for s in world.schedules.statuses()] == ["over"]


async def test_fires_of_a_paused_schedule_are_missed_ones_when_it_goes_on() -> None:
    use = ScheduleUse(expression="every 1h", on_missed=MissedRule(catching="latest"))
    async with firing(scheduled(use)) as world:
        await world.settle()
        schedule_id = world.schedules.statuses()[0].record.schedule_id
        assert (await world.schedules.pause(schedule_id, by="me")).state == "paused"
        await world.until(at(5, 15, 10))
        assert await world.runs() == []
        assert (await world.schedules.resume(schedule_id, by="me")).state == "active"
        await world.settle(10)
        assert [run.due_at for run in await world.runs()] == [at(5, 15)]


async def test_a_paused_pipeline_stays_paused_over_a_restart_and_misses_its_fires() -> None:
    history = MemoryHistory()
    async with firing(scheduled("every 1h"), history=history) as world:
        await world.settle()
        await world.engine.pause("job")
    async with firing(scheduled("every 1h"), at=at(5, 15, 10), history=history, seed=2) as world:
        await world.settle(60)
        assert world.engine.pipelines()[0].state == "paused"
        assert [s.state for s in world.schedules.statuses()] == ["paused"]
        assert await world.runs() == []
        await world.engine.resume("job")
        await world.settle(10)
        assert [run.due_at for run in await world.runs()] == [at(5, h) for h in (13, 14, 15)]


async def test_a_schedule_of_the_api_survives_restarts_and_reloads() -> None:
    history = MemoryHistory()
    async with firing(scheduled(), history=history) as world:
        await world.settle()
        added = await world.schedules.add("job", ScheduleUse(expression="every 1h"), by="me")
        assert added.next_at == at(5, 13)
    async with firing(scheduled(), at=at(5, 12, 30), history=history, seed=2) as world:
        await world.reload(scheduled())
        await world.until(at(5, 13, 30))
        assert [run.due_at for run in await world.runs()] == [at(5, 13)]
        await world.schedules.remove(added.record.schedule_id, by="me")
        await world.until(at(5, 14, 30))
        assert len(await world.runs()) == 1
        assert (await world.schedules.fires(pipeline="job"))[0].due_at == at(5, 13)


async def test_a_one_shot_fires_once_and_is_over() -> None:
    async with firing(scheduled()) as world:
        await world.settle()
        use = ScheduleUse(expression="at 2026-01-05T14:00Z")
        await world.schedules.add("job", use, by="me")
        await world.until(at(5, 15))
        assert [run.due_at for run in await world.runs()] == [at(5, 14)]
        assert [s.state for s in world.schedules.statuses("job")] == ["over"]


async def test_schedules_that_cannot_be_are_refused() -> None:
    async with firing(scheduled("every 1h")) as world:
        await world.settle()
        desk = world.schedules
        with pytest.raises(SettingsError):
            await desk.add("job", ScheduleUse(expression="every 0s"), by="me")
        with pytest.raises(UnknownPipelineError):
            await desk.add("other", ScheduleUse(expression="every 2h"), by="me")
        with pytest.raises(ConflictError, match="means the same"):
            await desk.add("job", ScheduleUse(expression="every 60m"), by="me")
        with pytest.raises(ConflictError, match="configuration"):
            await desk.remove(desk.statuses()[0].record.schedule_id, by="me")
        with pytest.raises(UnknownScheduleError):
            await desk.pause("sch_none", by="me")


async def test_a_fire_that_a_correction_moves_into_the_past_is_missed() -> None:
    async with firing(scheduled("WEEKDAYS close + 1h")) as world:
        await world.until(at(5, 20))
        world.calendars.corrections[date(2026, 1, 5)] = time(18, tzinfo=UTC)
        await world.services.journal.record(corrected(5, world.clock.now()))
        await world.settle(10)
        assert [run.due_at for run in await world.runs()] == [at(5, 19)]
        await world.until(at(6, 23))
        assert [run.due_at for run in await world.runs()] == [at(5, 19), at(6, 22)]


async def test_a_fire_that_ran_does_not_run_again_when_a_correction_moves_it() -> None:
    async with firing(scheduled("WEEKDAYS close")) as world:
        await world.until(at(5, 21, 30))
        world.calendars.corrections[date(2026, 1, 5)] = time(23, tzinfo=UTC)
        await world.services.journal.record(corrected(5, world.clock.now()))
        await world.until(at(6, 12))
        assert [run.due_at for run in await world.runs()] == [at(5, 21)]


async def test_a_closed_session_does_not_fire() -> None:
    async with firing(scheduled("WEEKDAYS close")) as world:
        await world.settle()
        world.calendars.corrections[date(2026, 1, 6)] = None
        await world.services.journal.record(corrected(6, world.clock.now()))
        await world.until(at(7, 22))
        assert [run.due_at for run in await world.runs()] == [at(5, 21), at(7, 21)]


async def test_a_calendar_that_cannot_be_built_is_a_state_until_it_can() -> None:
    calendars = WeekdayCalendars(is_broken=True)
    async with firing(scheduled("WEEKDAYS close", "every 12h"), calendars=calendars) as world:
        await world.settle()
        states = {s.record.use.expression: s for s in world.schedules.statuses()}
        assert states["WEEKDAYS close"].state == "failed"
        assert "cannot be built" in states["WEEKDAYS close"].reason
        calendars.is_broken = False
        await world.until(at(6, 22))
        due = [run.due_at for run in await world.runs()]
        assert at(6, 21) in due
        assert {s.state for s in world.schedules.statuses()} == {"active"}


async def test_the_end_of_a_calendar_is_a_state() -> None:
    calendars = WeekdayCalendars(last=date(2026, 1, 6))
    async with firing(scheduled("WEEKDAYS close"), calendars=calendars) as world:
        await world.until(at(7, 12))
        (status,) = world.schedules.statuses()
        assert (status.state, status.next_at) == ("failed", None)
        calendars.last = date(2026, 1, 9)
        await world.until(at(9, 22))
        assert [r.due_at for r in await world.runs()] == [at(d, 21) for d in (5, 6, 7, 8, 9)]


async def overlap(policy: str) -> tuple[list[str], list[str]]:
    """Return the states of runs and the outcomes of fires, three fires into a run that lasts."""
    async with firing(scheduled("every 1h", overlap=policy), scripts=[until_stopped]) as world:
        await world.until(at(5, 15, 30))
        fires = sorted(await world.schedules.fires(), key=lambda fire: fire.due_at)
        return [str(r.state) for r in await world.runs()], [fire.outcome for fire in fires]


async def test_overlap_decides_what_a_fire_does_while_a_run_goes_on() -> None:
    assert await overlap("skip") == (["running"], ["run", "skipped", "skipped"])
    assert await overlap("queue_one") == (["running", "queued"], ["run", "run", "skipped"])
    assert await overlap("queue_all") == (["running", "queued", "queued"], ["run"] * 3)
    assert await overlap("allow") == (["running"] * 3, ["run"] * 3)
    assert await overlap("cancel_running") == (["cancelled", "cancelled", "running"], ["run"] * 3)


async def test_fires_of_a_parked_schedule_task_wait_for_its_restart() -> None:
    history = MemoryHistory()
    async with firing(scheduled("every 1h"), history=history) as world:
        await world.settle()
        history.failures.append(RuntimeError("a bug"))
        await world.until(at(5, 13, 10))
        assert [e.pipeline for e in world.seen.of(ActorCrashed)] == ["(schedules)"]
        assert [run.due_at for run in await world.runs()] == [at(5, 13)]


async def test_parameters_that_nobody_hears_skip_a_fire_with_the_reason() -> None:
    use = ScheduleUse(expression="every 1h", params={"nonsense": 1})
    async with firing(scheduled(use)) as world:
        await world.until(at(5, 13, 10))
        (fire,) = await world.schedules.fires()
        assert (fire.outcome, "nonsense" in fire.reason) == ("skipped", True)


async def test_a_pipeline_that_leaves_takes_its_schedules_along() -> None:
    async with firing(scheduled("every 1h"), scheduled("every 1h", name="other")) as world:
        await world.settle()
        await world.reload(replace(scheduled("every 1h", name="other")))
        await world.until(at(5, 13, 10))
        assert [s.record.pipeline for s in world.schedules.statuses()] == ["other"]
        assert await world.runs() == []
