"""Time as a value that is passed in, never looked up."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

import anyio
import anyio.lowlevel

_LOOK_AGAIN_S = 30.0


class Clock(Protocol):
    """Source of time. Wall time is aware UTC; durations are seconds (float)."""

    def now(self) -> datetime:
        """Return the current instant (timezone-aware, UTC)."""
        ...

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start; never goes backwards."""
        ...

    async def sleep_until(self, instant: datetime) -> None:
        """Return once `now() >= instant`. Cancellable, and then nothing stays behind."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds of this clock's time. Cancellable."""
        ...


class SystemClock:
    """The machine's clock. The only code that reads it.

    Wall time can jump (set by hand, suspended): whoever waits for an instant looks again at least
    every 30 seconds.
    """

    def now(self) -> datetime:
        """Return the current instant (aware UTC)."""
        return datetime.now(UTC)  # noqa: TID251 - this is the one place

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start."""
        return time.monotonic()

    async def sleep_until(self, instant: datetime) -> None:
        """Return once the wall clock shows `instant`."""
        while (left_s := (instant - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 - a clock
            await anyio.sleep(min(left_s, _LOOK_AGAIN_S))
        await anyio.lowlevel.checkpoint()

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds."""
        await anyio.sleep(max(0.0, delay_s))
