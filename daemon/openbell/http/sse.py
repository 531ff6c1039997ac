"""Server-sent events (HTML Living Standard, section 9.2) with heartbeats and a slow-reader rule."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from openbell.http.answers import plain
from openbell.http.api import Api
from openbell.http.connections import caller_of
from openbell.http.redaction import Redaction

EVENT_STREAM = "text/event-stream"
_BUFFER = 16


@dataclass(frozen=True, slots=True)
class Message:
    """One event of a stream. `id` is what a client sends back as `Last-Event-ID`."""

    event: str
    data: Any
    id: int | None = None

    def encode(self, redaction: Redaction) -> bytes:
        """Return the event as it goes over the wire, without secrets."""
        head = f"id: {self.id}\n" if self.id is not None else ""
        body = redaction.json(msgspec.json.encode(self.data, enc_hook=plain))
        return f"{head}event: {self.event}\ndata: ".encode() + body + b"\n\n"


class EventStream(Response):
    """Streams messages until they end, the client leaves, or the server stops.

    A comment goes out after `heartbeat_s` of silence. A client that does not read for
    `send_timeout_s` is cut off; it resumes with `Last-Event-ID`.
    """

    def __init__(self, api: Api, request: Request, messages: AsyncGenerator[Message, None]) -> None:
        super().__init__(media_type=EVENT_STREAM)
        self._api = api
        self._messages = messages
        self._caller = caller_of(request.scope)

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        pipe_in, pipe_out = anyio.create_memory_object_stream[bytes](_BUFFER)
        async with anyio.create_task_group() as tg:
            tg.start_soon(self._end_with_client, receive, tg.cancel_scope, name="sse client")
            tg.start_soon(self._end_with_server, tg.cancel_scope, name="sse server")
            tg.start_soon(self._encode, pipe_in, name="sse source")
            await self._send_all(pipe_out, send)
            tg.cancel_scope.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _encode(self, pipe: MemoryObjectSendStream[bytes]) -> None:
        async with pipe, aclosing(self._messages) as messages:
            async for message in messages:
                await pipe.send(message.encode(self._api.redaction))

    async def _send_all(self, pipe: MemoryObjectReceiveStream[bytes], send: Send) -> None:
        with pipe:
            chunk: bytes | None = b": openbell\n\n"
            while chunk is not None:
                with anyio.move_on_after(self._api.send_timeout_s) as patience:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                if patience.cancelled_caught:
                    self._caller.abort()
                    return
                chunk = await self._next(pipe)

    async def _next(self, pipe: MemoryObjectReceiveStream[bytes]) -> bytes | None:
        with anyio.move_on_after(self._api.heartbeat_s):
            try:
                return await pipe.receive()
            except anyio.EndOfStream:
                return None
        return b": still here\n\n"

    async def _end_with_server(self, scope: anyio.CancelScope) -> None:
        await self._api.closing.wait()
        scope.cancel()

    @staticmethod
    async def _end_with_client(receive: Receive, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()
