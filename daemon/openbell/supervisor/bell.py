"""One alarm clock for everything that is to happen at an instant of the wall clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import datetime

import anyio

from openbell.model.events import Event
from openbell.sdk.clock import Clock
from openbell.supervisor.journal import Journal

Ring = Callable[[], Event]
"""Does what is due at once, waiting for nothing, and returns what is to be told of it."""


class Bell:
    """Rings for everybody whose instant has come before it lets anybody else work.

    So of a thousand runs of one instant none waits for what another begins to do.
    """

    def __init__(self, clock: Clock, journal: Journal) -> None:
        self._clock = clock
        self._journal = journal
        self._instants: list[datetime] = []
        self._rings: dict[datetime, dict[str, Ring]] = {}
        self._nap: anyio.CancelScope | None = None

    def set(self, instant: datetime, key: str, ring: Ring) -> None:
        """Call `ring` once, at `instant`; `key` names it."""
        known = self._rings.get(instant)
        if known is None:
            known = self._rings[instant] = {}
            heapq.heappush(self._instants, instant)
            if self._nap is not None and self._instants[0] is instant:
                self._nap.cancel()
        known[key] = ring

    def unset(self, instant: datetime, key: str) -> None:
        """Call this one no more."""
        self._rings.get(instant, {}).pop(key, None)

    async def run(self) -> None:
        """Ring until cancelled."""
        while True:
            with anyio.CancelScope() as self._nap:
                if self._instants:
                    await self._clock.sleep_until(self._instants[0])
                else:
                    await anyio.sleep_forever()
            self._nap = None
            now, told = self._clock.now(), []
            while self._instants and self._instants[0] <= now:
                rings = self._rings.pop(heapq.heappop(self._instants))
                told += [ring() for ring in rings.values()]
            if told:
                await anyio.lowlevel.checkpoint()
                await self._journal.record(*told)
