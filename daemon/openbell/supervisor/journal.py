"""Every change goes through here: on disk first, then to everyone who listens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from openbell.model.events import Event, StoredEvent
from openbell.model.history import History


class Observer(Protocol):
    """Sees every event after it is durable. Quick, and never raises."""

    def see(self, event: Event) -> None:
        """Take note of `event`."""
        ...


class Journal:
    """Records events and passes them on, in one order for everyone."""

    def __init__(self, history: History, observers: Sequence[Observer] = ()) -> None:
        self._history = history
        self._observers = tuple(observers)
        self._subscribers: list[MemoryObjectSendStream[StoredEvent | Event]] = []
        self.dropped_subscribers = 0

    async def record(self, *events: Event) -> None:
        """Make durable events durable, then let observers and subscribers see all of them."""
        durable = [event for event in events if event.durable]
        stored: list[StoredEvent | Event] = []
        if durable:
            stored.extend(await self._history.record(*durable))
        stored.extend(event for event in events if not event.durable)
        for event in events:
            for observer in self._observers:
                observer.see(event)
        for item in stored:
            self._publish(item)

    def _publish(self, item: StoredEvent | Event) -> None:
        for subscriber in list(self._subscribers):
            try:
                subscriber.send_nowait(item)
            except anyio.WouldBlock:
                self.dropped_subscribers += 1
                self._leave(subscriber)
            except anyio.BrokenResourceError:
                self._leave(subscriber)

    def _leave(self, subscriber: MemoryObjectSendStream[StoredEvent | Event]) -> None:
        if subscriber in self._subscribers:
            self._subscribers.remove(subscriber)
            subscriber.close()

    @contextmanager
    def subscribe(
        self, *, capacity: int
    ) -> Iterator[MemoryObjectReceiveStream[StoredEvent | Event]]:
        """Yield the stream of events from now on; it ends when the reader falls too far behind."""
        send, receive = anyio.create_memory_object_stream[StoredEvent | Event](capacity)
        self._subscribers.append(send)
        try:
            with receive:
                yield receive
        finally:
            self._leave(send)
