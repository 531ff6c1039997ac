"""Where knowledge ends: states, and the week mask that may stand in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from openbell.calendars.horizon import extended, failed, status_of, unknown
from openbell.calendars.product import weekmask_table
from openbell.calendars.table import CalendarTable
from openbell.model.calendars import CalendarDefinition, CalendarRules

pytestmark = pytest.mark.unit

MUMBAI = CalendarDefinition(
    name="XBOM",
    zone="Europe/London",
    weekdays=(0, 1, 2, 3, 4),
    open="08:00",
    close="16:30",
    breaks=(("12:00", "12:30"),),
    early={date(2026, 12, 24): "11:00"},
)


def ending() -> CalendarTable:
    return replace(weekmask_table(MUMBAI, date(2026, 1, 1), date(2026, 12, 31)), is_bounded=True)


@pytest.mark.parametrize(
    ("today", "state", "left"),
    [
        (date(2026, 11, 1), "ready", 44),
        (date(2026, 12, 3), "ending", 20),
        (date(2026, 12, 31), "ending", 0),
        (date(2027, 6, 1), "ending", 0),
    ],
)
def test_a_calendar_is_ending_when_few_sessions_are_left(
    today: date, state: str, left: int
) -> None:
    found = status_of(ending(), CalendarRules(), today)
    assert (found.state, found.sessions_left) == (state, left)
    assert found.horizon == date(2026, 12, 31)


def test_a_calendar_that_can_be_built_further_is_ready() -> None:
    found = status_of(replace(ending(), is_bounded=False), CalendarRules(), date(2026, 12, 31))
    assert (found.state, found.sessions_left, found.policy) == ("ready", None, "block")


def test_one_that_failed_says_why() -> None:
    rules = CalendarRules(policies={"ASEX": "warn"})
    found = failed("ASEX", rules, "not today")
    assert (found.state, found.policy, found.reason) == ("failed", "warn", "not today")


def test_of_an_unknown_calendar_nothing_is_known() -> None:
    table = unknown("ASEX")
    assert (len(table), table.covers(date(1970, 1, 1), date(1970, 1, 1))) == (0, False)
    assert extended(table, date(2026, 1, 1)) is table


def test_a_week_mask_goes_on_at_the_usual_hours_in_the_zones_time() -> None:
    table = extended(ending(), date(2027, 12, 31))
    session = table.session(date(2027, 7, 1))
    assert session is not None
    assert session.open == datetime(2027, 7, 1, 7, tzinfo=UTC)
    assert session.close == datetime(2027, 7, 1, 15, 30, tzinfo=UTC)
    assert session.breaks[0].start == datetime(2027, 7, 1, 11, tzinfo=UTC)
    assert table.session(date(2027, 7, 3)) is None
    assert table.last_label == date(2027, 12, 31)
    before = ending()
    assert table.between(date(2026, 1, 1), date(2026, 12, 31)).opens_us == tuple(before.opens_us)
    assert extended(before, date(2026, 6, 1)) is before
