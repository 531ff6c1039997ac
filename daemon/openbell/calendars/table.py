"""One calendar's sessions as arrays of integers: reading, searching, slicing. Pure."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import TypeAlias

from openbell.sdk.values import Interval, SessionTable, from_us, to_us

EPOCH_DAY = date(1970, 1, 1)
DAY_US = 86_400_000_000

Moments: TypeAlias = "tuple[array[int], array[int]]"
"""A named event: positions of the sessions that have it, and its instants in microseconds."""


def _none() -> array[int]:
    return array("q")


def _no_events() -> Mapping[str, Moments]:
    return MappingProxyType({})  # python 3.11 cannot hash it: no plain default


def to_day(label: date) -> int:
    """Return days since 1970-01-01."""
    return (label - EPOCH_DAY).days


def from_day(day: int) -> date:
    """Return the date `day` days after 1970-01-01."""
    return EPOCH_DAY + timedelta(days=day)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One trading day; `open`, `close` and `breaks` are aware UTC instants."""

    label: date
    open: datetime
    close: datetime
    breaks: tuple[Interval, ...] = ()
    early_close: bool = False
    late_open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CalendarTable:
    """Every known session of one calendar, in label order.

    `days`, `opens_us`, `closes_us` are parallel; `break_*` hold the session's position and the
    break's ends. `early_indices` and `late_indices` are the positions of sessions that close early
    or open late. `events` holds the named events. Knowledge covers the labels from `first_day` to
    `last_day`, both included; outside nothing is known. `zone` is the exchange's time zone.
    `is_bounded` says that the library knows nothing after `last_day` however it is asked.
    """

    calendar: str
    zone: str
    library: str
    first_day: int
    last_day: int
    is_bounded: bool
    days: array[int]
    opens_us: array[int]
    closes_us: array[int]
    break_indices: array[int]
    break_starts_us: array[int]
    break_ends_us: array[int]
    early_indices: array[int] = field(default_factory=_none)
    late_indices: array[int] = field(default_factory=_none)
    events: Mapping[str, Moments] = field(default_factory=_no_events)
    digest: str = ""

    def __len__(self) -> int:
        return len(self.days)

    @property
    def first_label(self) -> date:
        """The first day of which anything is known."""
        return from_day(self.first_day)

    @property
    def last_label(self) -> date:
        """The last day of which anything is known."""
        return from_day(self.last_day)

    def covers(self, first: date, last: date) -> bool:
        """Return whether every day from `first` to `last` is known."""
        return self.first_day <= to_day(first) and to_day(last) <= self.last_day

    def between(self, first: date, last: date) -> SessionTable:
        """Return the sessions labelled from `first` to `last`, both included."""
        return self._sliced(
            bisect_left(self.days, to_day(first)), bisect_right(self.days, to_day(last))
        )

    def overlapping(self, span: Interval) -> SessionTable:
        """Return the sessions of which some instant lies in `span`."""
        return self._sliced(
            bisect_right(self.closes_us, to_us(span.start)),
            bisect_left(self.opens_us, to_us(span.end)),
        )

    def session(self, label: date) -> Session | None:
        """Return the session with this label, or None when the exchange is closed that day."""
        index = bisect_left(self.days, to_day(label))
        if index < len(self) and self.days[index] == to_day(label):
            return self._session(index)
        return None

    def containing(self, instant: datetime) -> Session | None:
        """Return the session with `open <= instant < close` (breaks belong to it), or None."""
        index = bisect_right(self.opens_us, to_us(instant)) - 1
        if index >= 0 and to_us(instant) < self.closes_us[index]:
            return self._session(index)
        return None

    def next_open(self, instant: datetime) -> Session | None:
        """Return the first session that opens after `instant`, or None when none is known."""
        index = bisect_right(self.opens_us, to_us(instant))
        return self._session(index) if index < len(self) else None

    def last_closed(self, instant: datetime) -> Session | None:
        """Return the last session that closed at `instant` or before, or None."""
        index = bisect_right(self.closes_us, to_us(instant)) - 1
        return self._session(index) if index >= 0 else None

    def next(self, label: date) -> Session | None:
        """Return the first session labelled after `label`, or None when none is known."""
        index = bisect_right(self.days, to_day(label))
        return self._session(index) if index < len(self) else None

    def previous(self, label: date) -> Session | None:
        """Return the last session labelled before `label`, or None when none is known."""
        index = bisect_left(self.days, to_day(label)) - 1
        return self._session(index) if index >= 0 else None

    def named(self, event: str) -> Moments:
        """Return the positions of the sessions that have a named event, and its instants.

        Raises KeyError for an event that the calendar does not define.
        """
        return self.events[event]

    def event(self, name: str, label: date) -> datetime | None:
        """Return when the named event of this session is, or None. Raises KeyError for the name."""
        positions, instants_us = self.events[name]
        index = bisect_left(self.days, to_day(label))
        at = bisect_left(positions, index)
        is_there = index < len(self) and self.days[index] == to_day(label)
        if is_there and at < len(positions) and positions[at] == index:
            return from_us(instants_us[at])
        return None

    def left_after(self, day: date) -> int:
        """Return how many sessions are known with a label after `day`."""
        return len(self) - bisect_right(self.days, to_day(day))

    def _session(self, index: int) -> Session:
        low = bisect_left(self.break_indices, index)
        high = bisect_right(self.break_indices, index)
        breaks = zip(self.break_starts_us[low:high], self.break_ends_us[low:high], strict=True)
        return Session(
            label=from_day(self.days[index]),
            open=from_us(self.opens_us[index]),
            close=from_us(self.closes_us[index]),
            breaks=tuple(Interval(from_us(start), from_us(end)) for start, end in breaks),
            early_close=_holds(self.early_indices, index),
            late_open=_holds(self.late_indices, index),
        )

    def _sliced(self, low: int, high: int) -> SessionTable:
        if low >= high:
            return SessionTable(calendar=self.calendar, digest=self.digest)
        first = bisect_left(self.break_indices, low)
        last = bisect_left(self.break_indices, high)
        breaks = zip(
            (index - low for index in self.break_indices[first:last]),
            self.break_starts_us[first:last],
            self.break_ends_us[first:last],
            strict=True,
        )
        return SessionTable(
            calendar=self.calendar,
            labels_day=tuple(self.days[low:high]),
            opens_us=tuple(self.opens_us[low:high]),
            closes_us=tuple(self.closes_us[low:high]),
            breaks=tuple(breaks),
            digest=self.digest,
        )


