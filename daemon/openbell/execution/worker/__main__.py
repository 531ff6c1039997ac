"""Entry point of a worker process: `python -m openbell.execution.worker FD`.

FD is the inherited end of the socket pair. The process dies with the daemon: the kernel kills it
when the daemon's thread ends, and a broken line ends it too.
"""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
import traceback
from types import FrameType
from typing import TYPE_CHECKING

import msgspec

from openbell import __version__
from openbell.execution.protocol import (
    PROTOCOL_VERSION,
    CallTask,
    ChainTask,
    Done,
    Failed,
    FrameError,
    Hello,
    Logged,
    Shutdown,
)
from openbell.execution.worker.channel import Channel
from openbell.execution.worker.context import TaskResources, resolve, wait_s
from openbell.execution.worker.output import OutputCapture
from openbell.model.runs import LogLine
from openbell.sdk.errors import OpenbellError, PluginError, RetryableError

if TYPE_CHECKING:
    from openbell.execution.worker.chain import ChainRun

_PR_SET_PDEATHSIG = 1
_TERMINATED_EXIT = 143


class Terminated(BaseException):
    """SIGTERM arrived: unwind, clean up, leave."""


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise Terminated


def _die_with_daemon(parent_pid: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        sys.exit(_TERMINATED_EXIT)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _peak_memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Worker:
    """Takes tasks off the line, one at a time, until told to shut down."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._node = ""
        self._talk = threading.Lock()
        self._capture = OutputCapture(self._log, self._now_us)

    def serve(self) -> None:
        """Work until shutdown."""
        self._capture.start()
        self._channel.start()
        self._channel.send(
            Hello(protocol_version=PROTOCOL_VERSION, openbell_version=__version__, pid=os.getpid())
        )
        while True:
            task = self._channel.tasks.get()
            if isinstance(task, Shutdown):
                return
            self._node = task.nodes[0].name if isinstance(task, ChainTask) else task.function
            self._capture.begin()
            began_s = _cpu_s()
            answer = self._chain(task) if isinstance(task, ChainTask) else self._call(task)
            self._capture.end()
            self._answer(
                msgspec.structs.replace(
                    answer, cpu_s=_cpu_s() - began_s, peak_memory_bytes=_peak_memory_bytes()
                )
            )

    def _answer(self, answer: Done | Failed) -> None:
        """Send the task's last word; what its threads write from now on is of no task."""
        with self._talk:
            node, self._node = self._node, ""
            try:
                self._channel.send(answer)
            except FrameError as error:
                self._channel.send(_failure(node, PluginError(node, str(error))))

    def _chain(self, task: ChainTask) -> Done | Failed:
        from openbell.execution.worker.chain import ChainRun  # noqa: PLC0415 - pyarrow

        os.environ["TRACEPARENT"] = task.traceparent
        resources = TaskResources(task, self._channel)
        chain = ChainRun(task, resources)
        answer = self._run(chain, resources)
        resources.end()
        for close in (*chain.closing(), *resources.closing()):
            try:
                close()
            except Exception:
                logging.getLogger("openbell.worker").exception("closing failed")
        return msgspec.structs.replace(answer, is_worn=chain.is_worn)

    def _run(self, chain: ChainRun, resources: TaskResources) -> Done | Failed:
        from openbell.execution.worker.chain import NodeError  # noqa: PLC0415 - pyarrow

        try:
            return chain.run()
        except NodeError as error:
            failed = _failure(error.node, error.__cause__ or error, resources)
        except Exception as error:  # noqa: BLE001 - a node attempt: the error becomes an event
            return _failure(self._node, error, resources)
        try:
            return msgspec.structs.replace(failed, ends=chain.ends())
        except Exception:  # noqa: BLE001 - a node attempt: a node that failed may not know its numbers
            return failed

    def _call(self, task: CallTask) -> Done | Failed:
        try:
            return Done(result=resolve(task.function)(**task.arguments))
        except Exception as error:  # noqa: BLE001 - a node attempt: the error becomes an event
            return _failure(task.function, error)

    def _log(self, lines: list[LogLine]) -> None:
        with self._talk:
            if self._node:
                self._channel.send(Logged(node=self._node, lines=tuple(lines)))

    def _now_us(self) -> int:
        return time.time_ns() // 1000


def _failure(node: str, error: BaseException, resources: TaskResources | None = None) -> Failed:
    retry_after_s = None
    if isinstance(error, RetryableError) and resources is not None:
        retry_after_s = wait_s(error, resources.now())
    return Failed(
        node=node,
        kind=error.kind if isinstance(error, OpenbellError) else "error",
        message=f"{error}" if isinstance(error, OpenbellError) else f"{error!r}",
        traceback="".join(traceback.format_exception(error))[-16_384:],
        is_retryable=isinstance(error, RetryableError) or not isinstance(error, OpenbellError),
        retry_after_s=retry_after_s,
    )


def main(arguments: list[str]) -> int:
    """Serve the socket whose descriptor is the first argument, for the daemon in the second."""
    descriptor, parent_pid = int(arguments[0]), int(arguments[1])
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_daemon(parent_pid)
    crash = os.dup(2)
    faulthandler.enable(file=crash, all_threads=False)
    with socket.socket(fileno=descriptor) as line:
        try:
            Worker(Channel(line)).serve()
        except Terminated:
            os._exit(_TERMINATED_EXIT)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
