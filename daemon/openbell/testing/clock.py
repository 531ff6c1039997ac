"""A clock that moves only when a test says so."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta

import anyio
import anyio.lowlevel

_TURNS = 10_000
_FEW = 64


class ManualClock:
    """A `Clock` for tests: time stands still until `advance` moves it.

    `start` is an aware instant; without it the clock starts at 2026-01-05T12:00Z, a Monday.
    """

    def __init__(self, start: datetime | None = None) -> None:
        begin = start or datetime(2026, 1, 5, 12, tzinfo=UTC)
        if begin.tzinfo is None:
            raise ValueError("start must be timezone-aware")
        self._start = begin.astimezone(UTC)
        self._now = self._start
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._waiting = 0
        self._order = itertools.count()

    def now(self) -> datetime:
        """Return the instant at which this clock stands (aware UTC)."""
        return self._now

    def monotonic(self) -> float:
        """Return seconds since this clock's start."""
        return (self._now - self._start).total_seconds()

    @property
    def sleeper_count(self) -> int:
        """How many tasks wait on this clock."""
        return self._waiting

    @property
    def next_wake_at(self) -> datetime | None:
        """When the first waiting task wants to wake up, or None when none waits."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    async def sleep_until(self, instant: datetime) -> None:
        """Return once a test has moved this clock to `instant`. Cancelled: nothing stays behind."""
        if instant <= self._now:
            await anyio.lowlevel.checkpoint()
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (instant, next(self._order), woken))
        self._waiting += 1
        try:
            await woken
        finally:
            self._waiting -= 1
            if len(self._sleepers) > max(_FEW, 2 * self._waiting):
                self._sweep()

    def _sweep(self) -> None:
        """Drop the sleepers that were cancelled."""
        self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[2].done()]
        heapq.heapify(self._sleepers)

    async def sleep(self, delay_s: float) -> None:
        """Return once a test has moved this clock on by `delay_s` seconds."""
        await self.sleep_until(self._now + timedelta(seconds=delay_s))

    def wake_next(self) -> bool:
        """Move time to the first waiting task's instant and wake it; False when none waits.

        Nothing runs before the loop turns: this is for whoever knows that nothing else is to run.
        """
        instant = self.next_wake_at
        if instant is None:
            return False
        self._now = max(self._now, instant)
        heapq.heappop(self._sleepers)[2].set_result(None)
        return True

    async def advance(self, step: timedelta | float) -> None:
        """Move time forward by `step` (a number is seconds), waking sleepers in deadline order.

        Before each wake and at the end every other task runs until it waits for something.
        """
        delta = step if isinstance(step, timedelta) else timedelta(seconds=step)
        if delta < timedelta(0):
            raise ValueError("time does not go backwards")
        await self.advance_to(self._now + delta)

    async def advance_to(self, target: datetime) -> None:
        """Move time forward to `target`, as `advance` does."""
        await _settle()
        while (instant := self.next_wake_at) is not None and instant <= target:
            self.wake_next()
            await _settle()
        self._now = max(self._now, target)


async def _settle() -> None:
    """Return once every other task waits for something.

    A loop of asyncio keeps what is about to run in one queue: when that is empty while this task
    runs, this task is all there is. Another kind of loop is asked as anyio can.
    """
    ready = getattr(asyncio.get_running_loop(), "_ready", None)
    for _ in range(_TURNS if ready is not None else 0):
        await anyio.lowlevel.checkpoint()
        if not ready:
            return
    await anyio.wait_all_tasks_blocked()
