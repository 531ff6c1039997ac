"""Session tables: small ones made by hand, and the library's own for tests that can wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from openbell.calendars.build import build
from openbell.calendars.names import CalendarCatalog
from openbell.calendars.snapshot import decode
from openbell.calendars.table import always_open, to_day
from openbell.model.calendars import CalendarRules
from openbell.schedule.tables import Sessions
from openbell.sdk.values import to_us

NAMES = CalendarCatalog(CalendarRules())
"""The calendars that need no configuration."""


def at(text: str) -> datetime:
    """Return the instant that a text writes, in UTC unless it says otherwise."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeSessions:
    """Sessions as a test wants them."""

    calendar: str = "XTST"
    zone: str = "UTC"
    first_day: int = 0
    last_day: int = 0
    days: Sequence[int] = ()
    opens_us: Sequence[int] = ()
    closes_us: Sequence[int] = ()
    break_indices: Sequence[int] = ()
    break_starts_us: Sequence[int] = ()
    break_ends_us: Sequence[int] = ()
    early_indices: Sequence[int] = ()
    late_indices: Sequence[int] = ()
    events: Mapping[str, tuple[Sequence[int], Sequence[int]]] = field(default_factory=dict)

    def named(self, event: str) -> tuple[Sequence[int], Sequence[int]]:
        """Return a named event; raises KeyError."""
        return self.events[event]


def made(days: Sequence[str], *, first: str, last: str, **more: Any) -> MadeSessions:
    """Return sessions from 09:00 to 17:00 UTC on these days, known from `first` to `last`."""
    return MadeSessions(
        first_day=to_day(date.fromisoformat(first)),
        last_day=to_day(date.fromisoformat(last)),
        days=[to_day(date.fromisoformat(day)) for day in days],
        opens_us=[to_us(at(f"{day}T09:00")) for day in days],
        closes_us=[to_us(at(f"{day}T17:00")) for day in days],
        **more,
    )


class MadeTables:
    """The tables that a test gives."""

    def __init__(self, **tables: Sessions) -> None:
        self._tables = tables

    def sessions(self, calendar: str) -> Sessions | None:
        """Return a calendar's sessions, or None."""
        return self._tables.get(calendar)


class LibraryTables:
    """The library's calendars to the end of 2027, each built when it is first asked for."""

    def __init__(self) -> None:
        self._tables: dict[str, Sessions] = {
            "24/7": always_open("24/7", date(1990, 1, 1), date(2027, 12, 31))
        }

    def sessions(self, calendar: str) -> Sessions:
        """Return a calendar's sessions."""
        if calendar not in self._tables:
            self._tables[calendar] = decode(build(calendar, "2027-12-31"))
        return self._tables[calendar]


def cut(sessions: Sessions, last: date) -> MadeSessions:
    """Return what a table knew that ended on the day `last`."""
    count = sum(day <= to_day(last) for day in sessions.days)
    breaks = sum(index < count for index in sessions.break_indices)
    return MadeSessions(
        calendar=sessions.calendar,
        zone=sessions.zone,
        first_day=sessions.first_day,
        last_day=to_day(last),
        days=sessions.days[:count],
        opens_us=sessions.opens_us[:count],
        closes_us=sessions.closes_us[:count],
        break_indices=sessions.break_indices[:breaks],
        break_starts_us=sessions.break_starts_us[:breaks],
        break_ends_us=sessions.break_ends_us[:breaks],
        early_indices=[index for index in sessions.early_indices if index < count],
        late_indices=[index for index in sessions.late_indices if index < count],
    )
