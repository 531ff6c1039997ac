"""One worker process as the daemon sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import anyio
from anyio import to_thread

from openbell.execution.black_box import BlackBox
from openbell.execution.child import Child
from openbell.execution.last_words import TELL_WHERE, LastWords
from openbell.execution.line import Line, LineEndedError
from openbell.execution.orphans import MARK, end_marked, mark_of
from openbell.execution.protocol import (
    PROTOCOL_VERSION,
    FrameError,
    FromWorker,
    Hello,
    Logged,
    Shutdown,
    ToWorker,
    decode_from_worker,
    encode,
)
from openbell.execution.remains import OomKills, Remains

HELLO_S = 30.0
_GRACE_S = 5.0
_TELL_S, _LOOK_S = 0.5, 0.01
_PRIVATE = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID")


class WorkerLostError(Exception):
    """A worker process ended while it had work; `tail` is what it last said on stderr.

    `kind` is `memory` when it ran out of that, for certain or in all likelihood: see the message.
    """

    def __init__(
        self,
        pid: int,
        exit_code: int | None,
        tail: str,
        *,
        reason: str = "",
        kind: str = "worker_lost",
    ) -> None:
        why = reason or describe_exit(exit_code)
        super().__init__(f"worker process {pid} was lost: {why}" if pid else why)
        self.kind = kind
        self.pid = pid
        self.exit_code = exit_code
        self.tail = tail


def describe_exit(exit_code: int | None) -> str:
    """Return in words how a process ended."""
    if exit_code is None:
        return "it broke the protocol"
    if exit_code < 0:
        known = {number.value: number.name for number in signal.Signals}
        name = known.get(-exit_code, f"signal {-exit_code}")
        return f"killed by {name}"
    return f"exit code {exit_code}"


class WorkerProcess:
    """A worker process and its line. Made by `start_worker`, ended by `stop`.

    `heard_count` grows with whatever it says; `is_awaited` while somebody waits for that.
    """

    def __init__(self, child: Child, line: Line, remains: Remains, started_at: datetime) -> None:
        self._child = child
        self._line = line
        self._remains = remains
        self._doom = ""
        self.heard_count = 0
        self.pid = child.pid
        self.started_at = started_at
        self.task_count = 0

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for what it says."""
        return self._line.is_awaited

    async def send(self, message: ToWorker) -> None:
        """Send one frame; a broken line is noticed by whoever receives."""
        with contextlib.suppress(LineEndedError):
            await self._line.send(encode(message))

    async def receive(self) -> FromWorker:
        """Return the next thing the worker says; raises WorkerLostError when the line ends."""
        try:
            message = decode_from_worker(await self._line.receive())
        except LineEndedError:
            lost = await self._lost()
            raise lost from None
        except FrameError as error:
            raise WorkerLostError(self.pid, None, str(error)) from error
        self.heard_count += 1
        if isinstance(message, Logged):
            self._remains.heard(message.lines)
        return message

    async def _lost(self) -> WorkerLostError:
        with anyio.move_on_after(_GRACE_S):
            await self._child.wait()
        child, last = self._child, self.last_words()
        told = self._doom or self._remains.out_of_memory(child, describe_exit(child.returncode))
        kind = "memory" if told and not self._doom else "worker_lost"
        return WorkerLostError(self.pid, child.returncode, last.tail, reason=told, kind=kind)

    def last_words(self) -> LastWords:
        """Return what it left behind, once it has ended."""
        return self._remains.last_words(self._child)

    async def watch(self) -> None:
        """End the line once the process has ended; what it said before is still received.

        A child that the task forked may hold the other end open, so the line alone does not tell.
        """
        await self._child.wait()
        self._line.hear_no_more()

    def condemn(self, reason: str) -> None:
        """Kill the process at once; whoever waits for it hears `reason`."""
        self._doom = reason
        self._child.kill()

    def memory_bytes(self) -> int:
        """Return the resident memory, 0 once the process is gone."""
        try:
            fields = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()
        except OSError:
            return 0
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def is_alive(self) -> bool:
        """Return whether the process still runs."""
        return self._child.returncode is None

    async def stop(self, *, is_idle: bool = False, has_task: bool = False) -> int | None:
        """End the process and everything it started: SIGTERM, a grace time, SIGKILL.

        One that is idle and not worn out is asked first, and leaves as a process does; one that has
        a task says first where that is. The line is there until the grace time is over: without it
        a worker leaves at once, and what its task has to put in order is not.

        Cancelled or not, the process is gone when this returns, unless the kernel does not let it
        go (it waits for a disk).
        """
        with anyio.CancelScope(shield=True):
            if is_idle:
                with anyio.move_on_after(_GRACE_S):
                    await self.send(Shutdown())
                    await self._child.wait()
            if has_task:
                await self._tell_where()
            if self.is_alive():
                self._child.signal(signal.SIGTERM)
                with anyio.move_on_after(_GRACE_S):
                    await self._child.wait()
            self._line.close()
            self._child.kill()
            with anyio.move_on_after(_GRACE_S):
                await self._child.wait()
            self._child.close()
            self.last_words()
            if not (is_idle and self._child.returncode == 0):
                place = str(self._remains.crash_file)
                await to_thread.run_sync(end_marked, place, limiter=anyio.CapacityLimiter(1))
            self._remains.clear()
        return self._child.returncode

    async def _tell_where(self) -> None:
        """Let the process write its threads' stacks into its crash file, for a moment.

        No other signal is sent before: a second one would go to a thread that does not heed it.
        """
        before = self._remains.report_bytes()
        with contextlib.suppress(ProcessLookupError):
            if self.is_alive():
                os.kill(self.pid, TELL_WHERE)
        with anyio.move_on_after(_TELL_S):
            while self.is_alive() and self._remains.report_bytes() == before:  # noqa: ASYNC110 - a file tells nobody
                await anyio.sleep(_LOOK_S)


