from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio
import pytest

from openbell.sdk import Clock
from openbell.testing import ManualClock

pytestmark = pytest.mark.unit


async def test_time_stands_still_until_it_is_moved(manual_clock: ManualClock) -> None:
    clock: Clock = manual_clock
    before = clock.now()
    await manual_clock.advance(90)
    assert clock.now() - before == timedelta(seconds=90)
    assert clock.monotonic() == 90.0


async def test_sleepers_wake_in_the_order_of_their_deadlines(manual_clock: ManualClock) -> None:
    woken: list[tuple[float, float]] = []

    async def sleep(delay_s: float) -> None:
        await manual_clock.sleep(delay_s)
        woken.append((delay_s, manual_clock.monotonic()))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tg:
            for delay_s in (30.0, 10.0, 20.0):
                tg.start_soon(sleep, delay_s)
            await manual_clock.advance(timedelta(minutes=1))
    assert woken == [(10.0, 10.0), (20.0, 20.0), (30.0, 30.0)]


async def test_a_task_that_sleeps_again_is_woken_again(manual_clock: ManualClock) -> None:
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            await manual_clock.sleep(60)
            ticks.append(manual_clock.monotonic())

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tg:
            tg.start_soon(tick)
            await manual_clock.advance(timedelta(hours=1))
            tg.cancel_scope.cancel()
    assert ticks == [60.0 * n for n in range(1, 61)]


async def test_a_cancelled_sleeper_leaves_nothing_behind(manual_clock: ManualClock) -> None:
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tg:
            tg.start_soon(manual_clock.sleep, 60)
            await anyio.wait_all_tasks_blocked()
            assert manual_clock.sleeper_count == 1
            assert manual_clock.next_wake_at == manual_clock.now() + timedelta(seconds=60)
            tg.cancel_scope.cancel()
    assert manual_clock.sleeper_count == 0
    assert manual_clock.next_wake_at is None


async def test_an_instant_that_has_passed_is_not_waited_for(manual_clock: ManualClock) -> None:
    with anyio.fail_after(5):
        await manual_clock.sleep_until(manual_clock.now())
        await manual_clock.sleep(-5)


def test_a_naive_start_is_refused() -> None:
    with pytest.raises(ValueError, match="timezone-aware"):
        ManualClock(datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


async def test_time_does_not_go_backwards() -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(ValueError, match="backwards"):
        await clock.advance(-1)
