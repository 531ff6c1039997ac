"""One mailbox, one task, one owner of the state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import anyio
from anyio.abc import TaskStatus
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream


class ActorStoppedError(Exception):
    """The actor ended before it answered."""


@dataclass(slots=True)
class _Reply:
    """A one-shot answer slot."""

    done: anyio.Event = field(default_factory=anyio.Event)
    value: Any = None
    error: BaseException | None = None

    async def wait(self) -> Any:  # noqa: ANN401 - whatever the message's answer is
        await self.done.wait()
        if self.error is not None:
            raise self.error
        return self.value


@dataclass(frozen=True, slots=True)
class _Envelope:
    message: object
    reply: _Reply | None = None


class Handler(Protocol):
    """What an actor does with its messages."""

    async def handle(self, message: object) -> object:
        """Take in one message and return its answer."""
        ...


class Mailbox:
    """Bounded inbox. A full inbox is back-pressure, not an error."""

    def __init__(self, capacity: int) -> None:
        self._send: MemoryObjectSendStream[_Envelope]
        self._receive: MemoryObjectReceiveStream[_Envelope]
        self._send, self._receive = anyio.create_memory_object_stream[_Envelope](capacity)

    async def tell(self, message: object) -> None:
        """Queue `message`; wait while the inbox is full. An actor that ended loses it."""
        try:
            await self._send.send(_Envelope(message))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise ActorStoppedError from None

    async def ask(self, message: object, *, timeout_s: float) -> Any:  # noqa: ANN401 - see above
        """Queue `message` and wait for the answer at most `timeout_s` seconds."""
        reply = _Reply()
        with anyio.fail_after(timeout_s):
            try:
                await self._send.send(_Envelope(message, reply))
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                raise ActorStoppedError from None
            return await reply.wait()

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

        Whoever waits for an answer then gets `ActorStoppedError`; what the handler raised travels
        on to the supervisor, which decides what happens next.
        """
        current: _Envelope | None = None
        with self._receive:
            task_status.started()
            try:
                async for envelope in self._receive:
                    current = envelope
                    answer = await handler.handle(envelope.message)
                    if envelope.reply is not None:
                        envelope.reply.value = answer
                        envelope.reply.done.set()
                    current = None
            finally:
                self._fail_waiting(current)

    def _fail_waiting(self, current: _Envelope | None) -> None:
        waiting = [current] if current is not None else []
        while True:
            try:
                waiting.append(self._receive.receive_nowait())
            except (anyio.WouldBlock, anyio.EndOfStream, anyio.ClosedResourceError):
                break
        for envelope in waiting:
            if envelope.reply is not None:
                envelope.reply.error = ActorStoppedError()
                envelope.reply.done.set()
