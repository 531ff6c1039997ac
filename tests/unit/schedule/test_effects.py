"""What becomes of fires when a calendar is corrected."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from doubles.sessions import MadeSessions, at, made

from openbell.calendars.names import CalendarCatalog
from openbell.calendars.table import to_day
from openbell.model.calendars import CalendarDefinition, CalendarRules
from openbell.schedule.effects import GivenTables, changed_fires, is_near
from openbell.schedule.parser import parse
from openbell.schedule.planner import Planner
from openbell.sdk.values import to_us

pytestmark = pytest.mark.unit

DAYS = [f"2026-11-{day:02}" for day in (2, 3, 4, 5, 6, 9, 10)]
NAMES = CalendarCatalog(
    CalendarRules(defined={"XTST": CalendarDefinition(name="XTST", zone="UTC")})
)
BEFORE = made(DAYS, first="2026-11-01", last="2026-11-30")
WITHOUT_THE_4TH = made(
    [day for day in DAYS if day != "2026-11-04"], first="2026-11-01", last="2026-11-30"
)


def closing_early(day: str) -> MadeSessions:
    place = BEFORE.days.index(to_day(date.fromisoformat(day)))
    closes = list(BEFORE.closes_us)
    closes[place] = to_us(at(f"{day}T13:00"))
    return MadeSessions(
        first_day=BEFORE.first_day,
        last_day=BEFORE.last_day,
        days=BEFORE.days,
        opens_us=BEFORE.opens_us,
        closes_us=closes,
        early_indices=[place],
    )


def changes(text: str, after: MadeSessions) -> list[tuple[datetime | None, datetime | None]]:
    schedule = parse(text, NAMES)
    planners = [Planner(GivenTables({"XTST": sessions})) for sessions in (BEFORE, after)]
    found = changed_fires(
        schedule, planners[0], planners[1], start=at("2026-11-01"), end=at("2026-12-01")
    )
    return [(was.at if was else None, now.at if now else None) for was, now in found]


def test_a_fire_moves_with_its_event() -> None:
    moved = changes("XTST close + 30m", closing_early("2026-11-05"))
    assert moved == [(at("2026-11-05T17:30"), at("2026-11-05T13:30"))]


def test_a_fire_of_a_kind_appears() -> None:
    moved = changes("XTST early_close close", closing_early("2026-11-05"))
    assert moved == [(None, at("2026-11-05T13:00"))]


def test_fires_of_a_day_that_is_gone_vanish() -> None:
    moved = changes("XTST every 4h in [open, close]", WITHOUT_THE_4TH)
    assert moved == [(at(f"2026-11-04T{hour}:00"), None) for hour in ("09", "13", "17")]


def test_a_rank_moves_fires_to_other_days() -> None:
    moved = changes("XTST 3rd session of month open", WITHOUT_THE_4TH)
    assert moved == [(at("2026-11-04T09:00"), None), (None, at("2026-11-05T09:00"))]


def test_what_does_not_look_at_the_day_does_not_change() -> None:
    assert changes("XTST open", closing_early("2026-11-05")) == []
    assert changes("every 1h", WITHOUT_THE_4TH) == []


def test_a_calendar_without_a_table_has_no_fires() -> None:
    schedule = parse("XTST open", NAMES)
    nowhere = Planner(GivenTables({}))
    start, end = at("2026-11-01"), at("2026-12-01")
    assert list(changed_fires(schedule, nowhere, nowhere, start=start, end=end)) == []


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("XTST close + 30m", True),
        ("XTST session at 09:00", True),
        ("XTST every 5m in [open, close]", True),
        ("XTST early_close close", True),
        ("not XTST session at 09:00", True),
        ("cron '0 7 * * *' UTC & XTST session", True),
        ("XTST last session of month close", False),
        ("XTST every 2nd session of month open", False),
        ("XTST session + 30 sessions open", False),
        ("XTST close + 20d", False),
    ],
)
def test_only_ranks_and_long_ways_reach_far(text: str, *, near: bool) -> None:
    assert is_near(parse(text, NAMES)) is near
