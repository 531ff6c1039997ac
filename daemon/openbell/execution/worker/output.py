"""What a node's code writes becomes its log lines: stdout, stderr and the logging module.

Both streams are captured at the level of file descriptors, so libraries in C and child processes
are heard too. Lines are cut at `MAX_LINE_BYTES`, and what an attempt writes beyond
`MAX_LOG_BYTES` is dropped here and counted in one last line: no node's flood reaches the daemon.
"""

from __future__ import annotations

import array
import fcntl
import logging
import os
import select
import sys
import termios
import threading
from collections.abc import Callable, Sequence

from typing_extensions import override

from openbell.execution.black_box import FLUSHED, Page
from openbell.model.runs import LOG_LINE_BYTES, MAX_LOG_BYTES, LogLine
from openbell.sdk.values import from_us

MAX_LINE_BYTES = 8192
MAX_LINES = 200
"""How many lines are handed on at once: the daemon does something else between two portions."""
_MOST_BYTES = MAX_LOG_BYTES - 1024  # room for the line that says what was dropped
_READ_BYTES = 65536
_STREAMS = ((1, "stdout"), (2, "stderr"))

NowUs = Callable[[], int]
Deliver = Callable[[list[LogLine]], None]


class OutputCapture:
    """Captures the process's output and hands it on as lines.

    `pipes` are those that it goes through: reading and writing end for stdout, then for stderr;
    what was read and not handed on is held in `page`.
    """

    def __init__(
        self, deliver: Deliver, now_us: NowUs, *, pipes: Sequence[int], page: Page
    ) -> None:
        self._deliver = deliver
        self._now_us = now_us
        self._lock = threading.Lock()
        self._bytes_left = _MOST_BYTES
        self._dropped_bytes = 0
        self._pid = os.getpid()
        self._pipes = pipes
        self._page = page
        self._writers: dict[str, int] = {}
        self._readers: dict[str, int] = {}
        self._is_reading: dict[str, bool] = {}
        self._flushed: dict[str, threading.Event] = {}

    def start(self) -> None:
        """Take over the file descriptors 1 and 2, and the root logger."""
        ends = zip(self._pipes[::2], self._pipes[1::2], strict=True)
        for number, (reader, writer) in enumerate(ends):
            descriptor, stream = _STREAMS[number]
            os.dup2(writer, descriptor)
            os.close(writer)
            self._writers[stream] = descriptor
            self._readers[stream] = reader
            self._is_reading[stream] = False
            self._flushed[stream] = threading.Event()
            threading.Thread(
                target=self._read,
                args=(reader, stream, self._page.held(number)),
                name=stream,
                daemon=True,
            ).start()
        logging.basicConfig(handlers=[_Handler(self)], level=logging.INFO, force=True)
        logging.captureWarnings(capture=True)

    def begin(self) -> None:
        """Count from nothing: a new attempt starts."""
        with self._lock:
            self._bytes_left = _MOST_BYTES
            self._dropped_bytes = 0

    def end(self) -> None:
        """Return once everything written so far was handed on, and say what was dropped."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for stream_name, descriptor in self._writers.items():
            if self._is_quiet(stream_name):
                continue
            self._flushed[stream_name].clear()
            os.write(descriptor, b"\n" + FLUSHED + b"\n")
            self._flushed[stream_name].wait(timeout=5.0)
        if self._dropped_bytes:
            text = f"output truncated: {self._dropped_bytes} bytes over the limit were dropped"
            self._deliver([self._line("log", "WARNING", text)])

    def _is_quiet(self, stream: str) -> bool:
        """Return whether nothing is on its way. What leaves the pipe is marked before it does."""
        waiting = array.array("i", [0])
        fcntl.ioctl(self._readers[stream], termios.FIONREAD, waiting)
        return waiting[0] == 0 and not self._is_reading[stream]

    def write(self, stream: str, level: str, texts: list[str]) -> None:
        """Hand on lines, as long as the attempt's allowance lasts.

        In a process that a task forked they go the way of everything else that it writes.
        """
        if os.getpid() != self._pid:
            os.write(2, "".join(f"{text}\n" for text in texts).encode("utf-8", "replace"))
            return
        kept = []
        with self._lock:
            for text in texts:
                data = text.encode("utf-8", "replace")
                size_bytes = len(data) + LOG_LINE_BYTES
                if size_bytes > self._bytes_left:
                    self._dropped_bytes += len(data) + 1
                    continue
                self._bytes_left -= size_bytes
                kept.append(self._line(stream, level, data.decode()))
        for first in range(0, len(kept), MAX_LINES):
            self._deliver(kept[first : first + MAX_LINES])

    def _line(self, stream: str, level: str, text: str) -> LogLine:
        return LogLine(at=from_us(self._now_us()), stream=stream, level=level, text=text)

    def _drop(self, size_bytes: int) -> None:
        with self._lock:
            self._dropped_bytes += size_bytes

    def _read(self, reader: int, stream: str, held: memoryview) -> None:
        """Report lines as they come; what is read and not reported stays in `held`."""
        level = "INFO" if stream == "stdout" else "WARNING"
        rest = b""
        ready = select.poll()
        ready.register(reader, select.POLLIN)
        while True:
            self._is_reading[stream] = bool(rest)
            ready.poll()
            self._is_reading[stream] = True
            count = os.readv(reader, [held[len(rest) : len(rest) + _READ_BYTES]])
            if not count:
                return
            size = len(rest) + count
            *lines, rest = bytes(held[:size]).split(b"\n")
            if len(rest) > MAX_LINE_BYTES:
                lines.append(rest)
                rest = b""
            held[:size] = rest.ljust(size, b"\0")
            self._take(stream, level, lines)

    def _take(self, stream: str, level: str, lines: list[bytes]) -> None:
        texts: list[str] = []
        for line in lines:
            if line == FLUSHED:
                self.write(stream, level, texts)
                texts = []
                self._flushed[stream].set()
            elif line:
                if len(line) > MAX_LINE_BYTES:
                    self._drop(len(line) - MAX_LINE_BYTES)
                texts.append(line[:MAX_LINE_BYTES].decode("utf-8", errors="replace"))
        if texts:
            self.write(stream, level, texts)


class _Handler(logging.Handler):
    """Logging records become log lines."""

    def __init__(self, capture: OutputCapture) -> None:
        super().__init__()
        self._capture = capture

    @override
    def emit(self, record: logging.LogRecord) -> None:
        text = f"{record.name}: {record.getMessage()}"
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        self._capture.write("log", record.levelname, [text[:MAX_LINE_BYTES]])
