"""The daemon's end of a worker's socket, over real sockets."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from openbell.execution.line import MOST_WAITING, Line, LineEndedError
from openbell.execution.protocol import MAX_FRAME_BYTES, FrameError

pytestmark = pytest.mark.integration


def frame(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Line, socket.socket]]:
    ours, theirs = socket.socketpair()
    line = await Line.over(ours)
    with anyio.fail_after(10), theirs:
        yield line, theirs
    line.close()
    await anyio.lowlevel.checkpoint()


async def test_frames_come_whole_however_they_were_cut() -> None:
    async with connected() as (line, theirs):
        bodies = [b"first", b"", b"x" * 1000]
        sent = b"".join(map(frame, bodies))
        async with anyio.create_task_group() as tasks:

            async def drip() -> None:
                for at in range(0, len(sent), 7):
                    theirs.send(sent[at : at + 7])
                    await anyio.lowlevel.checkpoint()

            tasks.start_soon(drip)
            assert [await line.receive() for _ in bodies] == bodies


async def test_a_worker_that_floods_waits_until_it_is_heard() -> None:
    count = 50 * MOST_WAITING
    async with connected() as (line, theirs), anyio.create_task_group() as tasks:
        sent: list[int] = []

        def flood() -> None:
            for number in range(count):
                theirs.sendall(frame(b"%d" % number + b"." * 4096))
                sent.append(number)

        tasks.start_soon(anyio.to_thread.run_sync, flood)
        while len(sent) < MOST_WAITING:
            await anyio.sleep(0.01)
        await anyio.sleep(0.1)
        assert len(sent) < count
        for number in range(count):
            assert (await line.receive()).startswith(b"%d." % number)


async def test_what_was_said_before_the_end_is_still_received() -> None:
    async with connected() as (line, theirs):
        theirs.sendall(frame(b"last"))
        theirs.close()
        assert await line.receive() == b"last"
        with pytest.raises(LineEndedError):
            await line.receive()
        with pytest.raises(LineEndedError):
            await line.send(frame(b"too late"))


async def test_a_process_that_ended_is_heard_though_its_child_holds_the_socket() -> None:
    async with connected() as (line, theirs):
        theirs.sendall(frame(b"last"))
        async with anyio.create_task_group() as tasks:

            async def end() -> None:
                await anyio.wait_all_tasks_blocked()
                line.hear_no_more()

            assert await line.receive() == b"last"
            tasks.start_soon(end)
            with pytest.raises(LineEndedError):
                await line.receive()


async def test_what_is_no_frame_ends_the_line() -> None:
    async with connected() as (line, theirs):
        theirs.sendall(struct.pack(">I", MAX_FRAME_BYTES + 1))
        with pytest.raises(FrameError):
            await line.receive()
        line.close()
        line.hear_no_more()


async def test_a_large_frame_waits_until_the_other_end_reads() -> None:
    async with connected() as (line, theirs), anyio.create_task_group() as tasks:
        large = frame(b"x" * (4 << 20))
        tasks.start_soon(line.send, large)
        await anyio.wait_all_tasks_blocked()

        def read() -> int:
            left = len(large)
            while left:
                left -= len(theirs.recv(min(left, 1 << 16)))
            return left

        assert await anyio.to_thread.run_sync(read) == 0


async def test_receiving_can_be_cancelled_and_begun_again() -> None:
    async with connected() as (line, theirs):
        with anyio.move_on_after(0.01):
            await line.receive()
        assert not line.is_awaited
        theirs.sendall(frame(b"later"))
        assert await line.receive() == b"later"
