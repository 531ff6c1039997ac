"""What attempts wait for in a rehearsal: workers, pools, and others who write the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from openbell.app.rehearsal.tally import Queue
from openbell.sdk.clock import Clock
from openbell.supervisor.desk import Desk, Place

WORKERS = "workers"


@dataclass(slots=True)
class Wait:
    """How much was waited for one thing. `first` names the first pipelines that did."""

    count: int = 0
    total_s: float = 0.0
    longest_s: float = 0.0
    queue: Queue = field(default_factory=Queue)
    first: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        return {
            "count": self.count,
            "total_s": round(self.total_s, 6),
            "longest_s": round(self.longest_s, 6),
            "longest_queue": self.queue.longest,
            "longest_queue_at": self.queue.longest_at,
            "first_pipelines": self.first,
        }


_NAMED = 3


class WatchedDesk(Desk):
    """The desk itself, with a look at who has to wait, and for what when he comes."""

    def __init__(self, clock: Clock, *, max_workers: int, pools: Mapping[str, int]) -> None:
        super().__init__(clock, max_workers=max_workers, pools=pools)
        self._time = clock
        self.waits: dict[str, Wait] = {}

    @override
    async def _wait(self, place: Place) -> None:
        came = self._time.now()
        wait = self.waits.setdefault(self._what(place), Wait())
        wait.queue.join(came)
        try:
            await super()._wait(place)
        finally:
            wait.queue.leave()
        waited_s = (self._time.now() - came).total_seconds()
        wait.count += 1
        wait.total_s += waited_s
        wait.longest_s = max(wait.longest_s, waited_s)
        if len(wait.first) < _NAMED and place.ask.pipeline not in wait.first:
            wait.first.append(place.ask.pipeline)

    def _what(self, place: Place) -> str:
        """Return in a few words what a place waits for."""
        reason = self._turns.reason(place.ticket)
        if reason.startswith("dataset "):
            return f"writer of {reason.split(' is ')[0].removeprefix('dataset ')}"
        if place.ask.pool is not None and reason.startswith("pool "):
            return f"pool {place.ask.pool}"
        return WORKERS
