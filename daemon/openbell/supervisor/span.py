"""Which part of a dataset a run covers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from openbell.sdk.values import BarWidth, Interval, SessionTable, from_us

_EPOCH_DAY = date(1970, 1, 1)
FIRST_LABEL = date(1900, 1, 1)
MARGIN = timedelta(days=15)
"""How far beyond a range of labels sessions are looked at; no exchange is closed for longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """The span of a run and the sessions in it."""

    span: Interval
    sessions: SessionTable


def label_day(label: date) -> int:
    """Return the days from 1970-01-01 to `label`."""
    return (label - _EPOCH_DAY).days


def midnight(label: date) -> datetime:
    """Return `label` at 00:00 UTC."""
    return datetime.combine(label, time(), UTC)


def part(table: SessionTable, first: int, last: int) -> SessionTable:
    """Return the sessions at positions `first` to `last - 1`."""
    return SessionTable(
        calendar=table.calendar,
        labels_day=table.labels_day[first:last],
        opens_us=table.opens_us[first:last],
        closes_us=table.closes_us[first:last],
        breaks=tuple(
            (position - first, start, end)
            for position, start, end in table.breaks
            if first <= position < last
        ),
        digest=table.digest,
    )


def cover(nearby: SessionTable, bar: BarWidth, start: date, end: date) -> Coverage | None:
    """Return what the labels `start` to `end` (both included) cover, None without a session.

    `nearby` holds the sessions of the range and some on both sides. Daily bars cover the labels
    themselves. Shorter bars cover everything between the close before the first session and the
    open after the last, so that trading before and after hours belongs to it.
    """
    days = nearby.labels_day
    inside = [i for i, day in enumerate(days) if label_day(start) <= day <= label_day(end)]
    if not inside:
        return None
    first, last = inside[0], inside[-1] + 1
    sessions = part(nearby, first, last)
    if bar.is_daily:
        span = Interval(midnight(start), midnight(end + timedelta(days=1)))
        return Coverage(span=span, sessions=sessions)
    opened, closed = nearby.opens_us[first], nearby.closes_us[last - 1]
    begins_us = nearby.closes_us[first - 1] if first else opened
    ends_us = nearby.opens_us[last] if last < len(days) else closed
    span = Interval(from_us(min(begins_us, opened)), from_us(max(ends_us, closed)))
    return Coverage(span=span, sessions=sessions)


def newest_closed(nearby: SessionTable, now_us: int) -> date | None:
    """Return the label of the newest session that has closed by `now_us`, or None."""
    closed = [i for i, close_us in enumerate(nearby.closes_us) if close_us <= now_us]
    if not closed:
        return None
    return _EPOCH_DAY + timedelta(days=nearby.labels_day[closed[-1]])
