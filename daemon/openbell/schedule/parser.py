"""Text to schedule: the one parser of the language (spec/schedule.md). Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import NoReturn

from openbell.calendars.names import UnknownCalendarError
from openbell.schedule.clauses import clock, dst_policy, duration, offsets, session_offsets, zone
from openbell.schedule.cron import CronError, read_cron
from openbell.schedule.durations import DURATION, SECOND_US
from openbell.schedule.errors import ScheduleError
from openbell.schedule.grammar import (
    STATES,
    Absent,
    Anchored,
    AtClock,
    Bound,
    Cron,
    DstPolicy,
    Every,
    Grid,
    Nth,
    NthDay,
    Once,
    Predicate,
    Schedule,
    Selector,
    Trigger,
)
from openbell.schedule.scanner import Scanner
from openbell.schedule.selecting_clause import selector, shift
from openbell.schedule.tables import CalendarNames
from openbell.schedule.zones import FIRST_YEAR, LAST_YEAR, LocalTime
from openbell.sdk.values import to_us

MAX_LENGTH = 1000
EXAMPLE = "write such as 'XNYS close + 30m'"

_CALENDAR = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./\-]*")
_QUOTED = re.compile(r"'([^'\n]*)'|\"([^\"\n]*)\"")
_INSTANT = re.compile(r"[0-9]{4}-[0-9T:.+\-]+Z?", re.IGNORECASE)
_ALWAYS_THERE = ("open", "close", "break_start", "break_end")
_USUAL = DstPolicy()


def parse(text: str, names: CalendarNames, *, dst: DstPolicy = _USUAL) -> Schedule:
    """Return the schedule that `text` writes; raises ScheduleError and nothing else.

    `dst` holds where the text itself does not say what happens when clocks change.
    """
    if len(text) > MAX_LENGTH:
        raise ScheduleError(text, MAX_LENGTH, f"a schedule has at most {MAX_LENGTH} characters")
    scanner = Scanner(text)
    if scanner.is_done():
        scanner.fail("a schedule is missing", EXAMPLE)
    reader = _Reader(scanner, names, dst)
    trigger = reader.trigger()
    predicates = reader.predicates()
    if not scanner.is_done():
        scanner.fail(f"{scanner.here()} is not expected here", "what is left over must go")
    return Schedule(trigger=trigger, predicates=predicates)


class _Reader:
    """Reads the forms of a schedule, each from where the scanner stands."""

    def __init__(self, scanner: Scanner, names: CalendarNames, dst: DstPolicy) -> None:
        self._scanner = scanner
        self._names = names
        self._dst = dst

    def trigger(self) -> Trigger:
        """Read everything before the predicates."""
        match self._scanner.take_word("cron", "every", "at", "not"):
            case "cron":
                return self._cron()
            case "every":
                if self._scanner.peek(DURATION) is None and self._scanner.word() is not None:
                    self._scanner.fail("a step is missing", "write every 15m, or CAL every close")
                return Every(step_us=duration(self._scanner))
            case "at":
                return self._once()
            case "not":
                return self._absent()
            case _:
                return self._of_sessions()

    def predicates(self) -> tuple[Predicate, ...]:
        """Read `& [not] CAL state` as often as it comes."""
        found: set[Predicate] = set()
        while self._scanner.symbol("&") is not None:
            start = self._scanner.position
            is_negated = self._scanner.take_word("not") is not None
            calendar = self._calendar()
            state = self._scanner.one_of("a state", STATES)
            opposite = Predicate(calendar=calendar, state=state, is_negated=not is_negated)
            if opposite in found:
                self._scanner.fail("this and its opposite are never both true", position=start)
            found.add(Predicate(calendar=calendar, state=state, is_negated=is_negated))
        return tuple(sorted(found))

    def _cron(self) -> Cron:
        start = self._scanner.position
        match = self._scanner.take(_QUOTED)
        if match is None:
            hint = "write cron '0 7 * * 1-5' Europe/London"
            self._scanner.fail("a cron expression in quotes is missing", hint)
        try:
            fields = read_cron((match[1] or match[2] or "").strip())
        except CronError as error:
            self._scanner.fail(str(error), error.hint, position=start)
        name = zone(self._scanner)
        if name is None:
            self._scanner.fail("a time zone is missing", "write UTC if you mean it")
        return Cron(fields=fields, zone=name, dst=dst_policy(self._scanner, self._dst))

    def _once(self) -> Once:
        start = self._scanner.position
        match = self._scanner.take(_INSTANT)
        if match is None:
            self._bad_instant(f"{self._scanner.here()} is no instant", start)
        try:
            instant = datetime.fromisoformat(match[0].upper())
        except ValueError as error:
            self._bad_instant(f"{match[0]} is no instant: {error}", start)
        if not FIRST_YEAR < instant.year < LAST_YEAR:
            self._scanner.fail(f"{match[0]} is too far away", position=start)
        if instant.tzinfo is not None:
            return Once(at_us=to_us(instant))
        name = zone(self._scanner)
        if name is None:
            self._bad_instant("an instant needs an offset or a zone", start)
        wall_us = to_us(instant.replace(tzinfo=UTC))
        wall_s, rest_us = divmod(wall_us, SECOND_US)
        found = LocalTime(name).instants_s(wall_s, DstPolicy(missing="skip"))
        if not found:
            self._scanner.fail(f"{match[0]} does not exist in {name}", position=start)
        return Once(at_us=found[0] * SECOND_US + rest_us)

    def _bad_instant(self, message: str, position: int) -> NoReturn:
        hint = "write at 2026-12-01T14:00Z, or at 2026-12-01T14:00 Europe/London"
        self._scanner.fail(message, hint, position=position)

    def _absent(self) -> Absent:
        calendar = self._calendar()
        hint = "write not XNYS session at 09:00 America/New_York"
        self._scanner.expect("session", hint)
        self._scanner.expect("at", hint)
        clock_s = clock(self._scanner)
        name = zone(self._scanner)
        return Absent(
            calendar=calendar, clock_s=clock_s, zone=name, dst=dst_policy(self._scanner, self._dst)
        )

    def _of_sessions(self) -> Anchored | AtClock | Grid:
        calendar = self._calendar()
        trigger = self._event_or_grid(calendar, selector(self._scanner))
        start = self._scanner.position
        policy = shift(self._scanner)
        if policy is None:
            return trigger
        pick = trigger.selector.pick
        if not isinstance(pick, Nth | NthDay):
            self._scanner.fail("there is nothing to shift", "a rank or a day is", position=start)
        return replace(
            trigger, selector=replace(trigger.selector, pick=replace(pick, shift=policy))
        )

    def _event_or_grid(self, calendar: str, which: Selector) -> Anchored | AtClock | Grid:
        if self._scanner.take_word("every") is not None:
            return self._grid(calendar, which)
        event = self._event(calendar, "session")
        if event == "session":
            return self._of_session(calendar, which)
        shift, offset_us = offsets(self._scanner)
        return Anchored(
            calendar=calendar,
            selector=which,
            event=event,
            shift_sessions=shift,
            offset_us=offset_us,
        )

    def _of_session(self, calendar: str, which: Selector) -> Anchored | AtClock:
        """Read what follows `session`: a clock, another session's event, or nothing (its open)."""
        shift = session_offsets(self._scanner)
        if self._scanner.take_word("at") is not None:
            clock_s = clock(self._scanner)
            name = zone(self._scanner)
            dst = dst_policy(self._scanner, self._dst)
            return AtClock(
                calendar=calendar,
                selector=which,
                shift_sessions=shift,
                clock_s=clock_s,
                zone=name,
                dst=dst,
            )
        event = "open" if self._scanner.word() is None else self._event(calendar)
        more, offset_us = offsets(self._scanner)
        return Anchored(
            calendar=calendar,
            selector=which,
            event=event,
            shift_sessions=shift + more,
            offset_us=offset_us,
        )

    def _grid(self, calendar: str, which: Selector) -> Grid:
        step_us = duration(self._scanner)
        self._scanner.expect("in", "write every 5m in [open, close]")
        opening = self._bracket("[", "(")
        start = self._bound(calendar)
        self._bracket(",")
        end = self._bound(calendar)
        closing = self._bracket("]", ")")
        return Grid(
            calendar=calendar,
            selector=which,
            step_us=step_us,
            start=start,
            end=end,
            has_start=opening == "[",
            has_end=closing == "]",
        )

    def _bracket(self, *symbols: str) -> str:
        found = self._scanner.symbol(*symbols)
        if found is None:
            hint = "write every 5m in [open, close], or [open, close) without the end"
            self._scanner.fail(f"{' or '.join(map(repr, symbols))} is missing", hint)
        return found

    def _bound(self, calendar: str) -> Bound:
        event = self._event(calendar)
        start = self._scanner.position
        shift, offset_us = offsets(self._scanner)
        if shift:
            self._scanner.fail("a window stays in its session", position=start)
        return Bound(event=event, offset_us=offset_us)

    def _event(self, calendar: str, *more: str) -> str:
        known = (*_ALWAYS_THERE, *more, *self._names.events(calendar))
        return self._scanner.one_of(f"an event of {calendar}", known)

    def _calendar(self) -> str:
        start = self._scanner.position
        match = self._scanner.take(_CALENDAR)
        if match is None:
            self._scanner.fail(f"{self._scanner.here()} is no calendar", EXAMPLE)
        try:
            return self._names.canonical(match[0])
        except UnknownCalendarError as error:
            self._scanner.fail(f"calendar {match[0]!r} is unknown", error.hint, position=start)
