"""Session tables for the command line: from the state directory, built there when missing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from datetime import date
from pathlib import Path

from openbell.app.calendars import HISTORY_NAME, kept
from openbell.calendars.store import SessionStore
from openbell.execution.pool import PoolLimits, WorkerPool
from openbell.model.calendars import CalendarRules, Overlay
from openbell.model.events import Event
from openbell.sdk.clock import Clock
from openbell.sdk.errors import FatalError
from openbell.supervisor.calendars import CalendarDesk


async def loaded_tables(
    state_dir: Path,
    calendars: Iterable[str],
    *,
    clock: Clock,
    through: date,
    rules: CalendarRules | None = None,
    overlays: Iterable[Overlay] = (),
    env: Mapping[str, str] = os.environ,
    failures: dict[str, str] | None = None,
) -> SessionStore:
    """Return a store in which these calendars are loaded, known to `through` where that can be.

    Overlays made by hand that the directory's history holds count too. Snapshots that are missing
    are built by a worker and kept; a calendar whose library ends before `through` is loaded as far
    as it goes. For one that cannot be built FatalError is raised, or the reason noted in `failures`
    when that is given. Raises SettingsError for overlays that contradict each other.
    """
    store = SessionStore(state_dir / "calendars", rules=rules)
    today = clock.now().date()
    names = sorted(set(calendars))
    records = await kept(state_dir / HISTORY_NAME)
    async with AsyncExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="openbell-"))
        pool = WorkerPool(
            limits=PoolLimits(),
            clock=clock,
            scratch_dir=Path(scratch),
            environment=env,
            tell=_unheard,
        )
        desk = CalendarDesk(store, pool, clock)
        desk.use(rules or CalendarRules(), overlays)
        desk.adopt(records)
        if all(store.table(name, today=today, through=through) is not None for name in names):
            return store
        await stack.enter_async_context(pool)
        for name in names:
            try:
                await desk.table(name, through=through)
            except FatalError as error:
                if failures is None:
                    raise
                failures[name] = str(error)
    return store


async def _unheard(event: Event) -> None:
    """Let the events of the workers pass."""
    del event
