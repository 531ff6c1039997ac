"""When the watchdog is fed, and when it is left to bite."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest
from typing_extensions import override

from openbell.service.notify import Notifier
from openbell.service.watchdog import Watchdog, watchdog_period_s
from openbell.testing.clock import ManualClock

pytestmark = pytest.mark.unit


class _Manager(Notifier):
    """Counts what it is told instead of sending it."""

    def __init__(self) -> None:
        super().__init__(None)
        self.feeding_count = 0

    @override
    def watchdog(self) -> bool:
        self.feeding_count += 1
        return True


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "77"}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "78"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
    ],
)
def test_the_period_is_the_managers_unless_it_means_another_process(
    env: dict[str, str], expected: float | None
) -> None:
    assert watchdog_period_s(env, 77) == expected


async def test_regular_beats_feed_it_every_half_period(manual_clock: ManualClock) -> None:
    manager = _Manager()
    watchdog = Watchdog(manager, manual_clock, 10.0)
    async with anyio.create_task_group() as tasks:
        watchdog.beat()
        tasks.start_soon(watchdog.run)
        for _ in range(20):
            await manual_clock.advance(timedelta(seconds=1))
            watchdog.beat()
        tasks.cancel_scope.cancel()
    assert manager.feeding_count == 1 + 20 // 5
    assert watchdog.missed_count == 0


async def test_a_loop_that_stops_turning_starves_it_and_recovery_feeds_it_again(
    manual_clock: ManualClock,
) -> None:
    manager = _Manager()
    watchdog = Watchdog(manager, manual_clock, 10.0)
    async with anyio.create_task_group() as tasks:
        watchdog.beat()
        tasks.start_soon(watchdog.run)
        await manual_clock.advance(timedelta(seconds=5))
        fed_while_fresh = manager.feeding_count
        await manual_clock.advance(timedelta(seconds=30))
        assert manager.feeding_count == fed_while_fresh
        assert watchdog.missed_count == 6
        watchdog.beat()
        await manual_clock.advance(timedelta(seconds=5))
        assert manager.feeding_count == fed_while_fresh + 1
        tasks.cancel_scope.cancel()


async def test_a_watchdog_nobody_asked_for_ends_at_once(manual_clock: ManualClock) -> None:
    watchdog = Watchdog(_Manager(), manual_clock, None)
    watchdog.beat()
    await watchdog.run()
    assert not watchdog.is_fresh


def test_without_a_first_beat_nothing_is_claimed(manual_clock: ManualClock) -> None:
    manager = _Manager()
    assert not Watchdog(manager, manual_clock, 10.0).tick()
    assert manager.feeding_count == 0