def without_private(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` without what is between the daemon and its service manager."""
    return {name: value for name, value in environment.items() if name not in _PRIVATE}


async def start_worker(
    *,
    scratch_dir: Path,
    environment: Mapping[str, str],
    now: datetime,
    hello_s: float = HELLO_S,
    memory_bytes: int | None = None,
    oom_kills: OomKills | None = None,
) -> WorkerProcess:
    """Start a worker process and shake hands; raises WorkerLostError when it does not come up.

    It may have no more than `memory_bytes` of memory of its own.
    """
    kills = oom_kills or OomKills()
    try:
        worker = await _launch(
            scratch_dir, environment, now, memory_bytes=memory_bytes, oom_kills=kills
        )
    except OSError as error:
        raise WorkerLostError(0, None, "", reason=f"no worker can be started: {error}") from error
    try:
        with anyio.fail_after(hello_s):
            await _greet(worker)
    except TimeoutError:
        await worker.stop()
        reason = f"it said nothing for {hello_s:g} s after its start"
        tail = worker.last_words().tail
        raise WorkerLostError(worker.pid, None, tail, reason=reason) from None
    except BaseException:
        await worker.stop()
        raise
    return worker


async def _launch(
    scratch_dir: Path,
    environment: Mapping[str, str],
    now: datetime,
    *,
    memory_bytes: int | None,
    oom_kills: OomKills,
) -> WorkerProcess:
    with ExitStack() as undo:
        ours, theirs = socket.socketpair()
        undo.callback(ours.close)
        undo.enter_context(theirs)
        box = BlackBox()
        undo.callback(box.close)
        handle, crash_name = tempfile.mkstemp(prefix="worker-", suffix=".stderr", dir=scratch_dir)
        undo.callback(os.unlink, crash_name)
        descriptors = (theirs.fileno(), *box.descriptors)
        with os.fdopen(handle, "wb") as crash:
            child = Child(
                [
                    *(sys.executable, "-m", "openbell.execution.worker"),
                    *(str(os.getpid()), str(memory_bytes or 0)),
                    *(str(descriptor) for descriptor in descriptors),
                ],
                output=crash,
                pass_fds=descriptors,
                env={**without_private(environment), MARK: mark_of(crash_name)},
            )
        undo.callback(child.kill)
        line = await Line.over(ours)
        undo.pop_all()
        theirs.close()
        box.handed_over()
    crash_file = Path(crash_name)
    remains = Remains(box, crash_file, limit_bytes=memory_bytes, oom_kills=oom_kills)
    return WorkerProcess(child, line, remains, now)


async def _greet(worker: WorkerProcess) -> None:
    hello = await worker.receive()
    if not isinstance(hello, Hello) or hello.protocol_version != PROTOCOL_VERSION:
        raise WorkerLostError(worker.pid, None, "", reason=f"unexpected greeting: {hello}")
