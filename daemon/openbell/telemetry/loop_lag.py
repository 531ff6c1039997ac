"""How late the event loop is: the first sign that something blocks it."""

from __future__ import annotations

from openbell.sdk.clock import Clock

INTERVAL_S = 1.0
WINDOW_S = 60.0


class LoopLag:
    """Measures by how much a short sleep overruns.

    Asking changes nothing, so any number of readers see the same: the worst of the minute that
    runs and of the one before it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._window_began_s = clock.monotonic()
        self._worst_now_s = self._worst_before_s = 0.0

    @property
    def worst_s(self) -> float:
        """The worst lag in seconds of the last one to two minutes."""
        return max(self._worst_now_s, self._worst_before_s)

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            began_s = self._clock.monotonic()
            await self._clock.sleep(INTERVAL_S)
            self._add(self._clock.monotonic(), self._clock.monotonic() - began_s - INTERVAL_S)

    def _add(self, now_s: float, late_s: float) -> None:
        if now_s - self._window_began_s >= WINDOW_S:
            self._window_began_s = now_s
            self._worst_before_s, self._worst_now_s = self._worst_now_s, 0.0
        self._worst_now_s = max(self._worst_now_s, late_s)
