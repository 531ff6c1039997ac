"""Signals: HUP reloads, TERM drains, and asking a second time stops at once."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from signal import Signals

import anyio
from anyio.abc import TaskGroup, TaskStatus

from openbell.model.control import Engine
from openbell.sdk.errors import RetryableError, SettingsError
from openbell.service.notify import Notifier

HANDLED = (Signals.SIGHUP, Signals.SIGTERM, Signals.SIGINT)


class Wish(enum.StrEnum):
    """What a signal asks for."""

    RELOAD = "reload"
    DRAIN = "drain"
    STOP = "stop"


def wish_of(number: int, *, stops_before: int) -> Wish | None:
    """Return what signal `number` asks for after `stops_before` signals that asked to end.

    None: a reload makes no sense any more once the daemon is on its way out.
    """
    if number == Signals.SIGHUP:
        return None if stops_before else Wish.RELOAD
    return Wish.STOP if stops_before else Wish.DRAIN


def open_signals() -> AbstractContextManager[AsyncIterator[Signals]]:
    """Take over the handled signals; in the main thread only. Iterate what it yields."""
    return anyio.open_signal_receiver(*HANDLED)


async def run_signals(
    engine: Engine,
    notifier: Notifier,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Turn signals into calls of `engine` until cancelled, and tell the service manager.

    The handlers are in place once the task has started. A reload runs beside the loop, so it
    delays no stop; signals that arrive during one lead to one more, as the file may have changed
    since it was read. A refused reload is shown in the status line and changes nothing.
    """
    reloads = _Reloads(engine, notifier)
    stops = 0
    with open_signals() as arrivals:
        async with anyio.create_task_group() as tasks:
            task_status.started()
            async for number in arrivals:
                match wish_of(number, stops_before=stops):
                    case Wish.RELOAD:
                        reloads.ask(tasks)
                    case Wish.DRAIN:
                        stops += 1
                        notifier.stopping("draining: letting work in hand end")
                        engine.request_stop(fast=False)
                    case Wish.STOP:
                        stops += 1
                        notifier.stopping("stopping at once")
                        engine.request_stop(fast=True)
                    case None:
                        pass


class _Reloads:
    """At most one reload at a time and one waiting."""

    def __init__(self, engine: Engine, notifier: Notifier) -> None:
        self._engine = engine
        self._notifier = notifier
        self._is_running = False
        self._is_asked_again = False

    def ask(self, tasks: TaskGroup) -> None:
        if self._is_running:
            self._is_asked_again = True
            return
        self._is_running = True
        tasks.start_soon(self._run, name="reload")

    async def _run(self) -> None:
        try:
            await self._reload()
            while self._is_asked_again:
                self._is_asked_again = False
                await self._reload()
        finally:
            self._is_running = False

    async def _reload(self) -> None:
        self._notifier.reloading("reloading the configuration")
        try:
            done = await self._engine.reload()
        except SettingsError as error:
            first = next(iter(error.problems), error)
            self._notifier.ready(f"reload refused: {first}")
        except RetryableError as error:
            self._notifier.ready(f"reload not possible now, send SIGHUP again: {error}")
        else:
            self._notifier.ready(
                f"reloaded: {len(done.added)} added, {len(done.changed)} changed, "
                f"{len(done.removed)} removed"
            )
