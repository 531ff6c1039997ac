"""Time as a value that is passed in, never looked up."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


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
