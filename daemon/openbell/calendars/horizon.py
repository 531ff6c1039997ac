"""Where the knowledge of a calendar ends, and what is done about it. Pure."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from openbell.calendars.hours import Hours, packed, unpacked
from openbell.calendars.local_time import LocalTime
from openbell.calendars.table import CalendarTable, from_day, sealed, to_day
from openbell.model.calendars import CalendarRules, CalendarStatus
from openbell.sdk.values import from_us

_RECENT_WEEKS = 26
_DAY_MINUTES = 24 * 60
_MONDAY = 4

_Shape = tuple[int, int, tuple[tuple[int, int], ...]]
"""Open, close and breaks in minutes after local midnight of the label."""


def status_of(table: CalendarTable, rules: CalendarRules, today: date) -> CalendarStatus:
    """Return how a calendar stands; `table` is without anything guessed.

    It is ending when nothing more can be learned of it and no more than `near_sessions` sessions
    are left after `today`.
    """
    left = table.left_after(today)
    is_ending = table.is_bounded and left <= rules.near_sessions
    return CalendarStatus(
        calendar=table.calendar,
        state="ending" if is_ending else "ready",
        policy=rules.policy_of(table.calendar),
        horizon=table.last_label,
        sessions_left=left if table.is_bounded else None,
        reason=f"the library knows nothing after {table.last_label}" if is_ending else "",
    )


def failed(calendar: str, rules: CalendarRules, reason: str) -> CalendarStatus:
    """Return how a calendar stands that could not be built."""
    return CalendarStatus(
        calendar=calendar, state="failed", policy=rules.policy_of(calendar), reason=reason
    )


def unknown(calendar: str) -> CalendarTable:
    """Return a calendar of which nothing is known."""
    none = array("q")
    return sealed(
        CalendarTable(
            calendar=calendar,
            zone="UTC",
            library="none",
            first_day=0,
            last_day=-1,
            is_bounded=True,
            days=none,
            opens_us=none,
            closes_us=none,
            break_indices=none,
            break_starts_us=none,
            break_ends_us=none,
        )
    )


def extended(table: CalendarTable, through: date) -> CalendarTable:
    """Return `table` carried on to `through` on its usual weekdays, at its usual hours.

    What is usual is what most sessions of the last half year did. Holidays are not known, so
    days that are none will be among them: only for calendars whose policy is `weekmask`.
    """
    recent = _recent(table)
    if not recent or to_day(through) <= table.last_day:
        return table
    shapes = Counter(_shape(day, one, table.zone) for day, one in recent.items())
    opens, closes, breaks = shapes.most_common(1)[0][0]
    weekdays = Counter((day - _MONDAY) % 7 for day in recent)
    usual = {weekday for weekday, count in weekdays.items() if 2 * count >= _RECENT_WEEKS}
    clock = LocalTime(table.zone)
    hours = unpacked(table)
    for day in range(table.last_day + 1, to_day(through) + 1):
        if (day - _MONDAY) % 7 in usual:
            hours[day] = Hours(
                clock.instant_us(day, opens),
                clock.instant_us(day, closes),
                tuple((clock.instant_us(day, a), clock.instant_us(day, b)) for a, b in breaks),
            )
    return packed(replace(table, last_day=to_day(through)), hours)


def _recent(table: CalendarTable) -> dict[int, Hours]:
    """Return the ordinary sessions of the last half year that is known."""
    first = to_day(from_day(table.last_day) - timedelta(weeks=_RECENT_WEEKS))
    return {
        day: one
        for day, one in unpacked(table).items()
        if day > first and not one.is_early and not one.is_late
    }


def _shape(day: int, one: Hours, zone_name: str) -> _Shape:
    zone = ZoneInfo(zone_name)

    def minutes(instant_us: int) -> int:
        local = from_us(instant_us).astimezone(zone)
        return (to_day(local.date()) - day) * _DAY_MINUTES + local.hour * 60 + local.minute

    breaks = tuple((minutes(start_us), minutes(end_us)) for start_us, end_us in one.breaks)
    return minutes(one.open_us), minutes(one.close_us), breaks
