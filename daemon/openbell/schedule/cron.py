"""Cron expressions: read by croniter, searched here on its fields, which is far faster. Pure.

Times are wall-clock seconds since 1970-01-01T00:00 of a clock that knows no zone; `zones` makes
instants of them.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from croniter import croniter

from openbell.schedule.cron_columns import Column, plain_columns

_EPOCH = date(1970, 1, 1).toordinal()
_LAST_YEAR = 9998
_CYCLE = range(2000, 2400)
"""The Gregorian calendar repeats after 400 years: what does not fire in them never does."""

_LAST = 0
_MACROS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_CHANCE = re.compile(r"(?<![A-Z])[HR](?![A-Z])")
_RANGE = re.compile(r"([0-9A-Z]+)-([0-9A-Z]+)")
_NEAREST = re.compile(r"(?<![A-Z])(?:[0-9]+|L)W(?![A-Z])")


class CronError(Exception):
    """A cron expression cannot be used; `hint` says what to write."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class CronFields:
    """A cron expression's meaning. Days are those of the month, weekdays count from Sunday, 0.

    None means every day (or weekday). With both given either is enough, as in Vixie's cron; day 0
    is the last of its month. `nth` maps a weekday to which ones of the month, 0 for the last.
    """

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: tuple[int, ...]
    days: frozenset[int] | None
    weekdays: frozenset[int] | None
    nth: Mapping[int, frozenset[int]]
    text: str

    def walls(self, start_s: int) -> Iterator[int]:
        """Yield the wall-clock seconds that match, ascending, from `start_s` to the year 9998."""
        first_day, floor_s = divmod(start_s, 86_400)
        for day in self._matching_days(first_day):
            yield from self._within(day, floor_s if day == first_day else 0)

    def _within(self, day: int, floor_s: int) -> Iterator[int]:
        for hour in self.hours:
            if hour * 3600 + 3600 > floor_s:
                for minute in self.minutes:
                    clock_s = hour * 3600 + minute * 60
                    if clock_s + 60 > floor_s:
                        for second in self.seconds:
                            if clock_s + second >= floor_s:
                                yield day * 86_400 + clock_s + second

    def _matching_days(self, first_day: int) -> Iterator[int]:
        first = date.fromordinal(_EPOCH + first_day)
        for year in range(first.year, _LAST_YEAR + 1):
            for month in self.months:
                if (year, month) >= (first.year, first.month):
                    start = date(year, month, 1).toordinal() - _EPOCH - 1
                    for day in self.days_of(year, month):
                        if start + day >= first_day:
                            yield start + day

    def days_of(self, year: int, month: int) -> list[int]:
        """Return the days of a month that match, ascending."""
        monday_based, length = monthrange(year, month)
        if self.days is None and self.weekdays is None:
            return list(range(1, length + 1))
        matching = {day or length for day in self.days or () if day <= length}
        for weekday in self.weekdays or ():
            first = (weekday - 1 - monday_based) % 7 + 1
            found = range(first, length + 1, 7)
            which = self.nth.get(weekday)
            matching.update(found if which is None else _chosen(found, which))
        return sorted(matching)


def _chosen(found: range, which: Iterable[int]) -> list[int]:
    return [found[n - 1] for n in which if n <= len(found)]


