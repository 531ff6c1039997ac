"""When each form of a schedule is due, before its predicates are asked. Pure."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from openbell.schedule.durations import DAY_US, SECOND_US
from openbell.schedule.grammar import (
    Absent,
    Anchored,
    AtClock,
    Bound,
    Cron,
    Grid,
    Selector,
)
from openbell.schedule.selecting import selected
from openbell.schedule.states import position_of
from openbell.schedule.tables import Sessions
from openbell.schedule.zones import LocalTime

_EVERY_SESSION = Selector()


class Moment(NamedTuple):
    """A due instant, the label that it belongs to (days since 1970), and its number there."""

    at_us: int
    day: int | None
    number: int


class UnplannableError(Exception):
    """There is nothing to plan by: a calendar without sessions, or without the event."""


def anchored(trigger: Anchored, sessions: Sessions, from_us: int) -> Iterator[Moment]:
    """Yield the moments of an event, from an instant on."""
    positions, instants_us = event_of(sessions, trigger.event)
    entry = bisect_left(instants_us, from_us - trigger.offset_us)
    if entry == len(instants_us):
        return
    first = max(positions[entry] - trigger.shift_sessions, 0)
    days, shift, offset_us = sessions.days, trigger.shift_sessions, trigger.offset_us
    has_one_each = isinstance(positions, range)
    if has_one_each and trigger.selector == _EVERY_SESSION:
        whole = instants_us[first + shift : len(days) + min(shift, 0)]
        for at_us, day in zip(whole, days[first:], strict=False):
            yield Moment(at_us + offset_us, day, 0)
        return
    for position in selected(sessions, trigger.selector, first):
        target = position + shift
        if target >= len(days):
            return
        low, high = target, target + 1
        if not has_one_each:
            low, high = bisect_left(positions, target), bisect_right(positions, target)
        for number in range(high - low):
            at_us = instants_us[low + number] + offset_us
            if at_us >= from_us:
                yield Moment(at_us, days[position], number)


def at_clock(
    trigger: AtClock, sessions: Sessions, local: LocalTime, from_us: int
) -> Iterator[Moment]:
    """Yield the moments of a time of day on sessions' labels, from an instant on."""
    entry = bisect_left(sessions.days, from_us // DAY_US - 2)
    for position in selected(sessions, trigger.selector, max(entry - trigger.shift_sessions, 0)):
        target = position + trigger.shift_sessions
        if target >= len(sessions.days):
            return
        wall_s = sessions.days[target] * 86_400 + trigger.clock_s
        for index, at_s in enumerate(local.instants_s(wall_s, trigger.dst)):
            if at_s * SECOND_US >= from_us:
                yield Moment(at_s * SECOND_US, sessions.days[position], index)


def absent(trigger: Absent, sessions: Sessions, local: LocalTime, from_us: int) -> Iterator[Moment]:
    """Yield the moments of a time of day on dates that are no session, from an instant on."""
    first = max(from_us // DAY_US - 2, sessions.first_day)
    for day in range(first, sessions.last_day + 1):
        if position_of(sessions, day) is None:
            wall_s = day * 86_400 + trigger.clock_s
            for index, at_s in enumerate(local.instants_s(wall_s, trigger.dst)):
                if at_s * SECOND_US >= from_us:
                    yield Moment(at_s * SECOND_US, day, index)


def grid(trigger: Grid, sessions: Sessions, from_us: int) -> Iterator[Moment]:
    """Yield the moments of a grid in order of time, also where windows reach into each other."""
    positions, instants_us = event_of(sessions, trigger.end.event)
    entry = bisect_left(instants_us, from_us - trigger.end.offset_us)
    if entry == len(instants_us):
        return
    waiting: list[tuple[int, int, int, int]] = []
    for position in selected(sessions, trigger.selector, positions[entry]):
        window = _window(trigger, sessions, position)
        if window is None:
            continue
        start_us, end_us = window
        index = max(-((start_us - from_us) // trigger.step_us), 0 if trigger.has_start else 1)
        at_us = start_us + index * trigger.step_us
        while waiting and waiting[0][0] < at_us:
            yield _advanced(trigger, sessions, waiting)
        if at_us <= end_us:
            heapq.heappush(waiting, (at_us, position, index, end_us))
    while waiting:
        yield _advanced(trigger, sessions, waiting)


def cron(trigger: Cron, local: LocalTime, from_us: int) -> Iterator[Moment]:
    """Yield the moments of a cron expression from an instant on; their number is their second."""
    start_s = -(-from_us // SECOND_US)
    for at_s in local.walls_to_instants(trigger.fields.walls, start_s, trigger.dst):
        yield Moment(at_s * SECOND_US, None, at_s)


def every(step_us: int, from_us: int) -> Iterator[Moment]:
    """Yield the multiples of a step from an instant on."""
    number = -(-from_us // step_us)
    while True:
        yield Moment(number * step_us, None, number)
        number += 1


def event_of(sessions: Sessions, event: str) -> tuple[Sequence[int], Sequence[int]]:
    """Return the positions of the sessions that have an event, and its instants."""
    match event:
        case "open":
            return range(len(sessions.days)), sessions.opens_us
        case "close":
            return range(len(sessions.days)), sessions.closes_us
        case "break_start":
            return sessions.break_indices, sessions.break_starts_us
        case "break_end":
            return sessions.break_indices, sessions.break_ends_us
        case _:
            return _named(sessions, event)


def _named(sessions: Sessions, event: str) -> tuple[Sequence[int], Sequence[int]]:
    try:
        return sessions.named(event)
    except KeyError as error:
        raise UnplannableError(f"calendar {sessions.calendar} defines no {event}") from error


def instants_of(sessions: Sessions, event: str, position: int) -> Sequence[int]:
    """Return the instants of an event in one session: none, one, or one for each break."""
    positions, instants_us = event_of(sessions, event)
    return instants_us[bisect_left(positions, position) : bisect_right(positions, position)]


def _window(trigger: Grid, sessions: Sessions, position: int) -> tuple[int, int] | None:
    """Return the first and the last instant that may fire; breaks count from first to last."""
    starts = instants_of(sessions, trigger.start.event, position)
    ends = instants_of(sessions, trigger.end.event, position)
    if not len(starts) or not len(ends):
        return None
    end_us = _moved(ends[-1], trigger.end) - (0 if trigger.has_end else 1)
    return _moved(starts[0], trigger.start), end_us


def _moved(at_us: int, bound: Bound) -> int:
    return at_us + bound.offset_us


def _advanced(
    trigger: Grid, sessions: Sessions, waiting: list[tuple[int, int, int, int]]
) -> Moment:
    """Return the earliest moment that waits, and let its session's next one wait in its place."""
    at_us, position, index, end_us = waiting[0]
    following_us = at_us + trigger.step_us
    if following_us <= end_us:
        heapq.heapreplace(waiting, (following_us, position, index + 1, end_us))
    else:
        heapq.heappop(waiting)
    return Moment(at_us, sessions.days[position], index)
