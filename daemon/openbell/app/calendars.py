"""Calendars without a daemon, on the state directory alone."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio

from openbell import __version__
from openbell.calendars.store import SessionStore
from openbell.execution.pool import PoolLimits, WorkerPool
from openbell.history.connections import Readers
from openbell.history.lock import StateLock
from openbell.history.readers import Answers
from openbell.history.store import HistoryStore
from openbell.model.calendars import CalendarRules, Overlay, OverlayRecord
from openbell.model.events import Event
from openbell.model.schedules import ScheduleRecord, ScheduleUse
from openbell.sdk.clock import Clock, SystemClock
from openbell.supervisor.calendar_service import CalendarService
from openbell.supervisor.calendars import CalendarDesk

HISTORY_NAME = "history.sqlite"


@asynccontextmanager
async def calendars_at(
    state_dir: Path,
    *,
    env: Mapping[str, str],
    rules: CalendarRules | None = None,
    overlays: Iterable[Overlay] = (),
    schedules: Iterable[tuple[str, ScheduleUse]] = (),
    is_writing: bool = False,
    clock: Clock | None = None,
) -> AsyncIterator[CalendarService]:
    """Yield the calendars of a state directory, with the rules and overlays of a configuration.

    `schedules` are the configuration's, each with its pipeline; those made by hand that the
    directory's history holds count too. Only with `is_writing` may overlays be added or removed; it
    holds the directory until it is left. Raises StateInUseError then, and SettingsError for overlays that contradict each other.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        record = _unheard
        if is_writing:
            stack.enter_context(StateLock(state_dir).acquire(version=__version__))
            history = await stack.enter_async_context(HistoryStore(state_dir / HISTORY_NAME))
            records = await history.overlays()
            by_hand = await history.schedules()

            async def record(event: Event) -> None:
                await history.record(event)
        else:
            records = await kept(state_dir / HISTORY_NAME)
            by_hand = await scheduled_in(state_dir / HISTORY_NAME)
        pool = WorkerPool(
            limits=PoolLimits(),
            clock=clock,
            scratch_dir=Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="openbell-"))),
            environment=env,
            tell=_unheard,
        )
        await stack.enter_async_context(pool)
        desk = CalendarDesk(SessionStore(state_dir / "calendars"), pool, clock)
        desk.use(rules or CalendarRules(), overlays)
        desk.adopt(records)
        every = (
            *schedules,
            *((one.pipeline, one.use) for one in by_hand if one.origin == "api"),
        )
        yield CalendarService(
            desk, record, clock=clock, random_bits=secrets.randbits, scheduled=lambda: every
        )


async def kept(database: Path) -> Sequence[OverlayRecord]:
    """Return the overlays made by hand that a history holds, if there is one."""
    if not await anyio.Path(database).exists():
        return ()
    readers = Readers(database, count=1)
    async with readers.opened():
        names = await readers.rows("table_names", {}, lambda row: str(row[0]))
        return await Answers(readers).overlays() if "calendar_overlays" in names else ()


async def scheduled_in(database: Path) -> Sequence[ScheduleRecord]:
    """Return the schedules in force that a history holds, if there is one."""
    if not await anyio.Path(database).exists():
        return ()
    readers = Readers(database, count=1)
    async with readers.opened():
        names = await readers.rows("table_names", {}, lambda row: str(row[0]))
        return await Answers(readers).schedules() if "schedules" in names else ()


async def _unheard(event: Event) -> None:
    """Let an event pass: nobody listens here."""
    del event