def read_cron(text: str) -> CronFields:
    """Return what a cron expression of five or six fields (the sixth: seconds) means.

    Raises CronError, also for one that never fires.
    """
    _refuse_what_is_not_ours(text)
    expanded, nth = _expanded(text)
    if nth and expanded[2] != ["*"]:
        raise CronError(
            "a day of the month beside a # or L weekday means something else to every cron",
            "keep one of them",
        )
    columns = [[part for part in column if isinstance(part, int)] for column in expanded]
    every = [column == ["*"] for column in expanded]
    has_last_day = "l" in expanded[2]
    days = frozenset(columns[2] + ([_LAST] if has_last_day else []))
    weekdays = frozenset(columns[4])
    is_any_day = days >= frozenset(range(1, 32)) or (every[2] and every[4])
    chosen = {
        int(weekday): frozenset(_LAST if str(n) == "l" else int(str(n)) for n in which)
        for weekday, which in nth.items()
    }
    fields = _fields(
        seconds=columns[5] if len(expanded) > 5 and not every[5] else None,
        has_seconds=len(expanded) > 5,
        columns=[None if star else column for star, column in zip(every, columns, strict=True)],
        days=None if is_any_day or every[2] else days,
        weekdays=None if is_any_day or every[4] else weekdays,
        nth=chosen,
    )
    if not any(fields.days_of(year, month) for year in _CYCLE for month in fields.months):
        raise CronError(f"the cron expression {text!r} never fires", "no month has such a day")
    return fields


def _expanded(text: str) -> tuple[Sequence[Column], Mapping[str, Collection[object]]]:
    """Return the columns of an expression as croniter reads them, and the chosen weekdays."""
    plain = plain_columns(text)
    if plain is not None:
        return plain, {}
    try:
        return croniter.expand(text)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        reason = str(error).removeprefix(f"[{text.lower()}] ")
        raise CronError(f"the cron expression {text!r} is not understood: {reason}") from error


def _refuse_what_is_not_ours(text: str) -> None:
    upper = text.upper()
    count = len(text.split())
    if text.startswith("@"):
        if text.lower() not in _MACROS:
            raise CronError(f"{text!r} is no cron expression", f"there are {', '.join(_MACROS)}")
    elif count not in {5, 6}:
        raise CronError(
            f"a cron expression has 5 or 6 fields, not {count}",
            "minute hour day month weekday [second]",
        )
    elif len(text) > 200 or not text.isascii():
        raise CronError("the cron expression is too long or not plain text")
    elif _CHANCE.search(upper):
        raise CronError("H and R leave the time to chance", "name it; use jitter to spread load")
    elif any(low == high for low, high in _RANGE.findall(upper)):
        raise CronError("a range from a value to itself", "write the value alone")
    elif _NEAREST.search(upper):
        raise CronError("W (the nearest weekday) is not known", "CAL 15th day of month shift prev")


def _fields(
    *,
    seconds: list[int] | None,
    has_seconds: bool,
    columns: list[list[int] | None],
    days: frozenset[int] | None,
    weekdays: frozenset[int] | None,
    nth: Mapping[int, frozenset[int]],
) -> CronFields:
    minutes, hours, months = columns[0], columns[1], columns[3]
    all_seconds = list(range(60)) if has_seconds else [0]
    words = [_text(minutes), _text(hours), _days_text(days), _text(months)]
    words.append(_weekdays_text(weekdays, nth))
    if has_seconds and seconds != [0]:
        words.append(_text(seconds))
    return CronFields(
        seconds=tuple(sorted(all_seconds if seconds is None else seconds)),
        minutes=tuple(range(60) if minutes is None else sorted(minutes)),
        hours=tuple(range(24) if hours is None else sorted(hours)),
        months=tuple(range(1, 13) if months is None else sorted(months)),
        days=days,
        weekdays=weekdays,
        nth=nth,
        text=" ".join(words),
    )


def _days_text(days: frozenset[int] | None) -> str:
    if days is None:
        return "*"
    return ",".join([_text(sorted(days - {_LAST}))] * (days != {_LAST}) + ["L"] * (_LAST in days))


def _weekdays_text(weekdays: frozenset[int] | None, nth: Mapping[int, frozenset[int]]) -> str:
    if weekdays is None or not nth:
        return _text(None if weekdays is None else sorted(weekdays))
    return ",".join(
        f"{weekday}#{n}" if n else f"L{weekday}"
        for weekday in sorted(nth)
        for n in sorted(nth[weekday])
    )


def _text(numbers: list[int] | None) -> str:
    """Return numbers as cron writes them, runs of three and more as ranges."""
    if numbers is None:
        return "*"
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(
        f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs
    )
