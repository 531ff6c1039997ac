"""Calendars of one's own: hours, breaks, named events, closed and early days."""

from __future__ import annotations

from array import array
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from openbell.calendars.local_time import LocalTime
from openbell.calendars.overlays import corrected
from openbell.calendars.product import DefinitionError, on_base, weekmask_table, with_events
from openbell.calendars.table import CalendarTable, to_day
from openbell.model.calendars import CalendarDefinition, NamedEvent, Overlay
from openbell.sdk.values import to_us

pytestmark = pytest.mark.unit

FIRST, LAST = date(2026, 1, 1), date(2026, 12, 31)
DAY = CalendarDefinition(
    name="desk", zone="Europe/London", weekdays=(0, 1, 2, 3, 4), open="08:00", close="16:30"
)
NIGHT = CalendarDefinition(
    name="night", zone="America/Chicago", weekdays=(0, 1, 2, 3, 4), open="17:00", close="16:00"
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def table(definition: CalendarDefinition) -> CalendarTable:
    return with_events(weekmask_table(definition, FIRST, LAST), definition)


def hours(found: CalendarTable, label: str) -> tuple[datetime, datetime] | None:
    session = found.session(date.fromisoformat(label))
    return session and (session.open, session.close)


def test_hours_follow_the_zones_clock() -> None:
    found = table(DAY)
    assert hours(found, "2026-03-27") == (at("2026-03-27T08:00"), at("2026-03-27T16:30"))
    assert hours(found, "2026-03-30") == (at("2026-03-30T07:00"), at("2026-03-30T15:30"))
    assert hours(found, "2026-03-28") is None
    assert found.covers(FIRST, LAST)


def test_a_session_that_ends_before_it_begins_opens_on_the_evening_before() -> None:
    found = table(NIGHT)
    assert hours(found, "2026-03-09") == (at("2026-03-08T22:00"), at("2026-03-09T21:00"))


def test_midnight_is_the_end_of_the_day() -> None:
    evening = table(replace(DAY, open="18:00", close="00:00", zone="UTC"))
    assert hours(evening, "2026-03-27") == (at("2026-03-27T18:00"), at("2026-03-28T00:00"))
    whole = table(replace(DAY, open="00:00", close="00:00", zone="UTC"))
    assert hours(whole, "2026-03-27") == (at("2026-03-27T00:00"), at("2026-03-28T00:00"))


def test_a_session_has_any_number_of_breaks_in_order() -> None:
    pauses = replace(DAY, breaks=(("15:00", "15:10"), ("12:00", "12:45"), ("07:00", "07:30")))
    session = table(pauses).session(date(2026, 1, 5))
    assert session is not None
    assert [(b.start, b.end) for b in session.breaks] == [
        (at("2026-01-05T12:00"), at("2026-01-05T12:45")),
        (at("2026-01-05T15:00"), at("2026-01-05T15:10")),
    ]
    evening = table(replace(NIGHT, breaks=(("20:00", "20:30"),))).session(date(2026, 1, 6))
    assert evening is not None
    assert evening.breaks[0].start == at("2026-01-06T02:00")


def test_closed_and_early_days_are_marked() -> None:
    found = table(
        replace(
            DAY,
            breaks=(("14:00", "14:30"),),
            closed=frozenset({date(2026, 12, 25), date(2026, 12, 26)}),
            early={date(2026, 12, 24): "12:30"},
        )
    )
    assert hours(found, "2026-12-25") is None
    session = found.session(date(2026, 12, 24))
    assert session is not None
    assert (session.close, session.early_close, session.breaks) == (
        at("2026-12-24T12:30"),
        True,
        (),
    )


@pytest.mark.parametrize(
    ("early", "message"),
    [
        ({date(2026, 12, 26): "12:00"}, "cannot close early on 2026-12-26: there is no session"),
        ({date(2026, 12, 24): "17:00"}, "17:00 on 2026-12-24 is no early close"),
        ({date(2026, 12, 24): "07:00"}, "07:00 on 2026-12-24 is no early close"),
    ],
)
def test_early_days_that_make_no_sense_are_refused(early: dict[date, str], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        table(replace(DAY, early=early))


def test_named_events_happen_in_the_session_they_belong_to() -> None:
    found = table(
        replace(
            NIGHT,
            events={"settle": NamedEvent(at="15:00", early="12:00"), "fix": NamedEvent(at="18:00")},
            early={date(2026, 11, 27): "12:15"},
        )
    )
    assert found.event("settle", date(2026, 3, 9)) == at("2026-03-09T20:00")
    assert found.event("fix", date(2026, 3, 9)) == at("2026-03-08T23:00")
    assert found.event("settle", date(2026, 11, 27)) == at("2026-11-27T18:00")
    assert found.event("settle", date(2026, 3, 8)) is None
    positions, instants = found.named("settle")
    assert (len(positions), len(instants)) == (len(found), len(found))


def test_an_event_after_an_early_close_is_silent_unless_told_when() -> None:
    found = table(
        replace(
            DAY,
            events={"auction": NamedEvent(at="16:25"), "noon": NamedEvent(at="12:00")},
            early={date(2026, 12, 24): "12:30"},
        )
    )
    assert found.event("auction", date(2026, 12, 24)) is None
    assert found.event("noon", date(2026, 12, 24)) == at("2026-12-24T12:00")
    assert len(found.named("auction")[0]) == len(found) - 1
    with pytest.raises(KeyError):
        found.named("settle")


def test_before_and_after_hours_lie_around_the_session() -> None:
    found = table(
        replace(DAY, pre_open="05:00", post_close="20:00", early={date(2026, 12, 24): "12:30"})
    )
    assert found.event("pre_open", date(2026, 12, 24)) == at("2026-12-24T05:00")
    assert found.event("post_close", date(2026, 12, 23)) == at("2026-12-23T20:00")
    assert found.event("post_close", date(2026, 12, 24)) == at("2026-12-24T16:00")
    around = table(replace(NIGHT, pre_open="16:45", post_close="16:10"))
    assert around.event("pre_open", date(2026, 1, 6)) == at("2026-01-05T22:45")
    assert around.event("post_close", date(2026, 1, 6)) == at("2026-01-06T22:10")
    late = table(replace(DAY, pre_open="20:00", post_close="01:00"))
    assert late.event("pre_open", date(2026, 1, 6)) == at("2026-01-05T20:00")
    assert late.event("post_close", date(2026, 1, 6)) == at("2026-01-07T01:00")
    first = table(replace(DAY, post_close="20:00", early={date(2026, 1, 1): "12:00"}))
    assert first.event("post_close", date(2026, 1, 1)) == at("2026-01-01T20:00")


def test_a_base_lends_its_days_its_early_closes_and_its_hours() -> None:
    base = table(replace(DAY, early={date(2026, 12, 24): "12:30"}, closed=frozenset({FIRST})))
    plain = on_base(CalendarDefinition(name="own", base="desk"), base)
    assert list(plain.days) == list(base.days)
    assert hours(plain, "2026-12-24") == hours(base, "2026-12-24")
    own = on_base(
        CalendarDefinition(
            name="own", base="desk", zone="America/New_York", open="02:30", close="12:00"
        ),
        base,
    )
    assert own.calendar == "own"
    assert own.zone == "America/New_York"
    assert hours(own, "2026-01-05") == (at("2026-01-05T07:30"), at("2026-01-05T17:00"))
    early = own.session(date(2026, 12, 24))
    assert early is not None
    assert (early.close, early.early_close) == (at("2026-12-24T12:30"), True)
    breaks = on_base(
        CalendarDefinition(name="own", base="desk", breaks=(("10:00", "10:30"),)), base
    )
    assert len(breaks.break_indices) == len(breaks)


def test_a_base_that_opens_late_does_so_within_ones_own_hours() -> None:
    late = Overlay(calendar="desk", session=date(2026, 1, 5), open_time="13:00")
    base = corrected(table(DAY), [late])
    definition = CalendarDefinition(name="own", base="desk", open="07:00", close="17:00")
    session = on_base(definition, base).session(date(2026, 1, 5))
    assert session is not None
    assert (session.open, session.late_open) == (at("2026-01-05T13:00"), True)
    with pytest.raises(DefinitionError, match="its base has a late open that day"):
        on_base(replace(definition, close="12:00"), base)
    early = corrected(
        table(DAY), [Overlay(calendar="desk", session=date(2026, 1, 5), close_time="09:00")]
    )
    with pytest.raises(DefinitionError, match="its base has an early close that day"):
        on_base(replace(definition, open="10:00"), early)


def test_a_time_that_is_skipped_is_shifted_and_of_two_the_first_is_meant() -> None:
    clock = LocalTime("America/New_York")
    spring, autumn = to_day(date(2026, 3, 8)), to_day(date(2026, 11, 1))
    assert clock.instant_us(spring, 150) == to_us(at("2026-03-08T07:30"))
    assert clock.instant_us(autumn, 90) == to_us(at("2026-11-01T05:30"))
    assert clock.instant_us(autumn, 90) == LocalTime("America/New_York").instant_us(autumn, 90)


def test_a_table_without_named_events_stays_as_it_is() -> None:
    plain = weekmask_table(DAY, FIRST, LAST)
    assert with_events(plain, DAY) is plain
    assert list(plain.early_indices) == list(array("q"))
