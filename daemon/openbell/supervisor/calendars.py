"""Every calendar's sessions: from the snapshots on disk, built in a worker where one is missing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import cast

import anyio

from openbell.calendars.names import UnknownCalendarError, canonical
from openbell.calendars.overlays import OverlayError
from openbell.calendars.snapshot import SnapshotError
from openbell.calendars.store import BUILDER, SessionStore
from openbell.calendars.table import CalendarTable
from openbell.execution.pool import Executor, SilentListener, StopSignal
from openbell.execution.process import WorkerLostError
from openbell.execution.protocol import CallTask, Failed
from openbell.model.pipelines import Overlay
from openbell.sdk.clock import Clock
from openbell.sdk.errors import FatalError, TransientError
from openbell.sdk.values import SessionTable


class CalendarDesk:
    """Answers for sessions; each calendar is built at most once at a time."""

    def __init__(self, store: SessionStore, executor: Executor, clock: Clock) -> None:
        self._store = store
        self._executor = executor
        self._clock = clock
        self._building: dict[str, anyio.Lock] = {}

    def use_overlays(self, overlays: Iterable[Overlay]) -> None:
        """Apply these corrections from now on."""
        self._store.use_overlays(overlays)

    async def between(self, calendar: str, first: date, last: date) -> SessionTable:
        """Return the sessions with labels from `first` to `last`, both included."""
        table = await self.table(calendar)
        return table.between(first, last)

    async def table(self, calendar: str) -> CalendarTable:
        """Return a calendar's whole table; raises FatalError when it cannot be built.

        A worker that is lost over it raises TransientError: it may be built later.
        """
        today = self._clock.now().date()
        try:
            name = canonical(calendar)
            async with self._building.setdefault(name, anyio.Lock()):
                table = self._store.table(name, today=today)
                return table if table is not None else await self._build(name, today)
        except (UnknownCalendarError, OverlayError, SnapshotError) as error:
            raise FatalError(str(error)) from error

    async def _build(self, name: str, today: date) -> CalendarTable:
        task = CallTask(
            attempt_id=f"calendar {name}",
            function=BUILDER,
            arguments={
                "calendar": name,
                "through": self._store.wanted_through(today).isoformat(),
            },
        )
        try:
            answer, _ = await self._executor.submit(task, SilentListener(), StopSignal())
        except WorkerLostError as error:
            raise TransientError(f"calendar {name!r} cannot be built for now: {error}") from error
        if isinstance(answer, Failed):
            raise FatalError(f"calendar {name!r} cannot be built: {answer.message}")
        return self._store.save(cast("bytes", answer.result))
