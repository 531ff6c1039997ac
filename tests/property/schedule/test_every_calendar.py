"""Every session of every calendar fires exactly once per expression, through every change of clocks.

All calendars are tried, each with some of the expressions, other ones for each; with
HYPOTHESIS_PROFILE=long each with all of them.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from doubles.effort import is_long
from doubles.sessions import NAMES, LibraryTables, MadeTables, at

from openbell.calendars.build import build
from openbell.calendars.names import ALWAYS, FX, KNOWN
from openbell.calendars.product import weekmask_table
from openbell.calendars.store import _CURRENCIES
from openbell.calendars.table import CalendarTable, from_day
from openbell.schedule.parser import parse
from openbell.schedule.planner import Planner

pytestmark = pytest.mark.property

UNBUILDABLE = ("ASEX", "XBEL", "XBSE", "XCYS", "XTAE")
BUILDABLE = [name for name in KNOWN if name not in UNBUILDABLE]
EXPRESSIONS = (
    *("open", "close + 30m", "close - 45m", "close + 50h", "open - 30h"),
    *("session at 02:30", "session at 01:30 America/New_York", "session at 01:00 Europe/London"),
    *("session at 02:15 Australia/Lord_Howe", "session at 23:59:59", "open + 1 session"),
    *("close - 2 sessions", "session + 3 sessions close + 10m", "session - 1 session at 00:30"),
)
EACH = len(EXPRESSIONS) if is_long() else 2
START, END = at("2006-12-01"), at("2026-12-01")
MARGIN = timedelta(days=20)
TABLES = LibraryTables()


def table_of(calendar: str) -> CalendarTable:
    if calendar == FX:
        return weekmask_table(_CURRENCIES, date(1990, 1, 1), date(2027, 12, 31))
    found = TABLES.sessions(calendar)
    assert isinstance(found, CalendarTable)
    return found


def tried(place: int) -> list[str]:
    """Return the expressions for the calendar at a place: together all of them, many times."""
    return [EXPRESSIONS[(place * 3 + n * 5) % len(EXPRESSIONS)] for n in range(EACH)]


@pytest.mark.parametrize(("place", "calendar"), list(enumerate(BUILDABLE)), ids=BUILDABLE)
def test_every_session_of_every_calendar_fires_once(place: int, calendar: str) -> None:
    table = table_of(calendar)
    planner = Planner(MadeTables(**{calendar: table}))
    days = [from_day(day) for day in table.days]
    first = max(START.date(), table.first_label + MARGIN)  # two calendars begin later
    last = min(END.date(), table.last_label)
    wanted = [day for day in days if first <= day < last]
    for rest in dict.fromkeys(tried(place)):
        schedule = parse(f"{calendar} {rest}", NAMES)
        fires = list(planner.between(schedule, START - MARGIN, END + MARGIN))
        assert [fire.at for fire in fires] == sorted(fire.at for fire in fires)
        assert len({fire.identity for fire in fires}) == len(fires)
        found = [fire.session for fire in fires if fire.session is not None]
        assert sorted(day for day in found if first <= day < last) == wanted, rest


@pytest.mark.parametrize("calendar", BUILDABLE)
def test_years_cut_at_every_change_of_clocks_are_whole(calendar: str) -> None:
    table = table_of(calendar)
    planner = Planner(MadeTables(**{calendar: table}))
    edges = [at("2024-01-01"), *_changes(ZoneInfo(table.zone)), at("2026-06-01")]
    for rest in ("close + 30m", "session at 02:30"):
        schedule = parse(f"{calendar} {rest}", NAMES)
        pieces = [f for low, high in pairwise(edges) for f in planner.between(schedule, low, high)]
        assert pieces == list(planner.between(schedule, edges[0], edges[-1]))


@pytest.mark.parametrize("calendar", UNBUILDABLE)
def test_calendars_that_cannot_be_built_are_known(calendar: str) -> None:
    with pytest.raises((ValueError, NotImplementedError)):
        build(calendar, "2027-12-31")


def test_the_calendars_that_are_always_open_are_among_them() -> None:
    assert {ALWAYS, FX} < set(BUILDABLE)
    assert len(BUILDABLE) > 60


def _changes(zone: ZoneInfo) -> list[datetime]:
    """Return the hours at which a zone's offset changes, from 2024 to the middle of 2026."""
    found: list[datetime] = []
    day = at("2024-01-01")
    while day < at("2026-06-01"):
        following = day + timedelta(days=1)
        if day.astimezone(zone).utcoffset() != following.astimezone(zone).utcoffset():
            hours = (day + timedelta(hours=n) for n in range(25))
            found += [
                hour
                for hour in hours
                if hour.astimezone(zone).utcoffset()
                != (hour - timedelta(hours=1)).astimezone(zone).utcoffset()
            ]
        day = following
    return sorted({hour.astimezone(UTC) for hour in found})
