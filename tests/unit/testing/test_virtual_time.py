from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio
import anyio.lowlevel
import pytest

from openbell.testing.clock import ManualClock
from openbell.testing.virtual import StalledError, run_virtual

pytestmark = pytest.mark.unit

START = datetime(2027, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)


def test_a_year_of_hours_passes_at_once_and_in_order() -> None:
    clock = ManualClock(START)
    ticks: list[datetime] = []

    async def tick(every: timedelta) -> None:
        while True:
            await clock.sleep(every.total_seconds())
            ticks.append(clock.now())

    async def main() -> datetime:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tick, timedelta(hours=1))
            tasks.start_soon(tick, timedelta(hours=7))
            await clock.sleep_until(START + YEAR)
            tasks.cancel_scope.cancel()
        return clock.now()

    assert run_virtual(clock, main) == START + YEAR
    assert ticks == sorted(ticks)
    assert len(ticks) == 8759 + 1251
    assert clock.sleeper_count == 0


def test_the_clock_moves_only_when_nothing_is_left_to_run() -> None:
    clock = ManualClock(START)
    seen: list[str] = []

    async def busy() -> None:
        for _ in range(500):
            await anyio.lowlevel.checkpoint()
        seen.append("busy")

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(busy)
            await clock.sleep(0.000001)
            seen.append("slept")

    run_virtual(clock, main)
    assert seen == ["busy", "slept"]


def test_sleepers_of_one_instant_wake_in_the_order_in_which_they_lay_down() -> None:
    clock = ManualClock(START)
    woken: list[int] = []

    async def sleep(number: int) -> None:
        await clock.sleep_until(START + timedelta(hours=1))
        woken.append(number)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(sleep, number)

    run_virtual(clock, main)
    assert woken == list(range(20))


def test_deadlines_that_are_called_off_leave_nothing_behind() -> None:
    clock = ManualClock(START)

    async def main() -> int:
        most = 0
        for _ in range(1000):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(clock.sleep, 86_400.0)
                await clock.sleep(1.0)
                most = max(most, len(clock._sleepers))
                tasks.cancel_scope.cancel()
        return most

    assert run_virtual(clock, main) < 200
    assert clock.monotonic() == 1000.0


def test_a_wait_that_nothing_can_end_is_an_error() -> None:
    with pytest.raises(StalledError, match="nobody waits"):
        run_virtual(ManualClock(START), anyio.Event().wait)
