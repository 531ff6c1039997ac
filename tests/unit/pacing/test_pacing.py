"""Budgets: requests go out inside the vendor's limits, in turn, whatever the pipelines want."""

from __future__ import annotations

import anyio
import pytest

from openbell.model.pipelines import Pacing
from openbell.pacing.broker import PacingBroker
from openbell.testing.clock import ManualClock

pytestmark = pytest.mark.unit


async def test_a_burst_goes_at_once_and_the_rest_at_the_rate(manual_clock: ManualClock) -> None:
    broker = PacingBroker(manual_clock)
    broker.configure({"v": Pacing(requests_per_minute=60, burst=2)})
    granted: list[float] = []

    async def ask() -> None:
        await broker.acquire("v")
        granted.append(manual_clock.monotonic())

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(ask)
        await manual_clock.advance(5)
    assert granted == [0, 0, pytest.approx(1), pytest.approx(2)]


async def test_after_a_refusal_nothing_goes_out_until_the_cool_down_is_over(
    manual_clock: ManualClock,
) -> None:
    broker = PacingBroker(manual_clock)
    broker.configure({"v": Pacing(requests_per_minute=6000, burst=10, cooldown_s=30)})
    assert broker.refused("v", None) == 30
    assert broker.refused("v", 90.0) == 90
    (status,) = broker.status()
    assert status.resting_until is not None
    assert status.violation_count == 2
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(broker.acquire, "v")
        await manual_clock.advance(89)
        assert broker.status()[0].waiting == 1
        await manual_clock.advance(2)
        assert broker.status()[0].waiting == 0


async def test_who_stops_waiting_takes_nothing(manual_clock: ManualClock) -> None:
    broker = PacingBroker(manual_clock)
    broker.configure({"v": Pacing(requests_per_minute=1, burst=1)})
    await broker.acquire("v")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(broker.acquire, "v")
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert broker.status()[0].request_count == 1
    assert broker.status()[0].waiting == 0


async def test_no_limit_means_no_wait(manual_clock: ManualClock) -> None:
    broker = PacingBroker(manual_clock)
    broker.configure({"v": Pacing()})
    assert [await broker.acquire("v") for _ in range(100)] == [0.0] * 100
    broker.refused("v", 5.0)
    assert broker.status()[0].tokens == 1


async def test_a_reload_keeps_what_did_not_change(manual_clock: ManualClock) -> None:
    broker = PacingBroker(manual_clock)
    slow, fast = Pacing(requests_per_minute=1, burst=3), Pacing(requests_per_minute=10, burst=5)
    broker.configure({"a": slow, "b": slow, "c": slow})
    await broker.acquire("a", 2)
    await broker.acquire("b", 2)
    broker.configure({"a": slow, "b": fast})
    assert {s.provider: s.tokens for s in broker.status()} == {"a": 1.0, "b": 5.0}
