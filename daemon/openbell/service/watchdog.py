"""Feed systemd's watchdog from the scheduler's own loop, and only while that loop turns.

There is no thread that could go on reporting health for a loop that hangs: the supervisor calls
`beat` on every tick, and what is sent depends on how long ago that was.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from openbell.sdk.clock import Clock
from openbell.service.notify import Notifier


def watchdog_period_s(env: Mapping[str, str], pid: int) -> float | None:
    """Return how often the manager wants to hear from process `pid`, None for never.

    That is `WATCHDOG_USEC`, unless `WATCHDOG_PID` names another process.
    """
    period, wanted = env.get("WATCHDOG_USEC", ""), env.get("WATCHDOG_PID", "")
    if not (period.isascii() and period.isdigit()) or int(period) == 0:
        return None
    if wanted and wanted != str(pid):
        return None
    return int(period) / 1e6


class Watchdog:
    """Sends `WATCHDOG=1` every half period as long as beats come at least that often."""

    def __init__(self, notifier: Notifier, clock: Clock, period_s: float | None) -> None:
        self._notifier = notifier
        self._clock = clock
        self.interval_s = period_s / 2 if period_s else None
        self._last_beat_s: float | None = None
        self.missed_count = 0

    @classmethod
    def from_environment(
        cls, notifier: Notifier, clock: Clock, env: Mapping[str, str] = os.environ
    ) -> Watchdog:
        """Return the watchdog that `env` asks for; one that is not asked for does nothing."""
        period_s = watchdog_period_s(env, os.getpid()) if notifier.is_enabled else None
        return cls(notifier, clock, period_s)

    def beat(self) -> None:
        """Note that the scheduler's loop turned. Call it more often than every half period."""
        self._last_beat_s = self._clock.monotonic()

    @property
    def is_fresh(self) -> bool:
        """Whether the last beat is at most half a period old."""
        if self.interval_s is None or self._last_beat_s is None:
            return False
        return self._clock.monotonic() - self._last_beat_s <= self.interval_s

    def tick(self) -> bool:
        """Tell the manager that all is well if it is; return whether it was told."""
        if self.is_fresh:
            return self._notifier.watchdog()
        self.missed_count += 1
        return False

    async def run(self) -> None:
        """Tick every half period until cancelled; return at once when nobody asked for it.

        A stale beat is not reported, so the manager acts when its own period has passed.
        """
        if self.interval_s is None:
            return
        while True:
            self.tick()
            await self._clock.sleep(self.interval_s)
