"""Fires that nobody was there for, and clocks that do not go as time does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from doubles.firing import firing, scheduled

from openbell.model.events import ClockJumped, ScheduleAdvanced
from openbell.model.schedules import MissedRule, ScheduleUse
from openbell.testing import MemoryHistory

pytestmark = [pytest.mark.unit, pytest.mark.anyio]

MONDAY = datetime(2026, 1, 5, 12, tzinfo=UTC)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 1, day, hour, minute, tzinfo=UTC)


def use(text: str, **rule: object) -> ScheduleUse:
    return ScheduleUse(expression=text, on_missed=MissedRule(**rule))  # type: ignore[arg-type]


async def downtime(wanted: ScheduleUse, *, begin: datetime, again: datetime) -> list[object]:
    """Return the fires' due instants that ran after a downtime."""
    history = MemoryHistory()
    async with firing(scheduled(wanted), at=begin, history=history) as world:
        await world.settle(1)
        before = len(await world.runs())
    async with firing(scheduled(wanted), at=again, history=history, seed=2) as world:
        await world.settle(600)
        return [run.due_at for run in await world.runs()][before:]


async def test_missed_sessions_run_oldest_first_after_a_downtime() -> None:
    found = await downtime(use("WEEKDAYS close"), begin=MONDAY, again=at(8, 12))
    assert found == [at(5, 21), at(6, 21), at(7, 21)]


async def test_only_the_newest_runs_when_that_is_asked_for() -> None:
    found = await downtime(use("WEEKDAYS close", catching="latest"), begin=MONDAY, again=at(8, 12))
    assert found == [at(7, 21)]


async def test_coalesce_says_for_how_many_it_runs() -> None:
    history = MemoryHistory()
    wanted = use("WEEKDAYS close", catching="coalesce")
    async with firing(scheduled(wanted), history=history) as world:
        await world.settle(1)
    async with firing(scheduled(wanted), at=at(8, 12), history=history, seed=2) as world:
        await world.settle(10)
        fires = await history.fires()
    assert [(f.outcome, f.reason) for f in fires if f.run_id] == [("run", "missed, for 2 more")]
    assert len(fires) == 3


async def test_skip_makes_up_for_none() -> None:
    found = await downtime(use("WEEKDAYS close", catching="skip"), begin=MONDAY, again=at(8, 12))
    assert found == []


async def test_a_missed_fire_runs_only_before_its_deadline() -> None:
    wanted = use("WEEKDAYS close", catching="if_before", if_before="WEEKDAYS open")
    assert await downtime(wanted, begin=MONDAY, again=at(8, 12)) == [at(7, 21)]
    assert await downtime(wanted, begin=MONDAY, again=at(8, 15)) == []


async def test_a_year_of_missed_seconds_is_passed_over_as_a_whole() -> None:
    history = MemoryHistory()
    wanted = use("every 1s", most=5, spread_s=2.0)
    begin = datetime(2025, 1, 5, 12, tzinfo=UTC)
    async with firing(scheduled(wanted, overlap="queue_all"), at=begin, history=history) as world:
        await world.settle(2)
    count = len(await history.fires(limit=10_000))
    async with firing(
        scheduled(wanted, overlap="queue_all"), at=MONDAY, history=history, seed=2
    ) as world:
        await world.settle(9)
        (passed,) = world.seen.of(ScheduleAdvanced)
        made_up = [f for f in await history.fires(limit=10_000) if f.reason == "missed"]
    assert passed.passed_over >= 10_000
    assert len(made_up) == 5
    assert len(await history.fires(limit=10_000)) < count + 200


async def test_starts_that_are_spread_survive_a_crash() -> None:
    history = MemoryHistory()
    wanted = use("every 1h", spread_s=60.0)
    seen: list[datetime] = []
    for number, (begin, seconds) in enumerate(
        [(MONDAY, 1.0), (at(5, 18, 10), 130.0), (at(5, 18, 20), 500.0)]
    ):
        async with firing(scheduled(wanted), at=begin, history=history, seed=number + 1) as world:
            await world.settle(seconds)
            seen = [run.due_at for run in await world.runs() if run.due_at]
    assert seen == [at(5, hour) for hour in (13, 14, 15, 16, 17, 18)]


async def test_a_suspended_machine_is_noticed_and_what_it_slept_through_is_made_up_for() -> None:
    async with firing(scheduled("every 1h")) as world:
        await world.settle(3600)
        world.clock.jump(timedelta(hours=5))
        await world.settle(60)
        assert [e.by_s for e in world.seen.of(ClockJumped)] == [5 * 3600.0]
        assert [run.due_at for run in await world.runs()] == [at(5, h) for h in range(13, 19)]


async def test_a_clock_that_is_set_back_repeats_nothing_and_loses_nothing() -> None:
    async with firing(scheduled("every 1h")) as world:
        await world.settle(3 * 3600)
        world.clock.jump(timedelta(hours=-2))
        await world.settle(4 * 3600 + 1000)
        runs = await world.runs()
        assert [run.due_at for run in runs] == [at(5, h) for h in range(13, 18)]


async def test_a_clock_that_was_a_year_ahead_does_not_silence_a_schedule() -> None:
    history = MemoryHistory()
    wanted = use("every 1h", catching="skip")
    async with firing(scheduled(wanted), history=history) as world:
        await world.settle(10)
        world.clock.jump(timedelta(days=300))
        await world.settle(7200)
        world.clock.jump(timedelta(days=-300))
        await world.settle(1000)
    async with firing(scheduled(wanted), at=at(5, 16, 30), history=history, seed=2) as world:
        await world.settle(3600)
        due = [run.due_at for run in await world.runs()]
    assert at(5, 17) in due
