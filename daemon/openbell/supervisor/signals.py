"""Wakes whoever waits for something to be recorded; nobody asks history again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import anyio

from openbell.model.events import ApprovalAnswered, BatchCommitted, Event, RunFinished
from openbell.model.runs import RunState

Key = tuple[str, str]
"""What an event is about: a run, a pipeline's session, a dataset or a run's questions, and its name."""

ANY_SUCCESS: Key = ("any success", "")
"""A run succeeded of which nobody knows what it may have written."""

Written = Callable[[str], Iterable[str] | None]
"""Return the datasets that a pipeline may write, None where that is unknown."""


def succeeded_key(pipeline: str, session: str | None) -> Key:
    """Return what to listen to for a successful run of a pipeline that is about a session."""
    return ("session", f"{session} {pipeline}")


class Signal:
    """Heard at least once since the last `wait`, or not."""

    def __init__(self) -> None:
        self._heard = anyio.Event()

    def set(self) -> None:
        """Wake who waits, or who waits next."""
        self._heard.set()

    async def wait(self) -> None:
        """Return once there was a signal since the last wait."""
        await self._heard.wait()
        self._heard = anyio.Event()


class Signals:
    """Sees every event once it is durable, and wakes only those whom it may be about."""

    def __init__(self, written: Written = lambda _: None) -> None:
        self._written = written
        self._waiting: dict[Key, list[Signal]] = {}

    @contextmanager
    def listening(self, *keys: Key) -> Iterator[Signal]:
        """Yield a signal that is set by every event about one of `keys` from now on."""
        signal = Signal()
        for key in keys:
            self._waiting.setdefault(key, []).append(signal)
        try:
            yield signal
        finally:
            for key in keys:
                self._waiting[key].remove(signal)
                if not self._waiting[key]:
                    del self._waiting[key]

    def see(self, event: Event) -> None:
        """Wake who waits for what `event` is about."""
        if not self._waiting:
            return
        match event:
            case RunFinished():
                self.wake(("run", event.run_id))
                if event.state is RunState.SUCCESS:
                    self._succeeded(event)
            case BatchCommitted():
                self.wake(*(("dataset", receipt.dataset) for receipt in event.receipts.values()))
            case ApprovalAnswered():
                self.wake(("approval", event.run_id))
            case _:
                pass

    def _succeeded(self, event: RunFinished) -> None:
        """Wake who waits for the run, or for what its pipeline had committed: that counts now."""
        self.wake(succeeded_key(event.pipeline, event.session))
        datasets = self._written(event.pipeline)
        if datasets is None:
            self.wake(ANY_SUCCESS)
        else:
            self.wake(*(("dataset", name) for name in datasets))

    def wake(self, *keys: Key) -> None:
        """Set the signals of everybody who listens to one of `keys`."""
        for key in keys:
            for signal in self._waiting.get(key, ()):
                signal.set()
