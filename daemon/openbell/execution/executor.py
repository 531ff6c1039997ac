"""The seam between who wants work done and where it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import anyio

from openbell.execution.last_words import LastWords
from openbell.execution.protocol import Ask, Done, Failed, FromWorker, Task


class StopSignal:
    """Asks a task in a worker to end after the chunk in hand."""

    def __init__(self) -> None:
        self._is_asked = False
        self._asked: anyio.Event | None = None
        self._hearers: list[Callable[[], None]] = []
        self.is_interrupt = False

    def ask(self, *, is_interrupt: bool) -> None:
        """Ask; `is_interrupt` says that the run will go on later. The first call counts."""
        if not self._is_asked:
            self.is_interrupt = is_interrupt
            self._is_asked = True
            if self._asked is not None:
                self._asked.set()
            for hearer in list(self._hearers):
                hearer()

    def is_asked(self) -> bool:
        """Return whether somebody asked."""
        return self._is_asked

    async def wait(self) -> None:
        """Return once somebody asked."""
        if self._asked is None:
            self._asked = anyio.Event()
            if self._is_asked:
                self._asked.set()
        await self._asked.wait()

    @contextmanager
    def heard_by(self, hearer: Callable[[], None]) -> Iterator[None]:
        """Call `hearer` when somebody asks, at once when somebody did; costs no task meanwhile."""
        if self.is_asked():
            hearer()
        self._hearers.append(hearer)
        try:
            yield
        finally:
            self._hearers.remove(hearer)


class Listener(Protocol):
    """Hears what a task reports on its way."""

    async def hear(self, message: FromWorker) -> None:
        """Take in a report; the next one waits until this returns."""
        ...

    async def answer(self, question: Ask, stop: StopSignal) -> tuple[bool, int]:
        """Return whether a question is granted, and the time in microseconds since 1970."""
        ...

    def left_behind(self, words: LastWords) -> None:
        """Take in what is left of a worker that was lost, or ended, with the task in hand."""
        ...


class SilentListener:
    """Listens to a task that has nothing to report and nothing to ask."""

    async def hear(self, message: FromWorker) -> None:
        """Let it pass."""

    async def answer(self, question: Ask, stop: StopSignal) -> tuple[bool, int]:
        """Refuse: a plain function asks nothing."""
        del question, stop
        return False, 0

    def left_behind(self, words: LastWords) -> None:
        """Let it pass."""


class Executor(Protocol):
    """Runs tasks somewhere else. The seam for other ways than local processes."""

    async def submit(
        self, task: Task, listener: Listener, stop: StopSignal
    ) -> tuple[Done | Failed, int]:
        """Run `task` and return how it ended, and the worker's pid.

        Waits for a free worker first; if it is to be interrupted by then, it does not begin.
        Raises WorkerLostError when the worker dies or none can be started, and FrameError for a
        task that cannot be sent. Cancelled: the task's process is ended before this returns.
        """
        ...
