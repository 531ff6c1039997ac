"""What becomes of fires when a calendar is corrected. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from openbell.schedule.fires import Fire
from openbell.schedule.grammar import Anchored, AtClock, Grid, Schedule
from openbell.schedule.planner import Planner
from openbell.schedule.tables import Sessions
from openbell.schedule.triggers import UnplannableError

NEAR = timedelta(days=30)
"""How far from a corrected day the fires of most schedules can change."""

_NEAR_SESSIONS = 10
_NEAR_US = 10 * 86_400_000_000


class GivenTables:
    """The sessions that a mapping holds by canonical name."""

    def __init__(self, tables: Mapping[str, Sessions]) -> None:
        self._tables = tables

    def sessions(self, calendar: str) -> Sessions | None:
        """Return a calendar's sessions, or None."""
        return self._tables.get(calendar)


def is_near(schedule: Schedule) -> bool:
    """Return whether only fires within `NEAR` of a corrected day can change.

    Ranks count sessions, so that a day that is gone moves fires far away.
    """
    trigger = schedule.trigger
    if not isinstance(trigger, Anchored | AtClock | Grid):
        return True
    shift = 0 if isinstance(trigger, Grid) else abs(trigger.shift_sessions)
    offset_us = abs(trigger.offset_us) if isinstance(trigger, Anchored) else 0
    is_plain = trigger.selector.pick is None
    return is_plain and shift <= _NEAR_SESSIONS and offset_us <= _NEAR_US


def changed_fires(
    schedule: Schedule, before: Planner, after: Planner, *, start: datetime, end: datetime
) -> Iterator[tuple[Fire | None, Fire | None]]:
    """Yield each fire in `[start, end)` that differs, as it was and as it is, by instant."""
    old = {fire.identity: fire for fire in _fires(before, schedule, start, end)}
    new = {fire.identity: fire for fire in _fires(after, schedule, start, end)}
    pairs = [(old.get(identity), new.get(identity)) for identity in {**old, **new}]
    differing = [(was, now) for was, now in pairs if was != now]
    yield from sorted(differing, key=_instant)


def _fires(planner: Planner, schedule: Schedule, start: datetime, end: datetime) -> Iterator[Fire]:
    try:
        yield from planner.between(schedule, start, end)
    except UnplannableError:
        return


def _instant(pair: tuple[Fire | None, Fire | None]) -> datetime:
    return min(fire.at for fire in pair if fire is not None)
