"""Beginnings of attempts, put on record together with whatever else their run decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio

from openbell.model.events import Event


@dataclass(slots=True, eq=False)
class Opening:
    """What waits for the run's next transaction; `is_recorded` tells how that went once it is over."""

    events: list[Event] = field(default_factory=list)
    over: anyio.Event = field(default_factory=anyio.Event)
    is_recorded: bool = False


class Openings:
    """Many units hand in what is to be recorded; the run's one loop takes all of it at once.

    `wake` tells the loop that there is something.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._next: Opening | None = None

    def __bool__(self) -> bool:
        return self._next is not None

    async def record(self, events: Sequence[Event]) -> None:
        """Return once `events` are on disk. Cancelled: they are on disk then, or never will be."""
        opening = self._next = self._next or Opening()
        opening.events += events
        self._wake()
        try:
            await opening.over.wait()
        except BaseException:
            if opening is self._next:
                opening.events = [event for event in opening.events if event not in events]
                raise
            with anyio.CancelScope(shield=True):
                await opening.over.wait()
            raise
        if not opening.is_recorded:
            await anyio.sleep_forever()  # the loop ends, and this unit with it

    def take(self) -> Opening:
        """Return everything that waits; whoever takes it says when it is over."""
        opening, self._next = self._next or Opening(), None
        return opening
