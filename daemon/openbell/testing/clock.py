"""A clock that moves only when a test says so."""

from __future__ import annotations

import heapq
import itertools
from datetime import UTC, datetime, timedelta

import anyio
import anyio.lowlevel

_TURNS = 100


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
        self._sleepers: list[tuple[datetime, int, anyio.Event]] = []
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
        return len(self._sleepers)

    @property
    def next_wake_at(self) -> datetime | None:
        """When the first waiting task wants to wake up, or None when none waits."""
        return self._sleepers[0][0] if self._sleepers else None

    async def sleep_until(self, instant: datetime) -> None:
        """Return once a test has moved this clock to `instant`. Cancelled: nothing stays behind."""
        if instant <= self._now:
            await anyio.lowlevel.checkpoint()
            return
        sleeper = (instant, next(self._order), anyio.Event())
        heapq.heappush(self._sleepers, sleeper)
        try:
            await sleeper[2].wait()
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)

    async def sleep(self, delay_s: float) -> None:
        """Return once a test has moved this clock on by `delay_s` seconds."""
        await self.sleep_until(self._now + timedelta(seconds=delay_s))

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
        while self._sleepers and self._sleepers[0][0] <= target:
            instant, _, woken = heapq.heappop(self._sleepers)
            self._now = max(self._now, instant)
            woken.set()
            await _settle()
        self._now = max(self._now, target)


async def _settle() -> None:
    """Return once every other task waits for something.

    The loop turns a few times first: looking at once would find tasks that are about to run, and
    anyio then looks again only after a tenth of a real second.
    """
    for _ in range(_TURNS):
        await anyio.lowlevel.checkpoint()
    await anyio.wait_all_tasks_blocked()
