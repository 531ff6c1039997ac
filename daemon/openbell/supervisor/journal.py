"""Every change goes through here: on disk first, then to everyone who listens."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from openbell.model.events import Event, StoredEvent
from openbell.model.history import History, ImmediateHistory
from openbell.sdk.clock import Clock
from openbell.sdk.errors import RetryableError

_LOOK_AGAIN_S = 5.0
_log = logging.getLogger("openbell.journal")


class Observer(Protocol):
    """Sees every event after it is durable. Quick; what it raises is logged and counted."""

    def see(self, event: Event) -> None:
        """Take note of `event`."""
        ...


class Journal:
    """Records events and passes them on, in one order for everyone."""

    def __init__(
        self, history: History, observers: Sequence[Observer] = (), *, clock: Clock
    ) -> None:
        self._history = history
        self._at_once = history.record_now if isinstance(history, ImmediateHistory) else None
        self._observers = tuple(observers)
        self._clock = clock
        self._subscribers: list[MemoryObjectSendStream[StoredEvent | Event]] = []
        self.dropped_subscribers = 0
        self.observer_errors = 0

    def observe(self, observer: Observer) -> None:
        """Let one more observer see every event from now on."""
        self._observers = (*self._observers, observer)

    async def record(self, *events: Event) -> None:
        """Make durable events durable, then let observers and subscribers see all of them.

        Raises what history raises; then nobody saw anything. Whoever is cancelled meanwhile hears
        of it afterwards: an event that is on disk and was shown to nobody would be lost. The shield
        lasts as long as history's commit, which a cancellation could not call back anyway.
        """
        durable = [event for event in events if event.durable]
        stored: list[StoredEvent | Event] = []
        if durable and self._at_once is not None:
            stored.extend(self._at_once(*durable))
        elif durable:
            with anyio.CancelScope(shield=True):
                stored.extend(await self._history.record(*durable))
        stored.extend(event for event in events if not event.durable)
        for event in events:
            self._show(event)
        if self._subscribers:
            for item in stored:
                self._publish(item)

    async def insist(self, *events: Event) -> None:
        """Record, and while the disk refuses wait and try again: work pauses and loses nothing.

        Cancelled while waiting, nothing is recorded.
        """
        while True:
            try:
                await self.record(*events)
            except RetryableError as error:
                delay_s = error.retry_after_s or _LOOK_AGAIN_S
                _log.warning("history takes nothing for now, work waits %g s: %s", delay_s, error)
                await self._clock.sleep(delay_s)
            else:
                return

    async def attempt(self, *events: Event) -> None:
        """Record if the disk takes it now; else say so in the log and go on without."""
        try:
            await self.record(*events)
        except RetryableError as error:
            names = ", ".join(event.name for event in events)
            _log.warning("%s could not be recorded: %s", names, error)

    def _show(self, event: Event) -> None:
        for observer in self._observers:
            try:
                observer.see(event)
            except Exception:  # noqa: BLE001 - an observer may not harm a run
                self.observer_errors += 1
                _log.exception("an observer failed at %s", event.name)

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
