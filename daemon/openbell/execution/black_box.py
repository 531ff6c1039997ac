"""What a worker was at, to be read after it died, however it died.

Its output goes through two pipes whose reading ends the daemon holds too, and is read into memory
that the daemon shares: what the worker wrote and could not report any more is in one or the other.
The same memory says which nodes are at work.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator

_STREAMS = ("stdout", "stderr")
_MARK_BYTES = 256
_PLACES = 2
_READ_AT = _MARK_BYTES * _PLACES
READ_BYTES = 128 * 1024
_SIZE_BYTES = _READ_AT + READ_BYTES * len(_STREAMS)
_MOST_BYTES = 256 * 1024
FLUSHED = b"\x1bopenbell-flushed\x1b"
"""A line that is no output: the worker writes it to learn that all before it was read."""


class Page:
    """Says which nodes are at work in a process, each in a place of its own: a thread.

    It holds what was read of the output and is not reported yet: up to the first zero.
    """

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, _SIZE_BYTES)

    def held(self, stream: int) -> memoryview:
        """Return where the output of a stream is read to: 0 is stdout, 1 is stderr."""
        at = _READ_AT + stream * READ_BYTES
        return memoryview(self._memory)[at : at + READ_BYTES]

    def say(self, place: int, mark: bytes) -> None:
        """Say what `place` works on, as `mark_of` writes it; costs next to nothing."""
        at = place * _MARK_BYTES
        self._memory[at : at + _MARK_BYTES] = mark

    def names(self) -> tuple[str, ...]:
        """Return the nodes that are at work, those of the first place first."""
        marks = (self._memory[at * _MARK_BYTES : (at + 1) * _MARK_BYTES] for at in range(_PLACES))
        told = (mark.rstrip(b"\0").decode("utf-8", "replace") for mark in marks)
        return tuple(dict.fromkeys(name for name in told if name))

    def close(self) -> None:
        """Unmap it."""
        self._memory.close()


def mark_of(name: str) -> bytes:
    """Return how a page says that the node `name` is at work."""
    return name.encode()[:_MARK_BYTES].ljust(_MARK_BYTES, b"\0")


NOTHING = mark_of("")


class BlackBox:
    """The daemon's side. `descriptors` are for the worker: the page, then a pipe a stream."""

    def __init__(self) -> None:
        with contextlib.ExitStack() as undo:
            made = [os.memfd_create("openbell-worker")]
            undo.callback(os.close, made[0])
            os.ftruncate(made[0], _SIZE_BYTES)
            for _ in _STREAMS:
                for descriptor in os.pipe():
                    undo.callback(os.close, descriptor)
                    made.append(descriptor)
            self._page = Page(made[0])
            undo.pop_all()
        self.descriptors = tuple(made)
        self._open = set(made)

    def handed_over(self) -> None:
        """Let go of what only the worker needs, once it has it: then its pipes can end."""
        page, *pipes = self.descriptors
        self._close(page, *pipes[1::2])

    def at_work(self) -> tuple[str, ...]:
        """Return the nodes that were at work."""
        return self._page.names()

    def unheard(self) -> Iterator[tuple[str, str]]:
        """Yield each line that was written and not reported, with its stream, once."""
        for number, (stream, pipe) in enumerate(zip(_STREAMS, self.descriptors[1::2], strict=True)):
            with self._page.held(number) as held:
                read = bytes(held).partition(b"\0")[0]
            for line in (read + _left_in(pipe)).split(b"\n"):
                if line and line != FLUSHED:
                    yield stream, line.decode("utf-8", "replace")

    def close(self) -> None:
        """Let go of everything. Safe to call twice."""
        self._close(*self._open)
        self._page.close()

    def _close(self, *descriptors: int) -> None:
        for descriptor in descriptors:
            if descriptor in self._open:
                self._open.discard(descriptor)
                os.close(descriptor)


def _left_in(pipe: int) -> bytes:
    os.set_blocking(pipe, False)
    found = b""
    with contextlib.suppress(BlockingIOError):
        while len(found) < _MOST_BYTES and (received := os.read(pipe, _MOST_BYTES)):
            found += received
    return found