def _holds(positions: array[int], index: int) -> bool:
    at = bisect_left(positions, index)
    return at < len(positions) and positions[at] == index


def content_digest(table: CalendarTable) -> str:
    """Return what identifies the sessions: equal tables have equal digests on every machine."""
    head = f"{table.calendar}|{table.zone}|{table.first_day}|{table.last_day}|{len(table)}|"
    digest = hashlib.sha256(head.encode())
    for column in columns(table):
        digest.update(column.tobytes())
        digest.update(b"|")
    for name in sorted(table.events):
        positions, instants_us = table.events[name]
        digest.update(f"{name}|{len(positions)}|".encode())
        digest.update(positions.tobytes())
        digest.update(instants_us.tobytes())
    return digest.hexdigest()[:32]


def columns(table: CalendarTable) -> tuple[array[int], ...]:
    """Return the arrays of `table` in the order in which they are stored."""
    return (
        table.days,
        table.opens_us,
        table.closes_us,
        table.break_indices,
        table.break_starts_us,
        table.break_ends_us,
        table.early_indices,
        table.late_indices,
    )


def sealed(table: CalendarTable) -> CalendarTable:
    """Return `table` with its digest."""
    return replace(table, digest=content_digest(table))


def always_open(calendar: str, first: date, last: date) -> CalendarTable:
    """Return a calendar whose sessions are all the UTC days from `first` to `last`."""
    days = range(to_day(first), to_day(last) + 1)
    none = array("q")
    return sealed(
        CalendarTable(
            calendar=calendar,
            zone="UTC",
            library="built in",
            first_day=days.start,
            last_day=days.stop - 1,
            is_bounded=False,
            days=array("q", days),
            opens_us=array("q", range(days.start * DAY_US, days.stop * DAY_US, DAY_US)),
            closes_us=array(
                "q", range((days.start + 1) * DAY_US, (days.stop + 1) * DAY_US, DAY_US)
            ),
            break_indices=none,
            break_starts_us=none,
            break_ends_us=none,
        )
    )
