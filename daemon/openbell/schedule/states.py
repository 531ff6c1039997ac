"""What a calendar does at an instant: the predicates of the language. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable

from openbell.schedule.durations import DAY_US, SECOND_US
from openbell.schedule.grammar import Predicate
from openbell.schedule.selecting import is_kind
from openbell.schedule.tables import Sessions
from openbell.schedule.zones import LocalTime


def known_span_us(sessions: Sessions) -> tuple[int, int]:
    """Return the instants `[start, end)` between which a table says what the calendar does.

    A day is left out at each end: sessions may open on the day before their label.
    """
    return (sessions.first_day + 1) * DAY_US, sessions.last_day * DAY_US


def is_true(predicate: Predicate, sessions: Sessions, local: LocalTime, at_us: int) -> bool:
    """Return whether a predicate holds at an instant within `known_span_us`."""
    return truth(predicate, sessions, local)(at_us)


def truth(predicate: Predicate, sessions: Sessions, local: LocalTime) -> Callable[[int], bool]:
    """Return what answers whether a predicate holds at an instant within `known_span_us`."""
    wanted = not predicate.is_negated
    if predicate.state in {"in_session", "in_break"}:
        if predicate.state == "in_session":
            starts_us, ends_us = sessions.opens_us, sessions.closes_us
        else:
            starts_us, ends_us = sessions.break_starts_us, sessions.break_ends_us

        def is_inside(at_us: int) -> bool:
            position = bisect_right(starts_us, at_us) - 1
            return (position >= 0 and at_us < ends_us[position]) is wanted

        return is_inside
    kind = "all" if predicate.state == "session" else predicate.state

    def is_labelled(at_us: int) -> bool:
        position = labelled_at(sessions, local, at_us)
        return (position is not None and is_kind(sessions, kind, position)) is wanted

    return is_labelled


def position_at(sessions: Sessions, at_us: int) -> int | None:
    """Return the session with `open <= at < close`, or None."""
    position = bisect_right(sessions.opens_us, at_us) - 1
    return position if position >= 0 and at_us < sessions.closes_us[position] else None


def labelled_at(sessions: Sessions, local: LocalTime, at_us: int) -> int | None:
    """Return the session that an instant is in, else the one labelled with the local date."""
    position = position_at(sessions, at_us)
    if position is not None:
        return position
    return position_of(sessions, local_day(local, at_us))


def local_day(local: LocalTime, at_us: int) -> int:
    """Return the local date at an instant, in days since 1970."""
    at_s = at_us // SECOND_US
    return (at_s + local.offset_s(at_s)) // 86_400


def position_of(sessions: Sessions, day: int) -> int | None:
    """Return the position of the session with this label, or None."""
    position = bisect_left(sessions.days, day)
    is_there = position < len(sessions.days) and sessions.days[position] == day
    return position if is_there else None


def resume_us(predicate: Predicate, sessions: Sessions, at_us: int) -> int:
    """Return an instant before which a predicate that fails at `at_us` cannot become true."""
    if predicate.state == "in_session":
        edges = sessions.closes_us if predicate.is_negated else sessions.opens_us
    elif predicate.state == "in_break":
        edges = sessions.break_ends_us if predicate.is_negated else sessions.break_starts_us
    else:
        return at_us
    position = bisect_right(edges, at_us)
    return edges[position] if position < len(edges) else sessions.last_day * DAY_US
