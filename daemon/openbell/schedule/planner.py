"""Schedules and session tables in, fires out: the one planner. Pure."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from datetime import date, datetime
from functools import lru_cache
from itertools import islice, takewhile
from typing import assert_never

from openbell.calendars.table import from_day
from openbell.schedule import triggers
from openbell.schedule.fires import Fire
from openbell.schedule.grammar import (
    Absent,
    Anchored,
    AtClock,
    Cron,
    Every,
    Grid,
    Once,
    Predicate,
    Schedule,
    Trigger,
)
from openbell.schedule.states import known_span_us, resume_us, truth
from openbell.schedule.tables import Sessions, Tables
from openbell.schedule.triggers import Moment, UnplannableError
from openbell.schedule.zones import LocalTime
from openbell.sdk.values import from_us, to_us

_WORTH_A_RESTART_US = 3_600_000_000


class Planner:
    """Plans by the tables at hand; keeps nothing but what it learnt about time zones.

    Nothing is guessed: fires end where the tables do (`horizon`). The same schedule and tables
    give the same fires however time is cut into steps.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._local = lru_cache(maxsize=None)(LocalTime)

    def next(self, schedule: Schedule, after: datetime, count: int = 1) -> list[Fire]:
        """Return the first `count` fires after an instant; fewer where knowledge ends."""
        return list(islice(self.fires(schedule, to_us(after) + 1), count))

    def between(self, schedule: Schedule, start: datetime, end: datetime) -> Iterator[Fire]:
        """Yield the fires in `[start, end)`, in order of time."""
        end_us = to_us(end)
        moments = self.moments(schedule, to_us(start))
        return _named(schedule, takewhile(lambda moment: moment.at_us < end_us, moments))

    def fires(self, schedule: Schedule, start_us: int) -> Iterator[Fire]:
        """Yield every fire from an instant on; raises UnplannableError for a missing calendar."""
        return _named(schedule, self.moments(schedule, start_us))

    def horizon(self, schedule: Schedule) -> date | None:
        """Return the last day of which its calendars know anything, or None: it needs none."""
        days = [self.sessions(calendar).last_day for calendar in schedule.calendars]
        return from_day(min(days)) if days else None

    def beginning(self, schedule: Schedule) -> date | None:
        """Return the first day of which its calendars know anything, or None: it needs none."""
        days = [self.sessions(calendar).first_day for calendar in schedule.calendars]
        return from_day(max(days)) if days else None

    def moments(self, schedule: Schedule, start_us: int) -> Iterator[Moment]:
        """Yield the due moments from an instant on."""
        if not schedule.predicates:
            yield from self.unfiltered(schedule.trigger, start_us)
            return
        spans = [known_span_us(self.sessions(one.calendar)) for one in schedule.predicates]
        low_us = max(low for low, _ in spans)
        high_us = min(high for _, high in spans)
        from_here_us: int | None = max(start_us, low_us)
        while from_here_us is not None:
            found = self.unfiltered(schedule.trigger, from_here_us)
            from_here_us = yield from self._filtered(schedule, found, high_us)

    def unfiltered(self, trigger: Trigger, start_us: int) -> Iterator[Moment]:
        """Yield the due moments of a trigger from an instant on, whatever predicates say."""
        match trigger:
            case Cron():
                return triggers.cron(trigger, self.local(trigger.zone), start_us)
            case Every():
                return triggers.every(trigger.step_us, start_us)
            case Once():
                once = [Moment(trigger.at_us, None, 0)] if trigger.at_us >= start_us else []
                return iter(once)
            case Anchored() | AtClock() | Absent() | Grid():
                return self._of_sessions(trigger, start_us)
            case _:
                assert_never(trigger)

    def _of_sessions(
        self, trigger: Anchored | AtClock | Absent | Grid, start_us: int
    ) -> Iterator[Moment]:
        sessions = self.sessions(trigger.calendar)
        match trigger:
            case Anchored():
                return triggers.anchored(trigger, sessions, start_us)
            case Grid():
                return triggers.grid(trigger, sessions, start_us)
            case AtClock():
                local = self.local(trigger.zone or sessions.zone)
                return triggers.at_clock(trigger, sessions, local, start_us)
            case Absent():
                local = self.local(trigger.zone or sessions.zone)
                return triggers.absent(trigger, sessions, local, start_us)
            case _:
                assert_never(trigger)

    def sessions(self, calendar: str) -> Sessions:
        """Return a calendar's sessions; raises UnplannableError when there are none."""
        found = self._tables.sessions(calendar)
        if found is None:
            raise UnplannableError(f"calendar {calendar} has no sessions here")
        return found

    def local(self, zone: str) -> LocalTime:
        """Return a zone's local time."""
        return self._local(zone)

    def _filtered(
        self, schedule: Schedule, found: Iterator[Moment], high_us: int
    ) -> Generator[Moment, None, int | None]:
        """Yield the moments at which all predicates hold; return where to go on, None at the end.

        A predicate that stays false for long ends the pass of a trigger that fires often, so that a
        fine step is not tried through a whole weekend.
        """
        is_fine = isinstance(schedule.trigger, Every | Cron | Grid)
        asked = [
            (one, self.sessions(one.calendar), self._truth(one)) for one in schedule.predicates
        ]
        for moment in found:
            at_us = moment.at_us
            if at_us >= high_us:
                return None
            for predicate, sessions, holds in asked:  # noqa: B007 - the one that fails is asked again
                if not holds(at_us):
                    break
            else:
                yield moment
                continue
            if is_fine:
                again_us = resume_us(predicate, sessions, at_us)
                if again_us - at_us > _WORTH_A_RESTART_US:
                    return again_us
        return None

    def _truth(self, predicate: Predicate) -> Callable[[int], bool]:
        sessions = self.sessions(predicate.calendar)
        return truth(predicate, sessions, self.local(sessions.zone))


def event_word(trigger: Trigger) -> str:
    """Return what the fires of a trigger are called."""
    match trigger:
        case Anchored():
            return trigger.event
        case AtClock():
            return "session"
        case Absent():
            return "no_session"
        case Grid() | Every():
            return "every"
        case Cron():
            return "cron"
        case Once():
            return "at"
        case _:
            assert_never(trigger)


def _named(schedule: Schedule, moments: Iterator[Moment]) -> Iterator[Fire]:
    event = event_word(schedule.trigger)
    for moment in moments:
        yield Fire(
            fingerprint=schedule.fingerprint,
            session=None if moment.day is None else from_day(moment.day),
            event=event,
            index=moment.number,
            at=from_us(moment.at_us),
        )
