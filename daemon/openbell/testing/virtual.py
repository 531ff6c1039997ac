"""A loop in which waiting takes no time: whenever nothing is to run, a manual clock moves on."""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any, TypeVar

import anyio
from typing_extensions import TypeVarTuple, override

from openbell.testing.clock import ManualClock

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")
_Events = list[tuple[selectors.SelectorKey, int]]


class StalledError(Exception):
    """Every task waits for something that nothing will bring about: no one sleeps on the clock."""


class _IdleSelector(selectors.SelectSelector):
    """Files are looked at in vain: only time makes anything happen here.

    A loop of asyncio asks with a timeout other than zero exactly when it has nothing to run.
    """

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    @override
    def select(self, timeout: float | None = None) -> _Events:
        is_idle = timeout is None or timeout > 0
        if is_idle and not self._clock.wake_next():
            found: _Events = super().select(0)
            if not found:
                raise StalledError("nothing is left to run, and nobody waits for a later instant")
            return found
        return []


class _VirtualLoop(asyncio.SelectorEventLoop):
    """Runs what is ready without a look at files and timers, as long as anything is."""

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _stopping: bool

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(_IdleSelector(clock))
        self._clock = clock

    @override
    def call_soon(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def _run_once(self) -> None:
        ready = self._ready
        if not ready and (self._scheduled or self._stopping or not self._clock.wake_next()):
            super()._run_once()  # type: ignore[misc]
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()  # noqa: SLF001 - as the loop that this one is does


def run_virtual(clock: ManualClock, function: Callable[[], Awaitable[_T]]) -> _T:
    """Return what `function` returns, run on a loop that moves `clock` whenever all tasks wait.

    Tasks may wait for one another and for `clock`, and for nothing else: no file, thread or
    process is heard of. Raises StalledError when all wait and none of them for the clock.
    """

    def loop() -> asyncio.AbstractEventLoop:
        return _VirtualLoop(clock)

    options: dict[str, Any] = {"loop_factory": loop}
    return anyio.run(function, backend_options=options)
