"""What one task may change in its process and the next must not find: the way back."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

from openbell.execution.last_words import TELL_WHERE

_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


class Terminated(BaseException):
    """SIGTERM arrived: unwind, clean up, leave."""


_Handler = Callable[[int, FrameType | None], None]


class Surroundings:
    """Remembers how the process stood before its first task."""

    def __init__(self, on_terminate: _Handler) -> None:
        self._on_terminate = on_terminate
        self._folder = _folder()
        self._umask = _umask()
        self._environment = dict(os.environ)
        self._encoded = dict(_encoded())

    def restore(self, traceparent: str = "") -> None:
        """Put signal handlers, timers, working directory, file modes and environment back."""
        signal.signal(signal.SIGTERM, self._on_terminate)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, TELL_WHERE))
        for timer in _TIMERS:
            signal.setitimer(timer, 0)
        os.umask(self._umask)
        if _folder() != self._folder:
            with contextlib.suppress(OSError):  # the daemon's own folder may have been deleted
                os.chdir(self._folder)
        if _encoded() != self._encoded:
            os.environ.clear()
            os.environ.update(self._environment)
        if traceparent:
            os.environ["TRACEPARENT"] = traceparent
        elif "TRACEPARENT" not in self._environment:
            os.environ.pop("TRACEPARENT", None)
        self._encoded = dict(_encoded())


def _encoded() -> Mapping[bytes, bytes]:
    """Return the environment as it is kept: reading it in public decodes each of its variables."""
    kept: Mapping[bytes, bytes] = vars(os.environ)["_data"]
    return kept


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _folder() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return ""


def has_children() -> bool:
    """Return whether processes that a task started are still there; ended ones are reaped."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def limit_memory(size_bytes: int) -> None:
    """Let an allocation fail that would bring the process's own memory over `size_bytes`.

    Files that are mapped to read them do not count.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = size_bytes if hard == resource.RLIM_INFINITY else min(size_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))
