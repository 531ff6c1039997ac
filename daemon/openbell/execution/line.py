"""The daemon's end of the socket to a worker, as a protocol of the loop.

The loop hands over bytes as they come, with no call to the kernel for each that waits: a short task
is two small frames, and asking for them costs more than working on them.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Self

from typing_extensions import override

from openbell.execution.protocol import FrameError, FrameReader

MOST_WAITING = 64
"""How many frames may wait to be received; more are left in the socket, and the worker waits."""


class LineEndedError(Exception):
    """The other end is gone, or the line was closed here."""


class Line(asyncio.Protocol):
    """Frames both ways. One task at a time receives; anybody may send. Made by `over`."""

    def __init__(self, own: socket.socket) -> None:
        self._socket = own
        self._transport: asyncio.Transport | None = None
        self._frames = FrameReader()
        self._received: deque[bytes] = deque()
        self._error: Exception | None = None
        self._more: asyncio.Future[None] | None = None
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._is_full = False

    @classmethod
    async def over(cls, own: socket.socket) -> Self:
        """Return the line over a connected socket, which it closes in the end."""
        own.setblocking(False)
        line = cls(own)
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: line, sock=own)
        return line

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits to receive."""
        return self._more is not None

    async def send(self, frame: bytes) -> None:
        """Send a frame whole, also when cancelled; raises LineEndedError."""
        if self._transport is None or self._transport.is_closing():
            raise LineEndedError
        self._transport.write(frame)
        if not self._has_room.is_set():
            await self._has_room.wait()

    async def receive(self) -> bytes:
        """Return the body of the next frame.

        Raises LineEndedError once all that came was received, FrameError for what is no frame.
        """
        while not self._received:
            if self._error is not None:
                raise self._error
            self._more = asyncio.get_running_loop().create_future()
            try:
                await self._more
            finally:
                self._more = None
        body = self._received.popleft()
        if self._is_full and len(self._received) < MOST_WAITING // 2:
            self._is_full = False
            self._read_on()
        return body

    def hear_no_more(self) -> None:
        """End the line once what was sent so far is received, whoever holds its other end open."""
        try:
            self._socket.shutdown(socket.SHUT_RD)
        except OSError:
            self._end(LineEndedError())

    def close(self) -> None:
        """Close the line; whoever receives hears of it."""
        self._end(LineEndedError())
        if self._transport is not None:
            self._transport.close()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        try:
            self._received.extend(self._frames.feed(data))
        except FrameError as error:
            self._end(error)
            return
        if len(self._received) >= MOST_WAITING and not self._is_full:
            assert self._transport is not None
            self._is_full = True
            self._transport.pause_reading()
        self._wake()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._end(LineEndedError())
        self._has_room.set()

    @override
    def pause_writing(self) -> None:
        self._has_room.clear()

    @override
    def resume_writing(self) -> None:
        self._has_room.set()

    def _read_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _end(self, error: Exception) -> None:
        self._error = self._error or error
        self._wake()

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)
