"""Calendars that the configuration defines: hours over a week mask or over another calendar. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import replace
from datetime import date

from openbell.calendars.hours import Hours, packed, unpacked
from openbell.calendars.local_time import LocalTime, minutes_of
from openbell.calendars.names import event_names
from openbell.calendars.table import CalendarTable, Moments, from_day, sealed, to_day
from openbell.model.calendars import CalendarDefinition

_DAY_MINUTES = 24 * 60
_MONDAY = 4
"""1970-01-05, day 4 since the epoch, was a Monday."""


class DefinitionError(Exception):
    """A defined calendar makes no sense with the sessions it has; the message says which."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"calendar {name!r}: {message}")


def weekmask_table(definition: CalendarDefinition, first: date, last: date) -> CalendarTable:
    """Return the definition's hours on each of its weekdays from `first` to `last`.

    The definition has open, close, zone and weekdays; its closed and early days are applied.
    """
    assert definition.zone is not None
    none = array("q")
    empty = CalendarTable(
        calendar=definition.name,
        zone=definition.zone,
        library="configuration",
        first_day=to_day(first),
        last_day=to_day(last),
        is_bounded=False,
        days=none,
        opens_us=none,
        closes_us=none,
        break_indices=none,
        break_starts_us=none,
        break_ends_us=none,
    )
    clock = LocalTime(definition.zone)
    days = range(empty.first_day, empty.last_day + 1)
    wanted = set(definition.weekdays)
    hours = {
        day: _own_hours(definition, day, clock) for day in days if (day - _MONDAY) % 7 in wanted
    }
    return packed(empty, _adjusted(definition, hours, clock))


def on_base(definition: CalendarDefinition, base: CalendarTable) -> CalendarTable:
    """Return the definition's sessions on the days of `base`: with its own hours where it has any.

    A day on which the base closes early or opens late does so here too, within the own hours.
    Raises DefinitionError for closed and early days that are no session.
    """
    zone = definition.zone or base.zone
    clock = LocalTime(zone)
    hours = unpacked(base)
    if definition.open is not None:
        hours = {day: _inside(definition, day, one, clock) for day, one in hours.items()}
    if definition.breaks is not None:
        hours = {
            day: replace(one, breaks=_breaks(definition, day, one, clock))
            for day, one in hours.items()
        }
    table = replace(base, calendar=definition.name, zone=zone)
    return packed(table, _adjusted(definition, hours, clock))


def _own_hours(definition: CalendarDefinition, day: int, clock: LocalTime) -> Hours:
    assert definition.open is not None
    assert definition.close is not None
    opens = minutes_of(definition.open)
    closes = minutes_of(definition.close) or _DAY_MINUTES
    # What does not end after it began began on the evening before.
    opens -= _DAY_MINUTES if closes <= opens else 0
    bare = Hours(clock.instant_us(day, opens), clock.instant_us(day, closes))
    return replace(bare, breaks=_breaks(definition, day, bare, clock))


def _inside(definition: CalendarDefinition, day: int, base: Hours, clock: LocalTime) -> Hours:
    own = _own_hours(definition, day, clock)
    is_early = base.is_early and base.close_us < own.close_us
    is_late = base.is_late and base.open_us > own.open_us
    open_us = base.open_us if is_late else own.open_us
    close_us = base.close_us if is_early else own.close_us
    if open_us >= close_us:
        raise DefinitionError(
            definition.name,
            f"its hours of {from_day(day)} end before they begin: its base has "
            f"{'an early close' if is_early else 'a late open'} that day",
        )
    return own.within(open_us, close_us, is_early=is_early, is_late=is_late)


def _breaks(
    definition: CalendarDefinition, day: int, session: Hours, clock: LocalTime
) -> tuple[tuple[int, int], ...]:
    pairs = sorted(
        (_placed(start, day, session, clock), _placed(end, day, session, clock))
        for start, end in definition.breaks or ()
    )
    return tuple(
        (start_us, end_us)
        for start_us, end_us in pairs
        if session.open_us < start_us < end_us < session.close_us
    )


def _placed(at: str, day: int, session: Hours, clock: LocalTime) -> int:
    """Return the instant of a local time: on the evening before if the session is open by then."""
    minutes = minutes_of(at)
    evening_us = clock.instant_us(day - 1, minutes)
    return evening_us if evening_us >= session.open_us else clock.instant_us(day, minutes)


def _adjusted(
    definition: CalendarDefinition, hours: dict[int, Hours], clock: LocalTime
) -> dict[int, Hours]:
    closed = {to_day(label) for label in definition.closed}
    for label, close in definition.early.items():
        day = to_day(label)
        session = hours.get(day)
        if session is None:
            raise DefinitionError(
                definition.name, f"it cannot close early on {label}: there is no session"
            )
        close_us = _placed(close, day, session, clock)
        if not session.open_us < close_us < session.close_us:
            raise DefinitionError(
                definition.name, f"{close} on {label} is no early close: it lies outside the hours"
            )
        hours[day] = session.within(
            session.open_us, close_us, is_early=True, is_late=session.is_late
        )
    return {day: one for day, one in hours.items() if day not in closed}


def with_events(table: CalendarTable, definition: CalendarDefinition) -> CalendarTable:
    """Return `table` with the named events of its definition.

    On an early day an event is at its `early` time; without one it is as ever, but silent if that
    is after the close. `pre_open` is the last such time before the open, `post_close`
    the first after the close; on an early day as long after the close as on the day before.
    """
    names = event_names(definition)
    if not names:
        return table
    clock = LocalTime(table.zone)
    hours = unpacked(table)
    columns: dict[str, Moments] = {}
    for name in names:
        if name == "pre_open":
            column = _before(hours, minutes_of(definition.pre_open or ""), clock)
        elif name == "post_close":
            column = _after(hours, minutes_of(definition.post_close or ""), clock)
        else:
            column = _during(hours, definition, name, clock)
        columns[name] = column
    return sealed(replace(table, events=columns))


def _before(hours: Mapping[int, Hours], minutes: int, clock: LocalTime) -> Moments:
    instants = array("q")
    for day, session in hours.items():
        at = (clock.instant_us(day - back, minutes) for back in range(3))
        instants.append(next(at_us for at_us in at if at_us <= session.open_us))
    return array("q", range(len(instants))), instants


def _after(hours: Mapping[int, Hours], minutes: int, clock: LocalTime) -> Moments:
    instants = array("q")
    usual_us: int | None = None
    for day, session in hours.items():
        if session.is_early and usual_us is not None:
            instants.append(session.close_us + usual_us)
            continue
        at = (clock.instant_us(day + ahead, minutes) for ahead in range(-1, 3))
        instants.append(next(at_us for at_us in at if at_us >= session.close_us))
        if not session.is_early:
            usual_us = instants[-1] - session.close_us
    return array("q", range(len(instants))), instants


def _during(
    hours: Mapping[int, Hours], definition: CalendarDefinition, name: str, clock: LocalTime
) -> Moments:
    event = definition.events[name]
    positions, instants = array("q"), array("q")
    for index, (day, session) in enumerate(hours.items()):
        has_early = session.is_early and event.early is not None
        at = event.early if has_early and event.early else event.at
        at_us = _placed(at, day, session, clock)
        if session.is_early and not has_early and at_us > session.close_us:
            continue
        positions.append(index)
        instants.append(at_us)
    return positions, instants
