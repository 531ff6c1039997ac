"""Write log lines to a descriptor that may be slower than we are, and never wait for it."""

from __future__ import annotations

import os
import select
from collections import deque
from threading import Lock

MAX_BACKLOG_LINES = 1000


class LineWriter:
    """Writes whole lines to `fd` as long as it takes them, else keeps up to `max_backlog` lines.

    What comes when the backlog is full is dropped and counted in `dropped_count`. A line longer
    than a pipe's page may wait for the reader to take its second half. Usable from any thread.
    """

    def __init__(self, fd: int, *, max_backlog: int = MAX_BACKLOG_LINES) -> None:
        self._fd = fd
        self._max_backlog = max_backlog
        self._backlog: deque[bytes] = deque()
        self._lock = Lock()
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self.dropped_count = 0

    def write(self, line: bytes) -> None:
        """Write `line`, which has no line break at its end, after everything before it."""
        with self._lock:
            if len(self._backlog) >= self._max_backlog:
                self._send(0)
            if len(self._backlog) >= self._max_backlog:
                self.dropped_count += 1
                return
            self._backlog.append(line + b"\n")
            self._send(0)

    def flush(self, wait_s: float = 0.0) -> bool:
        """Write what was held back, waiting at most `wait_s` for the reader; True if all went."""
        with self._lock:
            self._send(int(wait_s * 1000))
            return not self._backlog

    def _send(self, wait_ms: int) -> None:
        while self._backlog and self._poll.poll(wait_ms):
            try:
                _write_all(self._fd, self._backlog[0])
            except OSError:  # the reader is gone for good
                self.dropped_count += len(self._backlog)
                self._backlog.clear()
                return
            self._backlog.popleft()


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
