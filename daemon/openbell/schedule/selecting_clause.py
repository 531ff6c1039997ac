"""The part of a schedule that says which sessions. Pure."""

from __future__ import annotations

import re
from typing import cast

from openbell.schedule.durations import DURATION
from openbell.schedule.grammar import (
    KINDS,
    PERIODS,
    SHIFTS,
    WEEKDAYS,
    EveryNth,
    Kind,
    Nth,
    NthDay,
    Period,
    Selector,
    Shift,
)
from openbell.schedule.scanner import Scanner

_ORDINAL = re.compile(r"([0-9]{1,9})(?:st|nd|rd|th)(?![A-Za-z0-9_])", re.IGNORECASE)
_MOST_DAYS = {"week": 7, "month": 31, "quarter": 92, "year": 366}
_MOST_WEEKDAYS = {"week": 1, "month": 5, "quarter": 14, "year": 53}


def selector(scanner: Scanner) -> Selector:
    """Read a selector, or nothing for every session; raises ScheduleError."""
    mark = scanner.position
    if scanner.take_word("every"):
        if scanner.peek(DURATION) is not None:
            scanner.position = mark  # a grid's step, which is the caller's
            return Selector()
        return _every(scanner)
    weekday = scanner.take_word(*WEEKDAYS)
    if weekday is not None:
        return _each_weekday(scanner, WEEKDAYS.index(weekday))
    rank = _rank(scanner)
    if rank is None:
        return Selector(kind=_kind(scanner))
    return _ranked(scanner, rank, mark)


def _every(scanner: Scanner) -> Selector:
    mark = scanner.position
    match = scanner.take(_ORDINAL)
    if match is None:
        return Selector(kind=_kind(scanner))
    kind = _kind(scanner)
    period = _of_period(scanner, "session", "sessions")
    n = _checked(scanner, int(match[1]), _MOST_DAYS[period], period=period, mark=mark)
    return Selector(kind=kind, pick=None if n == 1 else EveryNth(n=n, period=period))


def _each_weekday(scanner: Scanner, weekday: int) -> Selector:
    mark = scanner.position
    if scanner.take_word("of") and scanner.take_word("week") is None:
        hint = f"write 1st {WEEKDAYS[weekday]} of month, or last"
        scanner.fail("which one of them?", hint, position=mark)
    return Selector(
        pick=NthDay(n=1, period="week", weekday=weekday, shift=shift(scanner) or "skip")
    )


def _rank(scanner: Scanner) -> tuple[int, bool] | None:
    """Read `first`, `last`, `2nd`, `2nd last`."""
    word = scanner.take_word("first", "last")
    if word is not None:
        return 1, word == "last"
    match = scanner.take(_ORDINAL)
    if match is None:
        return None
    return int(match[1]), scanner.take_word("last") is not None


def _ranked(scanner: Scanner, rank: tuple[int, bool], mark: int) -> Selector:
    n, from_end = rank
    weekday = scanner.take_word(*WEEKDAYS)
    if weekday is not None:
        period = _of_period(scanner)
        _checked(scanner, n, _MOST_WEEKDAYS[period], period=period, mark=mark)
        return _day(scanner, n, WEEKDAYS.index(weekday), period=period, from_end=from_end)
    if scanner.word() == "day":
        period = _of_period(scanner, "day")
        _checked(scanner, n, _MOST_DAYS[period], period=period, mark=mark)
        if period == "week":
            return _day(scanner, 1, 7 - n if from_end else n - 1, period=period, from_end=False)
        return _day(scanner, n, None, period=period, from_end=from_end)
    kind = _kind(scanner)
    period = _of_period(scanner, "session", "sessions")
    _checked(scanner, n, _MOST_DAYS[period], period=period, mark=mark)
    return Selector(
        kind=kind, pick=Nth(n=n, period=period, from_end=from_end, shift=shift(scanner) or "skip")
    )


def _day(
    scanner: Scanner, n: int, weekday: int | None, *, period: Period, from_end: bool
) -> Selector:
    is_last = from_end and period != "week"  # a week has each weekday once
    return Selector(
        pick=NthDay(
            n=n, period=period, from_end=is_last, weekday=weekday, shift=shift(scanner) or "skip"
        )
    )


def _kind(scanner: Scanner) -> Kind:
    return cast("Kind", scanner.take_word(*KINDS) or "all")


def _of_period(scanner: Scanner, *nouns: str) -> Period:
    if nouns:
        scanner.one_of("a word that says of what", [*nouns])
    scanner.expect("of", f"of what? write of {', '.join(PERIODS)}")
    return cast("Period", scanner.one_of("a period", PERIODS))


def _checked(scanner: Scanner, n: int, most: int, *, period: Period, mark: int) -> int:
    if not 1 <= n <= most:
        scanner.fail(f"a {period} has no number {n} of them", f"1 to {most}", position=mark)
    return n


def shift(scanner: Scanner) -> Shift | None:
    """Read `shift skip|prev|next`, after the selector or after the event, or nothing."""
    if scanner.take_word("shift") is None:
        return None
    return cast("Shift", scanner.one_of("a shift policy", SHIFTS))
