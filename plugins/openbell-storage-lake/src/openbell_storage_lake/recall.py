"""What is in memory of files that never change: whole small files, and windows of big ones."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Window:
    """The rows of one file with `low_us <= ts <= high_us`, in the file's order."""

    low_us: int
    high_us: int
    block: pa.RecordBatch


class Recall:
    """Windows by path, the least used forgotten first: `limit_bytes` in all, or the newest one."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._windows: OrderedDict[str, Window] = OrderedDict()
        self._size_bytes = 0
        self._lock = Lock()

    def get(self, path: str, low_us: int, high_us: int) -> pa.RecordBatch | None:
        """Return rows of `path` that include all from `low_us` to `high_us`, None if not here."""
        with self._lock:
            window = self._windows.get(path)
            if window is None or low_us < window.low_us or high_us > window.high_us:
                return None
            self._windows.move_to_end(path)
            return window.block

    def put(self, path: str, window: Window) -> None:
        """Remember `window`, instead of the one of this path if there is one."""
        with self._lock:
            old = self._windows.pop(path, None)
            if old is not None:
                self._size_bytes -= old.block.nbytes
            self._windows[path] = window
            self._size_bytes += window.block.nbytes
            while self._size_bytes > self.limit_bytes and len(self._windows) > 1:
                _, forgotten = self._windows.popitem(last=False)
                self._size_bytes -= forgotten.block.nbytes
