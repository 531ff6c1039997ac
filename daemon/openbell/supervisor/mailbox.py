"""One mailbox, one task, one owner of the state."""

from __future__ import annotations

from typing import Protocol

import anyio
from anyio.abc import TaskStatus
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream


class ActorStoppedError(Exception):
    """The actor ended before it took the message."""


class Handler(Protocol):
    """What an actor does with its messages."""

    async def handle(self, message: object) -> None:
        """Take in one message."""
        ...


class Mailbox:
    """Bounded inbox. A full inbox is back-pressure, not an error."""

    def __init__(self, capacity: int) -> None:
        self._send: MemoryObjectSendStream[object]
        self._receive: MemoryObjectReceiveStream[object]
        self._send, self._receive = anyio.create_memory_object_stream[object](capacity)

    async def tell(self, message: object) -> None:
        """Queue `message`; wait while the inbox is full. An actor that ended loses it."""
        try:
            self._send.send_nowait(message)
        except anyio.WouldBlock:
            await self._wait(message)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise ActorStoppedError from None

    async def _wait(self, message: object) -> None:
        try:
            await self._send.send(message)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise ActorStoppedError from None

    def depth(self) -> int:
        """Return how many messages wait."""
        return self._receive.statistics().current_buffer_used

    def close(self) -> None:
        """Take no more messages; the actor ends after those it has."""
        self._send.close()

    def discard(self) -> None:
        """Close both ends: the actor is gone, and whoever tells it something hears so."""
        self._send.close()
        self._receive.close()

    async def serve(
        self, handler: Handler, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Hand messages to `handler` until the mailbox is closed or the handler raises.

        What the handler raised travels on to the supervisor, which decides what happens next.
        """
        with self._receive:
            task_status.started()
            async for message in self._receive:
                await handler.handle(message)
