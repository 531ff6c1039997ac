"""One worker process as the daemon sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import anyio
from anyio import to_thread
from anyio.abc import Process

from openbell.execution.line import Line, LineEndedError
from openbell.execution.orphans import MARK, end_marked, mark_of
from openbell.execution.protocol import (
    PROTOCOL_VERSION,
    FrameError,
    FromWorker,
    Hello,
    Shutdown,
    ToWorker,
    decode_from_worker,
    encode,
)

HELLO_S = 30.0
_GRACE_S = 5.0
_PRIVATE = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID")
_CRASH_TAIL_CHARS = 4000


class WorkerLostError(Exception):
    """A worker process ended while it had work; `tail` is what it last said on stderr."""

    def __init__(self, pid: int, exit_code: int | None, tail: str, *, reason: str = "") -> None:
        why = reason or describe_exit(exit_code)
        super().__init__(f"worker process {pid} was lost: {why}" if pid else why)
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
        why = ", perhaps by the out-of-memory killer" if name == "SIGKILL" else ""
        return f"killed by {name}{why}"
    return f"exit code {exit_code}"


class WorkerProcess:
    """A worker process and its line. Made by `start_worker`, ended by `stop`.

    `heard_count` grows with whatever it says; `is_awaited` while somebody waits for that.
    """

    def __init__(
        self, process: Process, line: Line, crash_file: Path, started_at: datetime
    ) -> None:
        self._process = process
        self._line = line
        self._crash_file = crash_file
        self._doom = ""
        self.heard_count = 0
        self.pid = process.pid
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
        return message

    async def _lost(self) -> WorkerLostError:
        exit_code: int | None = None
        with anyio.move_on_after(_GRACE_S):
            exit_code = await self._process.wait()
        return WorkerLostError(self.pid, exit_code, self.tail(), reason=self._doom)

    def tail(self) -> str:
        """Return the last of what the process said on stderr before or beside its tasks."""
        try:
            text = self._crash_file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return text[-_CRASH_TAIL_CHARS:]

    async def watch(self) -> None:
        """End the line once the process has ended; what it said before is still received.

        A child that the task forked may hold the other end open, so the line alone does not tell.
        """
        await self._process.wait()
        self._line.hear_no_more()

    def condemn(self, reason: str) -> None:
        """Kill the process at once; whoever waits for it hears `reason`."""
        self._doom = reason
        self._signal(signal.SIGKILL)

    def memory_bytes(self) -> int:
        """Return the resident memory, 0 once the process is gone."""
        try:
            fields = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()
        except OSError:
            return 0
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def is_alive(self) -> bool:
        """Return whether the process still runs."""
        return self._process.returncode is None

    async def stop(self, *, is_idle: bool = False) -> int | None:
        """End the process and everything it started: SIGTERM, a grace time, SIGKILL.

        One that is idle and not worn out is asked first, and leaves as a process does.

        Cancelled or not, the process is gone when this returns, unless the kernel does not let it
        go (it waits for a disk).
        """
        with anyio.CancelScope(shield=True):
            if is_idle:
                with anyio.move_on_after(_GRACE_S):
                    await self.send(Shutdown())
                    await self._process.wait()
            self._line.close()
            if self._process.returncode is None:
                self._signal(signal.SIGTERM)
                with anyio.move_on_after(_GRACE_S):
                    await self._process.wait()
            self._signal(signal.SIGKILL)
            with anyio.move_on_after(_GRACE_S):
                await self._process.wait()
                await self._process.aclose()
            if not (is_idle and self._process.returncode == 0):
                await to_thread.run_sync(
                    end_marked, str(self._crash_file), limiter=anyio.CapacityLimiter(1)
                )
            self._crash_file.unlink(missing_ok=True)
        return self._process.returncode

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


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
) -> WorkerProcess:
    """Start a worker process and shake hands; raises WorkerLostError when it does not come up.

    It may have no more than `memory_bytes` of memory of its own.
    """
    try:
        worker = await _launch(scratch_dir, environment, now, memory_bytes)
    except OSError as error:
        raise WorkerLostError(0, None, "", reason=f"no worker can be started: {error}") from error
    try:
        with anyio.fail_after(hello_s):
            await _greet(worker)
    except TimeoutError:
        tail = worker.tail()
        await worker.stop()
        reason = f"it said nothing for {hello_s:g} s after its start"
        raise WorkerLostError(worker.pid, None, tail, reason=reason) from None
    except BaseException:
        await worker.stop()
        raise
    return worker


async def _launch(
    scratch_dir: Path, environment: Mapping[str, str], now: datetime, memory_bytes: int | None
) -> WorkerProcess:
    with ExitStack() as undo:
        ours, theirs = socket.socketpair()
        undo.callback(ours.close)
        undo.enter_context(theirs)
        handle, crash_name = tempfile.mkstemp(prefix="worker-", suffix=".stderr", dir=scratch_dir)
        undo.callback(os.unlink, crash_name)
        with os.fdopen(handle, "wb") as crash:
            process = await anyio.open_process(
                [
                    sys.executable,
                    "-m",
                    "openbell.execution.worker",
                    str(theirs.fileno()),
                    str(os.getpid()),
                    *([] if memory_bytes is None else [str(memory_bytes)]),
                ],
                stdin=subprocess.DEVNULL,
                stdout=crash,
                stderr=crash,
                pass_fds=(theirs.fileno(),),
                env={**without_private(environment), MARK: mark_of(crash_name)},
                start_new_session=True,
            )
        undo.callback(process.kill)
        line = await Line.over(ours)
        undo.pop_all()
        theirs.close()
    return WorkerProcess(process, line, Path(crash_name), now)


async def _greet(worker: WorkerProcess) -> None:
    hello = await worker.receive()
    if not isinstance(hello, Hello) or hello.protocol_version != PROTOCOL_VERSION:
        raise WorkerLostError(worker.pid, None, "", reason=f"unexpected greeting: {hello}")
