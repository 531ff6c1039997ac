"""Entry point of a worker process: `python -m openbell.execution.worker ...`; see `main`.

The process dies with the daemon: the kernel kills it
when the daemon's thread ends, and a broken line ends it too.
"""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

import msgspec

from openbell import __version__
from openbell.execution.black_box import NOTHING, Page, mark_of
from openbell.execution.last_words import MEMORY_EXIT, TELL_WHERE
from openbell.execution.protocol import (
    PROTOCOL_VERSION,
    Beat,
    CallTask,
    ChainTask,
    Done,
    Failed,
    FrameError,
    Hello,
    Logged,
    NodeCall,
    Shutdown,
    Task,
)
from openbell.execution.worker.channel import FORKED_EXIT, Channel
from openbell.execution.worker.context import TaskResources, resolve
from openbell.execution.worker.effort import Effort
from openbell.execution.worker.failures import Failures, leave_without_memory
from openbell.execution.worker.lean import load_arrow
from openbell.execution.worker.output import OutputCapture
from openbell.execution.worker.surroundings import (
    Surroundings,
    Terminated,
    has_children,
    limit_memory,
)
from openbell.model.runs import LogLine
from openbell.sdk.errors import PluginError

if TYPE_CHECKING:
    from openbell.execution.worker.chain import ChainRun

_PR_SET_PDEATHSIG = 1
_TERMINATED_EXIT = 143
BEAT_S = 3.0


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise Terminated


