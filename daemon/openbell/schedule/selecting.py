"""Which sessions a selector takes, lazily: nothing is computed but the periods in question. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import assert_never

from openbell.schedule.grammar import EveryNth, Kind, Nth, NthDay, Period, Selector
from openbell.schedule.tables import Sessions

_EPOCH = date(1970, 1, 1).toordinal()
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


def selected(sessions: Sessions, selector: Selector, first: int) -> Iterator[int]:
    """Yield the positions of the selected sessions, ascending, from position `first` on.

    Stops where the table does not say: a month that reaches past its last day has no last session
    yet. So a longer table gives the same sessions and more after them.
    """
    pick = selector.pick
    if pick is None:
        yield from _of_kind(sessions, selector.kind, first)
        return
    if first >= len(sessions.days):
        return
    taken = first - 1
    for period in _periods(sessions, pick.period, sessions.days[max(first, 0)]):
        for position in _picked(sessions, selector.kind, pick, period=period):
            if position is None:
                return
            if position > taken:
                taken = position
                yield position


def is_kind(sessions: Sessions, kind: Kind | str, position: int) -> bool:
    """Return whether a session is of a kind."""
    if kind == "all":
        return True
    is_early = _holds(sessions.early_indices, position)
    if kind == "early_close":
        return is_early
    is_late = _holds(sessions.late_indices, position)
    return is_late if kind == "late_open" else not (is_early or is_late)


def period_of(period: Period, day: int) -> tuple[int, int]:
    """Return the first and the last day of the period that a day lies in."""
    there = date.fromordinal(_EPOCH + day)
    if period == "week":
        return day - there.weekday(), day - there.weekday() + 6
    months = _MONTHS[period]
    start_month = (there.month - 1) // months * months + 1
    end_month = start_month + months
    start = date(there.year, start_month, 1)
    end = date(there.year + end_month // 13, (end_month - 1) % 12 + 1, 1)
    return start.toordinal() - _EPOCH, (end - timedelta(days=1)).toordinal() - _EPOCH


def _of_kind(sessions: Sessions, kind: Kind, first: int) -> Iterator[int]:
    rest = range(max(first, 0), len(sessions.days))
    if kind == "all":
        yield from rest
    elif kind == "early_close":
        yield from sessions.early_indices[bisect_left(sessions.early_indices, first) :]
    elif kind == "late_open":
        yield from sessions.late_indices[bisect_left(sessions.late_indices, first) :]
    else:
        yield from (position for position in rest if is_kind(sessions, kind, position))


def _periods(sessions: Sessions, period: Period, day: int) -> Iterator[tuple[int, int]]:
    """Yield periods, the first early enough that no later one selects a session before `day`.

    A session may be selected by a period before its own (`shift next`) or after it (`shift prev`),
    across any number of periods without a session.
    """
    start, end = period_of(period, _last_before(sessions, period_of(period, day)[0]))
    while start <= sessions.last_day:
        if start >= sessions.first_day:
            yield start, end
        start, end = period_of(period, end + 1)


def _last_before(sessions: Sessions, day: int) -> int:
    """Return the label of the last session before a day, else the day before the table."""
    position = bisect_left(sessions.days, day) - 1
    return sessions.days[position] if position >= 0 else sessions.first_day - 1


def _picked(
    sessions: Sessions, kind: Kind, pick: Nth | EveryNth | NthDay, *, period: tuple[int, int]
) -> Iterator[int | None]:
    """Yield the positions that a period selects, then None when the table knows no more."""
    start, end = period
    match pick:
        case EveryNth(n=n):
            yield from _matching(sessions, kind, start, end)[n - 1 :: n]
            if end > sessions.last_day:
                yield None
        case Nth() as nth:
            yield from _nth(sessions, kind, nth, period)
        case NthDay() as day:
            label = _day_of(day, start, end)
            if label is not None:
                yield from _on_day(sessions, label, day)
        case _:
            assert_never(pick)


def _nth(sessions: Sessions, kind: Kind, nth: Nth, period: tuple[int, int]) -> Sequence[int | None]:
    start, end = period
    found = _matching(sessions, kind, start, end)
    is_whole = end <= sessions.last_day
    if nth.n <= len(found) and (is_whole or not nth.from_end):
        return [found[-nth.n if nth.from_end else nth.n - 1]]
    if not is_whole:
        return [None]
    if nth.shift == "skip":
        return []
    edge = start if nth.from_end else end + 1
    return _shifted(sessions, edge, kind, is_forward=nth.shift == "next")


def _on_day(sessions: Sessions, label: int, day: NthDay) -> Sequence[int | None]:
    position = bisect_left(sessions.days, label)
    if position < len(sessions.days) and sessions.days[position] == label:
        return [position]
    if label > sessions.last_day:
        return [None]
    if day.shift == "skip":
        return []
    return _shifted(sessions, label, "all", is_forward=day.shift == "next")


def _shifted(
    sessions: Sessions, edge: int, kind: Kind, *, is_forward: bool
) -> Sequence[int | None]:
    """Return the nearest session of a kind before, or at and after, the day `edge`."""
    position = bisect_left(sessions.days, edge)
    if is_forward:
        return [next(_of_kind(sessions, kind, position), None)]
    before = range(position - 1, -1, -1)
    return [at for at in before if is_kind(sessions, kind, at)][:1]


def _matching(sessions: Sessions, kind: Kind, start: int, end: int) -> Sequence[int]:
    low, high = bisect_left(sessions.days, start), bisect_right(sessions.days, end)
    if kind == "all":
        return range(low, high)
    return [position for position in range(low, high) if is_kind(sessions, kind, position)]


def _day_of(day: NthDay, start: int, end: int) -> int | None:
    if day.weekday is None:
        label = end - day.n + 1 if day.from_end else start + day.n - 1
    elif day.from_end:
        label = end - (end + 3 - day.weekday) % 7 - 7 * (day.n - 1)
    else:
        label = start + (day.weekday - (start + 3)) % 7 + 7 * (day.n - 1)
    return label if start <= label <= end else None


def _holds(positions: Sequence[int], position: int) -> bool:
    at = bisect_left(positions, position)
    return at < len(positions) and positions[at] == position
