"""Session tables for the command line: from the state directory, built there when missing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path

from openbell.calendars.store import SessionStore
from openbell.execution.pool import PoolLimits, WorkerPool
from openbell.model.calendars import CalendarRules, Overlay
from openbell.model.events import Event
from openbell.sdk.clock import Clock
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
) -> SessionStore:
    """Return a store in which these calendars are loaded, known to `through` where that can be.

    Snapshots that are missing are built by a worker and kept. Raises FatalError for a calendar
    that cannot be built; one whose library ends before `through` is loaded as far as it goes.
    """
    store = SessionStore(state_dir / "calendars", overlays=overlays, rules=rules)
    today = clock.now().date()
    names = sorted(set(calendars))
    if all(store.table(name, today=today, through=through) is not None for name in names):
        return store
    with tempfile.TemporaryDirectory(prefix="openbell-") as scratch:
        pool = WorkerPool(
            limits=PoolLimits(),
            clock=clock,
            scratch_dir=Path(scratch),
            environment=env,
            tell=_unheard,
        )
        async with pool:
            desk = CalendarDesk(store, pool, clock)
            for name in names:
                await desk.table(name, through=through)
    return store


async def _unheard(event: Event) -> None:
    """Let the events of the workers pass."""
    del event