def _die_with_daemon(parent_pid: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        sys.exit(_TERMINATED_EXIT)


class Worker:
    """Takes tasks off the line, one at a time, until told to shut down."""

    def __init__(
        self, channel: Channel, page: Page, pipes: Sequence[int], limit_bytes: int
    ) -> None:
        self._channel = channel
        self._page = page
        self._node = ""
        self._talk = threading.Lock()
        self._capture = OutputCapture(self._log, self._now_us, pipes=pipes, page=page)
        self._effort = Effort()
        self._failures = Failures(self._effort, limit_bytes)
        self._surroundings = Surroundings(_terminate)

    def serve(self) -> None:
        """Work until shutdown."""
        self._capture.start()
        self._channel.start()
        self._channel.send(
            Hello(protocol_version=PROTOCOL_VERSION, openbell_version=__version__, pid=os.getpid())
        )
        threading.Thread(target=self._beat, name="beat", daemon=True).start()
        while True:
            task = self._channel.tasks.get()
            if isinstance(task, Shutdown):
                return
            self._work(task)

    def _work(self, task: Task) -> None:
        """Do one task and say how it ended, and what it cost."""
        self._capture.begin()
        self._effort.begin()
        self._surroundings.restore("" if isinstance(task, CallTask) else task.traceparent)
        self._node = _name(task)
        self._page.say(0, mark_of(self._node))
        match task:
            case ChainTask():
                answer = self._chain(task)
            case NodeCall():
                answer = self._task(task)
            case CallTask():
                answer = self._call(task)
        self._capture.end()
        spent = self._effort.spent()
        self._answer(
            msgspec.structs.replace(
                answer,
                cpu_s=spent.cpu_s,
                memory_bytes=spent.memory_bytes,
                peak_memory_bytes=spent.peak_memory_bytes,
                io_read_bytes=spent.io_read_bytes,
                io_written_bytes=spent.io_written_bytes,
                is_worn=answer.is_worn or has_children(),
            )
        )

    def _beat(self) -> None:
        """Say every few seconds that the process is alive, as long as it has a task."""
        while True:
            time.sleep(BEAT_S)
            if not self._node:
                continue
            spent = self._effort.spent()
            beat = Beat(
                cpu_s=spent.cpu_s,
                memory_bytes=spent.memory_bytes,
                io_read_bytes=spent.io_read_bytes,
                io_written_bytes=spent.io_written_bytes,
            )
            with self._talk:
                if self._node:
                    self._channel.send(beat)

    def _answer(self, answer: Done | Failed) -> None:
        """Send the task's last word; what its threads write from now on is of no task."""
        with self._talk:
            node, self._node = self._node, ""
            self._page.say(0, NOTHING)
            try:
                self._channel.send(answer)
            except FrameError as error:
                self._channel.send(self._failures.of(node, PluginError(node, str(error))))

    def _chain(self, task: ChainTask) -> Done | Failed:
        load_arrow()
        from openbell.execution.worker.chain import ChainRun  # noqa: PLC0415 - pyarrow

        resources = TaskResources(task, self._channel)
        chain = ChainRun(task, resources, self._page)
        answer = self._run(chain, resources)
        _close(resources, chain)
        return msgspec.structs.replace(answer, is_worn=chain.is_worn)

    def _run(self, chain: ChainRun, resources: TaskResources) -> Done | Failed:
        from openbell.execution.worker.chain import NodeError  # noqa: PLC0415 - pyarrow

        try:
            return chain.run()
        except NodeError as error:
            failed = self._failures.of(error.node, error.__cause__ or error, resources)
        except Terminated:
            raise
        except BaseException as error:  # noqa: BLE001 - a node attempt: the error becomes an event
            return self._failures.of(self._node, error, resources)
        try:
            return msgspec.structs.replace(failed, ends=chain.ends())
        except Exception:  # noqa: BLE001 - a node attempt: a node that failed may not know its numbers
            return failed

    def _task(self, task: NodeCall) -> Done | Failed:
        from openbell.execution.worker.task import run_task  # noqa: PLC0415 - not for other tasks

        resources = TaskResources(task, self._channel)
        try:
            return run_task(task, resources, self._write)
        except Terminated:
            raise
        except BaseException as error:  # noqa: BLE001 - a node attempt: the error becomes an event
            if resources.stop is not None and resources.stop.is_interrupt:
                return Done(is_interrupted=True)
            return self._failures.of(task.node.name, error, resources)
        finally:
            _close(resources)

    def _write(self, level: str, text: str) -> None:
        self._capture.write("log", level, text.splitlines())

    def _call(self, task: CallTask) -> Done | Failed:
        try:
            return Done(result=resolve(task.function)(**task.arguments))
        except Terminated:
            raise
        except BaseException as error:  # noqa: BLE001 - a node attempt: the error becomes an event
            return self._failures.of(task.function, error)

    def _log(self, lines: list[LogLine]) -> None:
        with self._talk:
            if self._node:
                self._channel.send(Logged(node=self._node, lines=tuple(lines)))

    def _now_us(self) -> int:
        return time.time_ns() // 1000


def _name(task: Task) -> str:
    """Return the node that a task is about, whose log its lines belong to."""
    match task:
        case ChainTask():
            return task.nodes[0].name
        case NodeCall():
            return task.node.name
        case CallTask():
            return task.function


def _close(resources: TaskResources, chain: ChainRun | None = None) -> None:
    """Let everything go that a task used, also when some of it does not want to.

    A process that the task forked lets go of nothing: its parent still needs it.
    """
    if resources.channel.is_forked():
        os._exit(FORKED_EXIT)
    resources.end()
    for close in (*(chain.closing() if chain else ()), *resources.closing()):
        try:
            close()
        except Exception:
            logging.getLogger("openbell.worker").exception("closing failed")


def main(arguments: list[str]) -> int:
    """Serve the daemon of the first argument.

    The second is how many bytes of memory the process may have (0: any), the others are what it
    inherited: its end of the line, and what belongs to its black box.
    """
    parent_pid, limit_bytes, line_fd, page_fd, *pipes = map(int, arguments)
    for inherited in (line_fd, page_fd, *pipes):
        os.set_inheritable(inherited, False)
    if limit_bytes:
        limit_memory(limit_bytes)
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_daemon(parent_pid)
    crash = os.dup(2)
    faulthandler.enable(file=crash, all_threads=False)
    faulthandler.register(TELL_WHERE, file=crash, all_threads=True)
    threading.excepthook = leave_without_memory
    with socket.socket(fileno=line_fd) as line:
        try:
            Worker(Channel(line), Page(page_fd), pipes, limit_bytes).serve()
        except Terminated:
            os._exit(_TERMINATED_EXIT)
        except MemoryError:
            os._exit(MEMORY_EXIT)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
