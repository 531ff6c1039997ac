"""One mailbox, one task, one owner of the state."""

from __future__ import annotations

from collections import deque
from typing import Protocol

import anyio
from anyio.abc import TaskStatus


class ActorStoppedError(Exception):
    """The actor ended before it took the message."""


class Handler(Protocol):
    """What an actor does with its messages."""

    async def handle(self, message: object) -> None:
        """Take in one message."""
        ...


class Mailbox:
    """Bounded inbox. A full inbox is back-pressure, not an error.

    All who use it are tasks of one loop.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._messages: deque[object] = deque()
        self._is_open = True
        self._has_some = anyio.Event()
        self._has_room = anyio.Event()

    async def tell(self, message: object) -> None:
        """Queue `message`; wait while the inbox is full. An actor that ended loses it."""
        while len(self._messages) >= self._capacity and self._is_open:
            self._has_room = anyio.Event() if self._has_room.is_set() else self._has_room
            await self._has_room.wait()
        if not self._is_open:
            raise ActorStoppedError
        self._messages.append(message)
        self._has_some.set()

    def depth(self) -> int:
        """Return how many messages wait."""
        return len(self._messages)

    def close(self) -> None:
        """Take no more messages; the actor ends after those it has."""
        self._is_open = False
        self._has_some.set()
        self._has_room.set()

    def discard(self) -> None:
        """Close both ends: the actor is gone, and whoever tells it something hears so."""
        self._messages.clear()
        self.close()

    async def serve(
        self, handler: Handler, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Hand messages to `handler` until the mailbox is closed or the handler raises.

        What the handler raised travels on to the supervisor, which decides what happens next.
        """
        task_status.started()
        try:
            while True:
                while self._messages:
                    message = self._messages.popleft()
                    self._has_room.set()
                    await handler.handle(message)
                if not self._is_open:
                    return
                self._has_some = anyio.Event()
                await self._has_some.wait()
        finally:
            self.discard()
