"""A month of sessions, drawn."""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from openbell.cli.errors import USAGE, CliError
from openbell.cli.render import counted

_WIDTH = 5


def month_of(text: str | None) -> tuple[date, date]:
    """Return the first and the last day of the month `YYYY-MM`, of this one without."""
    if text is None:
        from openbell.sdk.clock import SystemClock

        first = SystemClock().now().date().replace(day=1)
    else:
        try:
            first = date.fromisoformat(f"{text}-01")
        except ValueError as error:
            hint = "write it as 2026-11"
            raise CliError(USAGE, f"{text!r} is no month", hint=hint) from error
    after = (first + timedelta(days=31)).replace(day=1)
    return first, after - timedelta(days=1)


def drawn(name: str, first: date, sessions: Sequence[Mapping[str, Any]]) -> str:
    """Return the month that begins with `first`: a day without session is a dot."""
    marks = {
        str(one["session"]): ("<" if one["early_close"] else "") + (">" if one["late_open"] else "")
        for one in sessions
    }
    title = f"{name} {calendar.month_name[first.month]} {first.year}"
    lines = [
        f"{title}: {counted(len(sessions), 'session')}",
        "".join(
            f"{word:<{_WIDTH}}" for word in ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
        ).rstrip(),
    ]
    for week in calendar.Calendar().monthdatescalendar(first.year, first.month):
        cells = [_cell(day, marks) if day.month == first.month else "" for day in week]
        lines.append("".join(f"{cell:<{_WIDTH}}" for cell in cells).rstrip())
    if any(marks.values()):
        lines.append("< closes early, > opens late")
    return "\n".join(lines)


def _cell(day: date, marks: Mapping[str, str]) -> str:
    mark = marks.get(day.isoformat())
    return " ." if mark is None else f"{day.day:>2}{mark}"
