"""A schedule as a value: what each form of the language means, and its one canonical text. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal, assert_never

from openbell.schedule.cron import CronFields
from openbell.schedule.durations import clock_text, duration_text
from openbell.sdk.values import from_us

Period = Literal["week", "month", "quarter", "year"]
Kind = Literal["all", "early_close", "late_open", "full"]
Shift = Literal["skip", "prev", "next"]
Missing = Literal["shift", "skip"]
Duplicate = Literal["first", "last", "both"]

PERIODS: tuple[Period, ...] = ("week", "month", "quarter", "year")
KINDS: tuple[Kind, ...] = ("early_close", "late_open", "full")
SHIFTS: tuple[Shift, ...] = ("skip", "prev", "next")
STATES = ("in_session", "in_break", "session", *KINDS)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class DstPolicy:
    """What happens to local times that do not exist (`missing`) or exist twice (`duplicate`).

    A shifted time is read with the offset before the gap (RFC 5545, 3.3.5): 02:30 becomes 03:30.
    """

    missing: Missing = "shift"
    duplicate: Duplicate = "first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nth:
    """The n-th session of each period, counted from its start or its end.

    `shift` says what happens in a period that has fewer: nothing, or the nearest session before
    or after the place where it would be.
    """

    n: int
    period: Period
    from_end: bool = False
    shift: Shift = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class EveryNth:
    """The n-th, 2n-th, 3n-th ... session of each period."""

    n: int
    period: Period


@dataclass(frozen=True, slots=True, kw_only=True)
class NthDay:
    """The session on the n-th day (or n-th such weekday) of each period.

    `weekday` counts from Monday, 0. `shift` says what happens when that day is no session. A
    period without such a day (31 April) selects nothing.
    """

    n: int
    period: Period
    from_end: bool = False
    weekday: int | None = None
    shift: Shift = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which sessions: all of a kind, or those that `pick` takes among them."""

    kind: Kind = "all"
    pick: Nth | EveryNth | NthDay | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchored:
    """An event of each selected session, moved by whole sessions and then by a duration."""

    calendar: str
    selector: Selector = field(default_factory=Selector)
    event: str = "open"
    shift_sessions: int = 0
    offset_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AtClock:
    """A local time of day on the label of each selected session; no zone means the exchange's."""

    calendar: str
    selector: Selector = field(default_factory=Selector)
    shift_sessions: int = 0
    clock_s: int = 0
    zone: str | None = None
    dst: DstPolicy = field(default_factory=DstPolicy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A local time of day on each date that is no session; no zone means the exchange's."""

    calendar: str
    clock_s: int
    zone: str | None = None
    dst: DstPolicy = field(default_factory=DstPolicy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One end of a window in a session."""

    event: str
    offset_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Instants a step apart, from the window's start, in each selected session."""

    calendar: str
    step_us: int
    start: Bound
    end: Bound
    selector: Selector = field(default_factory=Selector)
    has_start: bool = True
    has_end: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A cron expression in one zone."""

    fields: CronFields = field(compare=False, repr=False)
    zone: str
    dst: DstPolicy = field(default_factory=DstPolicy)
    text: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", self.fields.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """Every multiple of a step since 1970-01-01T00:00Z."""

    step_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """One instant."""

    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Predicate:
    """What a calendar must (or must not) be doing at the instant of a fire."""

    calendar: str
    state: str
    is_negated: bool = False


Trigger = Anchored | AtClock | Absent | Grid | Cron | Every | Once


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A parsed expression. Two that mean the same are equal, and have one text and fingerprint."""

    trigger: Trigger
    predicates: tuple[Predicate, ...] = ()
    text: str = field(init=False, compare=False)
    fingerprint: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        text = " & ".join([_trigger(self.trigger), *map(predicate_text, self.predicates)])
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "fingerprint", hashlib.sha256(text.encode()).hexdigest()[:16])

    @property
    def calendars(self) -> tuple[str, ...]:
        """The calendars whose sessions it needs, each once."""
        own = () if isinstance(self.trigger, Cron | Every | Once) else (self.trigger.calendar,)
        return tuple(dict.fromkeys((*own, *(one.calendar for one in self.predicates))))


def predicate_text(predicate: Predicate) -> str:
    """Return a predicate as it is written."""
    return ("not " if predicate.is_negated else "") + f"{predicate.calendar} {predicate.state}"


def selector_text(selector: Selector) -> str:
    """Return a selector as it is written, empty for every session."""
    kind = "" if selector.kind == "all" else selector.kind
    match selector.pick:
        case None:
            return kind
        case EveryNth() as every:
            words = ["every", ordinal(every.n), kind, "session of", every.period]
        case Nth() as nth:
            rank = _rank(nth.n, from_end=nth.from_end)
            words = [rank, kind, "session of", nth.period, _shift(nth.shift)]
        case NthDay(weekday=None) as day:
            rank = _rank(day.n, from_end=day.from_end)
            words = [rank, "day of", day.period, _shift(day.shift)]
        case NthDay(weekday=int(weekday), period="week") as day:
            words = [WEEKDAYS[weekday], _shift(day.shift)]
        case NthDay() as day:
            rank = _rank(day.n, from_end=day.from_end)
            words = [rank, WEEKDAYS[day.weekday or 0], "of", day.period, _shift(day.shift)]
        case _:
            assert_never(selector.pick)
    return " ".join(filter(None, words))


def ordinal(n: int) -> str:
    """Return `1st`, `2nd`, `3rd`, `4th` ... `11th` ..."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th") if n % 100 not in {11, 12, 13} else "th"
    return f"{n}{ending}"


def offset_text(offset_us: int) -> str:
    """Return a duration with its sign as it is written, empty for none."""
    if offset_us == 0:
        return ""
    return f"{'+' if offset_us > 0 else '-'} {duration_text(abs(offset_us))}"


def _rank(n: int, *, from_end: bool) -> str:
    if not from_end:
        return ordinal(n)
    return "last" if n == 1 else f"{ordinal(n)} last"


def _shift(shift: Shift) -> str:
    return "" if shift == "skip" else f"shift {shift}"


def _trigger(trigger: Trigger) -> str:
    match trigger:
        case Anchored() | AtClock():
            words = _session_words(trigger)
        case Absent():
            clock = [clock_text(trigger.clock_s), trigger.zone or "", _dst(trigger.dst)]
            words = ["not", trigger.calendar, "session at", *clock]
        case Grid():
            window = f"{_bound(trigger.start)}, {_bound(trigger.end)}"
            brackets = "[" if trigger.has_start else "(", "]" if trigger.has_end else ")"
            words = [trigger.calendar, selector_text(trigger.selector), "every"]
            words += [duration_text(trigger.step_us), "in", window.join(brackets)]
        case Cron():
            words = ["cron", f"'{trigger.text}'", trigger.zone, _dst(trigger.dst)]
        case Every():
            words = ["every", duration_text(trigger.step_us)]
        case Once():
            words = ["at", from_us(trigger.at_us).isoformat().replace("+00:00", "Z")]
        case _:
            assert_never(trigger)
    return " ".join(filter(None, words))


def _session_words(trigger: Anchored | AtClock) -> list[str]:
    words = [trigger.calendar, selector_text(trigger.selector)]
    shift = trigger.shift_sessions
    count = f"{'+' if shift > 0 else '-'} {abs(shift)} session{'s' if abs(shift) > 1 else ''}"
    moved = count if shift else ""
    if isinstance(trigger, Anchored):
        return [*words, trigger.event, moved, offset_text(trigger.offset_us)]
    clock = [clock_text(trigger.clock_s), trigger.zone or "", _dst(trigger.dst)]
    return [*words, "session", moved, "at", *clock]


def _bound(bound: Bound) -> str:
    return " ".join(filter(None, [bound.event, offset_text(bound.offset_us)]))


def _dst(dst: DstPolicy) -> str:
    words = [f"missing {dst.missing}"] if dst.missing != "shift" else []
    words += [f"duplicate {dst.duplicate}"] if dst.duplicate != "first" else []
    return " ".join(words)
