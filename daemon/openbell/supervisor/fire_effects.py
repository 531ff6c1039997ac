"""Which fires move, appear and vanish when a calendar is corrected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial

import anyio

from openbell.calendars.names import CalendarCatalog
from openbell.calendars.table import CalendarTable
from openbell.model.calendars import FireChange, Overlay
from openbell.model.schedules import ScheduleUse
from openbell.schedule.effects import NEAR, GivenTables, changed_fires, is_near
from openbell.schedule.errors import ScheduleError
from openbell.schedule.fires import Fire
from openbell.schedule.grammar import Schedule
from openbell.schedule.planner import Planner
from openbell.schedule.uses import parsed
from openbell.sdk.clock import Clock
from openbell.sdk.errors import FatalError
from openbell.supervisor.calendars import CalendarDesk

Scheduled = Callable[[], Iterable[tuple[str, ScheduleUse]]]
"""Gives the schedules in force, each with its pipeline."""

SHOWN = 200
"""So many fires are named; the others are counted."""

_BACK = timedelta(days=10)


@dataclass(frozen=True, slots=True)
class _Use:
    pipeline: str
    use: ScheduleUse
    schedule: Schedule


class FireEffects:
    """Looks at the fires from now to the calendar's horizon, by the planner, off the loop."""

    def __init__(self, desk: CalendarDesk, scheduled: Scheduled, clock: Clock) -> None:
        self._desk = desk
        self._scheduled = scheduled
        self._clock = clock
        self._planning = anyio.CapacityLimiter(1)

    async def of(
        self, calendar: str, session: date, overlays: Sequence[Overlay]
    ) -> tuple[tuple[FireChange, ...], int]:
        """Return what becomes of fires when these overlays are in force, and how many fires.

        `session` is the day that they correct otherwise than now. Of more than `SHOWN` the first
        are returned.
        """
        store = self._desk.store
        uses = [
            use
            for use in self._uses()
            if any(self._is_of(name, calendar) for name in use.schedule.calendars)
        ]
        before: dict[str, CalendarTable] = {}
        for name in {name for use in uses for name in use.schedule.calendars}:
            try:
                before[name] = await self._desk.table(name)
            except FatalError:
                continue
        after = {
            name: store.preview(name, overlays) if self._is_of(name, calendar) else table
            for name, table in before.items()
        }
        work = partial(_changes, uses, before, after, session=session, now=self._clock.now())
        found = await anyio.to_thread.run_sync(work, limiter=self._planning)
        return tuple(found[:SHOWN]), len(found)

    def _uses(self) -> Iterator[_Use]:
        names = CalendarCatalog(self._desk.store.rules)
        for pipeline, use in self._scheduled():
            try:
                yield _Use(pipeline, use, parsed(use, names))
            except ScheduleError:
                continue

    def _is_of(self, name: str, calendar: str) -> bool:
        return calendar in {name, self._desk.store.source(name)}


def _changes(
    uses: Sequence[_Use],
    before: Mapping[str, CalendarTable],
    after: Mapping[str, CalendarTable],
    *,
    session: date,
    now: datetime,
) -> list[FireChange]:
    old, new = Planner(GivenTables(before)), Planner(GivenTables(after))
    differing: dict[str, list[tuple[Fire | None, Fire | None]]] = {}
    found: list[FireChange] = []
    for one in uses:
        key = one.schedule.fingerprint
        if key not in differing:
            start, end = _window(one.schedule, session, now, before)
            differing[key] = list(changed_fires(one.schedule, old, new, start=start, end=end))
        changes = (_change(one, was, will, now) for was, will in differing[key])
        found += [change for change in changes if change is not None]
    return sorted(found, key=lambda change: (change.before or change.after, change.pipeline))


def _change(one: _Use, was: Fire | None, will: Fire | None, now: datetime) -> FireChange | None:
    """Return what becomes of one fire, None when nothing does that is still to come."""
    before, after = (_instant(one.use, fire) for fire in (was, will))
    fire = was or will
    if fire is None or max(filter(None, (before, after)), default=now) <= now:
        return None
    return FireChange(
        pipeline=one.pipeline,
        schedule=one.use.expression,
        session=fire.session,
        event=fire.event,
        index=fire.index,
        before=before,
        after=after,
    )


def _instant(use: ScheduleUse, fire: Fire | None) -> datetime | None:
    """Return when a use of a schedule fires, None when it does not."""
    if fire is None or (use.active_from is not None and fire.at < use.active_from):
        return None
    return None if use.active_until is not None and use.active_until <= fire.at else fire.at


def _window(
    schedule: Schedule, session: date, now: datetime, tables: Mapping[str, CalendarTable]
) -> tuple[datetime, datetime]:
    """Return the time in which fires of a schedule can change."""
    start = now - _BACK
    if is_near(schedule):
        day = datetime.combine(session, time(), UTC)
        return max(start, day - NEAR), max(start, day + NEAR)
    last = max(tables[name].last_label for name in schedule.calendars if name in tables)
    return start, datetime.combine(last, time(), UTC) + NEAR
