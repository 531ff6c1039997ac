"""What is special about a span of days on the calendars that matter in it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from openbell.calendars.table import CalendarTable, from_day

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarNotes:
    """One calendar between two days, both included.

    `clock_changes` are the days on which local time is another in the evening than in the morning.
    `known_until` is the last known day, when that is before the end.
    """

    calendar: str
    sessions: int
    early_closes: tuple[date, ...]
    late_opens: tuple[date, ...]
    clock_changes: tuple[date, ...]
    known_until: date | None

    def plain(self) -> dict[str, Any]:
        """Return the notes as plain values."""
        return {
            "calendar": self.calendar,
            "sessions": self.sessions,
            "early_closes": [day.isoformat() for day in self.early_closes],
            "late_opens": [day.isoformat() for day in self.late_opens],
            "clock_changes": [day.isoformat() for day in self.clock_changes],
            "known_until": self.known_until and self.known_until.isoformat(),
        }


def notes(table: CalendarTable, first: date, last: date) -> CalendarNotes:
    """Return what is special about `table` from `first` to `last`."""
    ends_early = table.last_label < last
    return CalendarNotes(
        calendar=table.calendar,
        sessions=len(table.between(first, last)),
        early_closes=_labels(table, table.early_indices, first, last),
        late_opens=_labels(table, table.late_indices, first, last),
        clock_changes=tuple(_clock_changes(table.zone, first, last)),
        known_until=table.last_label if ends_early else None,
    )


def _labels(
    table: CalendarTable, positions: Iterable[int], first: date, last: date
) -> tuple[date, ...]:
    labels = (from_day(table.days[position]) for position in positions)
    return tuple(label for label in labels if first <= label <= last)


def _clock_changes(zone: str, first: date, last: date) -> Iterable[date]:
    local = ZoneInfo(zone)
    before = None
    for number in range((last - first).days + 2):
        day = first + number * _DAY
        offset = datetime.combine(day, time(), UTC).astimezone(local).utcoffset()
        if before is not None and offset != before:
            yield day - _DAY
        before = offset
