"""What holds of every schedule, every table and every instant."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from doubles.schedules import schedules
from doubles.sessions import NAMES, LibraryTables, MadeTables, at, cut
from hypothesis import given
from hypothesis import strategies as st

from openbell.calendars.table import from_day
from openbell.schedule.parser import parse
from openbell.schedule.planner import Planner

pytestmark = pytest.mark.property

CALENDARS = (
    *("XNYS", "XLON", "XTKS", "XHKG", "XSHG", "CMES", "XASX", "XPAR", "XETR", "BVMF", "XTSE"),
    *("XKRX", "XJSE", "XSWX", "XMEX", "XNZE", "us_futures", "24/7"),
)
TABLES = LibraryTables()
PLANNER = Planner(TABLES)
START, END = at("2006-12-01"), at("2026-12-01")
MARGIN = timedelta(days=10)
FROM, TO = (datetime.fromisoformat(text) for text in ("2024-01-01", "2027-03-01"))
instants = st.datetimes(FROM, TO, timezones=st.just(UTC)).map(
    lambda instant: instant.replace(microsecond=0)
)


@pytest.mark.parametrize("calendar", CALENDARS)
def test_each_date_is_a_session_or_is_not(calendar: str) -> None:
    on = PLANNER.between(parse(f"{calendar} session at 12:00 UTC", NAMES), START, END)
    off = PLANNER.between(parse(f"not {calendar} session at 12:00 UTC", NAMES), START, END)
    both = sorted(fire.at for fire in (*on, *off))
    assert both == [START + timedelta(days=n, hours=12) for n in range((END - START).days)]


@pytest.mark.parametrize("calendar", CALENDARS)
def test_kinds_share_the_sessions_out(calendar: str) -> None:
    found = {
        kind: {
            fire.session
            for fire in PLANNER.between(parse(f"{calendar} {kind} open", NAMES), START, END)
        }
        for kind in ("every", "early_close", "late_open", "full")
    }
    assert found["full"] == found["every"] - found["early_close"] - found["late_open"]
    assert found["early_close"] | found["late_open"] <= found["every"]


@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize("period", ["week", "month", "quarter", "year"])
def test_each_period_has_one_last_session(calendar: str, period: str) -> None:
    days = [from_day(day) for day in TABLES.sessions(calendar).days]
    last: dict[object, date] = {}
    for day in days:
        key = {
            "week": day.isocalendar()[:2],
            "month": (day.year, day.month),
            "quarter": (day.year, (day.month - 1) // 3),
            "year": day.year,
        }[period]
        last[key] = day
    schedule = parse(f"{calendar} last session of {period} close", NAMES)
    found = [fire.session for fire in PLANNER.between(schedule, START - MARGIN, END + MARGIN)]
    wanted = [day for day in last.values() if START.date() <= day < END.date()]
    assert [day for day in found if day and START.date() <= day < END.date()] == wanted


@given(text=schedules(), start=instants, cuts=st.lists(st.integers(0, 90 * 86_400), max_size=6))
def test_fires_do_not_depend_on_how_time_is_cut(
    text: str, start: datetime, cuts: list[int]
) -> None:
    schedule = parse(text, NAMES)
    edges = [
        start,
        *(start + timedelta(seconds=s) for s in sorted(cuts)),
        start + timedelta(days=90),
    ]
    whole = list(PLANNER.between(schedule, edges[0], edges[-1]))
    pieces = [
        fire for low, high in pairwise(edges) for fire in PLANNER.between(schedule, low, high)
    ]
    assert pieces == whole
    assert [fire.at for fire in whole] == sorted(fire.at for fire in whole)
    assert len({fire.identity for fire in whole}) == len(whole)


@given(text=schedules(), start=instants)
def test_next_agrees_with_between(text: str, start: datetime) -> None:
    schedule = parse(text, NAMES)
    later = start + timedelta(days=40)
    whole = list(PLANNER.between(schedule, start + timedelta(microseconds=1), later))
    assert PLANNER.next(schedule, start, len(whole)) == whole
    stepped, now = [], start
    for _ in whole[:20]:
        (fire,) = PLANNER.next(schedule, now)
        stepped.append(fire)
        now = fire.at
    if len({fire.at for fire in whole}) == len(whole):
        assert stepped == whole[:20]


@given(text=schedules(), start=instants, last=st.dates(date(2024, 6, 1), date(2027, 6, 1)))
def test_knowing_more_days_changes_no_fire_that_was_known(
    text: str, start: datetime, last: date
) -> None:
    schedule = parse(text, NAMES)
    short = MadeTables(**{name: cut(TABLES.sessions(name), last) for name in schedule.calendars})
    end = start + timedelta(days=200)
    known = list(Planner(short).between(schedule, start, end))
    assert list(PLANNER.between(schedule, start, end))[: len(known)] == known


@given(text=schedules(), start=instants)
def test_predicates_only_take_away(text: str, start: datetime) -> None:
    schedule = parse(text, NAMES)
    end = start + timedelta(days=30)
    with_predicates = [fire.at for fire in PLANNER.between(schedule, start, end)]
    plain = parse(text.split(" & ", maxsplit=1)[0], NAMES)
    assert set(with_predicates) <= {fire.at for fire in PLANNER.between(plain, start, end)}
