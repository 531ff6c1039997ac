"""Why a schedule fires at an instant or does not, step by step. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from openbell.calendars.table import from_day
from openbell.schedule.durations import DAY_US, SECOND_US, duration_text
from openbell.schedule.fires import Fire
from openbell.schedule.grammar import (
    Absent,
    Anchored,
    AtClock,
    Cron,
    Grid,
    Schedule,
    offset_text,
    predicate_text,
    selector_text,
)
from openbell.schedule.planner import Planner
from openbell.schedule.selecting import is_kind, selected
from openbell.schedule.states import is_true, known_span_us, local_day, position_at, position_of
from openbell.schedule.tables import Sessions
from openbell.schedule.triggers import Moment, instants_of
from openbell.sdk.values import from_us, to_us

_DAY_S = DAY_US // SECOND_US


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that was looked at; `is_met` is None for what is only said."""

    text: str
    is_met: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Whether a schedule fires at an instant, why, and when it fires around it."""

    at: datetime
    text: str
    fires: tuple[Fire, ...]
    steps: tuple[Step, ...]
    previous: Fire | None
    next: Fire | None


def explain(planner: Planner, schedule: Schedule, at: datetime) -> Explanation:
    """Return why a schedule fires at `at` or does not; raises UnplannableError."""
    fires = tuple(planner.between(schedule, at, at + timedelta(microseconds=1)))
    steps = [
        *_trigger_steps(planner, schedule, to_us(at)),
        *_predicates(planner, schedule, to_us(at)),
    ]
    horizon = planner.horizon(schedule)
    if horizon is not None and at.date() > horizon:
        steps.append(Step(text=f"nothing is known after {horizon}", is_met=False))
    beginning = planner.beginning(schedule)
    if beginning is not None and at.date() < beginning:
        steps.append(Step(text=f"nothing is known before {beginning}", is_met=False))
    return Explanation(
        at=at,
        text=schedule.text,
        fires=fires,
        steps=tuple(steps),
        previous=_previous(planner, schedule, at),
        next=next(iter(planner.next(schedule, at)), None),
    )


def _previous(planner: Planner, schedule: Schedule, at: datetime) -> Fire | None:
    """Return the last fire before `at`, looked for in windows that grow."""
    for hours in (1, 24, 200, 900, 9600):
        fires = planner.between(schedule, at - timedelta(hours=hours), at)
        found = deque(fires, maxlen=1)
        if found:
            return found[0]
    return None


def _trigger_steps(planner: Planner, schedule: Schedule, at_us: int) -> list[Step]:
    trigger = schedule.trigger
    steps: list[Step] = []
    if isinstance(trigger, Anchored | AtClock | Grid):
        steps += _session_steps(planner, trigger, at_us)
    elif isinstance(trigger, Absent):
        steps += _absent_steps(planner, trigger, at_us)
    if isinstance(trigger, Cron):
        steps += _clock_steps(planner, trigger.zone, at_us)
    elif isinstance(trigger, Absent | AtClock):
        zone = trigger.zone or planner.sessions(trigger.calendar).zone
        steps += _clock_steps(planner, zone, at_us)
    due = next(planner.unfiltered(trigger, at_us), None)
    is_due = due is not None and due.at_us == at_us
    told = "it is due at this instant" if is_due else f"it is not due at this instant{_due(due)}"
    return [*steps, Step(text=told, is_met=is_due)]


def _due(due: Moment | None) -> str:
    if due is None:
        return ", nor later as far as is known"
    return f", but next at {_at(due.at_us)}"


def _session_steps(planner: Planner, trigger: Anchored | AtClock | Grid, at_us: int) -> list[Step]:
    sessions = planner.sessions(trigger.calendar)
    position = _nearest(planner, trigger, sessions, at_us)
    day = local_day(planner.local(sessions.zone), at_us)
    name = trigger.calendar
    steps: list[Step] = []
    if position_of(sessions, day) is None:
        steps.append(Step(text=f"{name} has no session labelled {from_day(day)}"))
    if position is None:
        return [*steps, Step(text=f"no session of {name} is known near it", is_met=False)]
    label = from_day(sessions.days[position])
    span = f"{_at(sessions.opens_us[position])} to {_at(sessions.closes_us[position])}"
    steps.append(Step(text=f"{name} session {label}: {span}{_kind(sessions, position)}"))
    words = selector_text(trigger.selector)
    if words:
        taken = next(selected(sessions, trigger.selector, position), None)
        is_taken = taken == position
        more = (
            "" if is_taken or taken is None else f"; the next is {from_day(sessions.days[taken])}"
        )
        verb = "is" if is_taken else "is not"
        steps.append(Step(text=f"{label} {verb} selected by {words!r}{more}", is_met=is_taken))
    if isinstance(trigger, Anchored):
        steps += _event_steps(trigger, sessions, position)
    elif isinstance(trigger, Grid):
        steps.append(Step(text=f"it fires every {duration_text(trigger.step_us)} in its window"))
    return steps


def _event_steps(trigger: Anchored, sessions: Sessions, position: int) -> list[Step]:
    target = position + trigger.shift_sessions
    if not 0 <= target < len(sessions.days):
        return [Step(text="the session that it points to is not known", is_met=False)]
    label = from_day(sessions.days[target])
    steps = []
    if trigger.shift_sessions:
        steps.append(Step(text=f"{trigger.shift_sessions:+} sessions from it is {label}"))
    instants = instants_of(sessions, trigger.event, target)
    if not len(instants):
        return [*steps, Step(text=f"{label} has no {trigger.event}: silent", is_met=False)]
    for instant_us in instants:
        moved_us = instant_us + trigger.offset_us
        steps.append(Step(text=f"its {trigger.event} is at {_at(instant_us)}"))
        if trigger.offset_us:
            lands = position_at(sessions, moved_us)
            where = "" if lands in {None, target} else _within(sessions, lands)
            text = f"{offset_text(trigger.offset_us)} is {_at(moved_us)}{where}"
            steps.append(Step(text=text))
    return steps


def _within(sessions: Sessions, position: int | None) -> str:
    day = from_day(sessions.days[position or 0])
    return f", within session {day}; the fire still belongs to its own"


def _absent_steps(planner: Planner, trigger: Absent, at_us: int) -> list[Step]:
    sessions = planner.sessions(trigger.calendar)
    day = local_day(planner.local(trigger.zone or sessions.zone), at_us)
    is_absent = position_of(sessions, day) is None
    verb = "has no" if is_absent else "has a"
    text = f"{trigger.calendar} {verb} session labelled {from_day(day)}"
    return [Step(text=text, is_met=is_absent)]


def _clock_steps(planner: Planner, zone: str, at_us: int) -> list[Step]:
    """Say what the clocks of a zone show, and whether they change on that day."""
    local, at_s = planner.local(zone), at_us // SECOND_US
    wall_s = at_s + local.offset_s(at_s)
    steps = [Step(text=f"it is {_wall(wall_s):%a %Y-%m-%d %H:%M:%S} in {zone}")]
    for span in islice(local.spans(at_s - _DAY_S), 3):
        before_s, after_s = span.end_s + span.offset_s, span.end_s + local.offset_s(span.end_s)
        if before_s != after_s and wall_s // _DAY_S in {before_s // _DAY_S, after_s // _DAY_S}:
            low, high = (f"{_wall(each):%H:%M}" for each in sorted((before_s, after_s)))
            what = "do not exist" if before_s < after_s else "come twice"
            steps.append(Step(text=f"on that day the times there from {low} to {high} {what}"))
    return steps


def _wall(wall_s: int) -> datetime:
    """Return what a clock shows, as a datetime whose zone means nothing."""
    return from_us(wall_s * SECOND_US)


def _predicates(planner: Planner, schedule: Schedule, at_us: int) -> list[Step]:
    steps: list[Step] = []
    for predicate in schedule.predicates:
        sessions = planner.sessions(predicate.calendar)
        low_us, high_us = known_span_us(sessions)
        words = predicate_text(predicate)
        if not low_us <= at_us < high_us:
            steps.append(Step(text=f"{words}: not known at this instant", is_met=False))
            continue
        is_met = is_true(predicate, sessions, planner.local(sessions.zone), at_us)
        steps.append(Step(text=f"{words}: {'yes' if is_met else 'no'}", is_met=is_met))
    return steps


def _nearest(
    planner: Planner, trigger: Anchored | AtClock | Grid, sessions: Sessions, at_us: int
) -> int | None:
    """Return the session whose fire is at the instant, else the one in progress or the last."""
    due = next(planner.unfiltered(trigger, at_us), None)
    if due is not None and due.at_us == at_us and due.day is not None:
        return position_of(sessions, due.day)
    position = position_of(sessions, local_day(planner.local(sessions.zone), at_us))
    if position is not None:
        return position
    started = bisect_right(sessions.opens_us, at_us) - 1
    return started if started >= 0 else None


def _kind(sessions: Sessions, position: int) -> str:
    words = [kind for kind in ("early_close", "late_open") if is_kind(sessions, kind, position)]
    return f" ({', '.join(words)})" if words else ""


def _at(instant_us: int) -> str:
    return from_us(instant_us).isoformat().replace("+00:00", "Z")
