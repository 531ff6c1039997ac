"""What an attempt costs: CPU time, peak memory, bytes from and to disks (proc(5), getrusage(2)).

Processes that the attempt started count once they have ended and were waited for.
"""

from __future__ import annotations

import contextlib
import os
import resource
from dataclasses import dataclass

_RESET_PEAK = b"5"
_PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What an attempt cost so far; `peak_memory_bytes` is of its largest process.

    `memory_bytes` is what this process holds now.
    """

    cpu_s: float
    memory_bytes: int
    peak_memory_bytes: int
    io_read_bytes: int
    io_written_bytes: int


class Effort:
    """Measures one attempt after the other in this process."""

    def __init__(self) -> None:
        self._io = _opened("/proc/self/io", os.O_RDONLY)
        self._status = _opened("/proc/self/status", os.O_RDONLY)
        self._clear = _opened("/proc/self/clear_refs", os.O_WRONLY)
        self.begin()

    def begin(self) -> None:
        """Count from nothing: a new attempt starts."""
        if self._clear is not None:
            with contextlib.suppress(OSError):
                os.write(self._clear, _RESET_PEAK)
        self._cpu_s = _cpu_s()
        self._io_bytes = self._disk()
        self._child_peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss

    def spent(self) -> Spent:
        """Return what the attempt cost so far."""
        read, written = self._disk()
        status = b"" if self._status is None else os.pread(self._status, _PAGE_BYTES, 0)
        child_peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        of_child = child_peak * 1024 if child_peak > self._child_peak else 0
        return Spent(
            cpu_s=_cpu_s() - self._cpu_s,
            memory_bytes=_kib(status, b"VmRSS:"),
            peak_memory_bytes=max(_peak(status), of_child),
            io_read_bytes=read - self._io_bytes[0],
            io_written_bytes=written - self._io_bytes[1],
        )

    def reserved_bytes(self) -> int:
        """Return how much the process has of what its limit counts, used or not."""
        status = b"" if self._status is None else os.pread(self._status, _PAGE_BYTES, 0)
        return _kib(status, b"VmData:")

    def _disk(self) -> tuple[int, int]:
        """Return bytes read from and written to disks, none where that is not told."""
        if self._io is None:
            return 0, 0
        lines = dict(
            line.split(b": ", 1) for line in os.pread(self._io, _PAGE_BYTES, 0).splitlines()
        )
        return int(lines[b"read_bytes"]), int(lines[b"write_bytes"])


def _opened(path: str, mode: int) -> int | None:
    try:
        return os.open(path, mode | os.O_CLOEXEC)
    except OSError:
        return None


def _peak(status: bytes) -> int:
    return _kib(status, b"VmHWM:") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _kib(status: bytes, name: bytes) -> int:
    """Return a field of the process's status in bytes, 0 where it is not told."""
    at = status.find(name)
    return 0 if at < 0 else int(status[at + len(name) :].split(maxsplit=1)[0]) * 1024


def _cpu_s() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
