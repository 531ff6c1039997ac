"""What exchanges did and will do, and what another library says of it."""

from __future__ import annotations

import warnings
from datetime import date, datetime, timedelta

import pytest
from doubles.sessions import NAMES, LibraryTables, at

from openbell.calendars.table import from_day
from openbell.schedule.fires import Fire
from openbell.schedule.parser import parse
from openbell.schedule.planner import Planner

pytestmark = pytest.mark.property

TABLES = LibraryTables()
PLANNER = Planner(TABLES)
YEAR = (at("2026-01-01"), at("2027-01-01"))


def fires(text: str, span: tuple[datetime, datetime] = YEAR) -> list[Fire]:
    return list(PLANNER.between(parse(text, NAMES), *span))


def labels(text: str, span: tuple[datetime, datetime] = YEAR) -> list[str]:
    return [str(fire.session) for fire in fires(text, span)]


def test_new_york_has_249_whole_days_and_two_short_ones_in_2026() -> None:
    pairs = zip(fires("XNYS open"), fires("XNYS close"), strict=True)
    lengths = [close.at - start.at for start, close in pairs]
    assert lengths.count(timedelta(minutes=390)) == 249
    assert lengths.count(timedelta(minutes=210)) == 2
    short = fires("XNYS early_close close")
    assert [fire.at for fire in short] == [at("2026-11-27T18:00"), at("2026-12-24T18:00")]
    assert len(fires("XNYS full close")) == 249


def test_london_changes_its_clocks_a_week_before_new_york() -> None:
    closes = {str(fire.session): fire.at.strftime("%H:%M") for fire in fires("XNYS close")}
    assert (closes["2026-10-30"], closes["2026-11-02"]) == ("20:00", "21:00")
    opens = {str(fire.session): fire.at.strftime("%H:%M") for fire in fires("XLON open")}
    assert (opens["2026-10-23"], opens["2026-10-26"]) == ("07:00", "08:00")


def test_hong_kong_has_three_half_days_without_a_break() -> None:
    half = labels("XHKG early_close open")
    assert len(half) == 3
    assert set(labels("XHKG break_start - 5m")) == set(labels("XHKG open")) - set(half)
    assert labels("XHKG break_start") == labels("XHKG break_end")


def test_chicago_opens_on_the_evening_before_its_label() -> None:
    (fire,) = [fire for fire in fires("CMES open") if fire.session == date(2026, 3, 13)]
    assert fire.at == at("2026-03-12T22:00")


@pytest.mark.parametrize(
    "day",
    [
        *("2001-09-11", "2001-09-12", "2001-09-13", "2001-09-14"),
        *("2012-10-29", "2012-10-30", "2018-12-05", "2025-01-09"),
    ],
)
def test_new_york_was_closed(day: str) -> None:
    span = (at(day), at(day) + timedelta(days=1))
    assert labels("XNYS open", span) == []
    assert labels("not XNYS session at 12:00", span) == [day]


def test_the_third_friday_that_is_a_holiday_moves_to_the_session_before() -> None:
    span = (at("2019-04-01"), at("2019-05-01"))
    assert labels("XNYS 3rd friday of month close", span) == []
    assert labels("XNYS 3rd friday of month close shift prev", span) == ["2019-04-18"]
    assert labels("XNYS 3rd friday of month close shift next", span) == ["2019-04-22"]


def test_a_grid_ends_with_its_session() -> None:
    span = (at("2026-11-27"), at("2026-11-28"))
    found = fires("XNYS every 30m in [open, close]", span)
    assert [fire.index for fire in found] == list(range(8))
    assert (found[0].at, found[-1].at) == (at("2026-11-27T14:30"), at("2026-11-27T18:00"))
    assert len(fires("XNYS every 30m in (open, close)", span)) == 6


def test_the_session_after_is_the_next_one_that_trades() -> None:
    span = (at("2026-02-13T12:00"), at("2026-02-24"))
    (first, *_) = fires("XHKG session + 1 session open", span)
    assert (str(first.session), first.at) == ("2026-02-13", at("2026-02-16T01:30"))


def test_predicates_ask_another_exchange() -> None:
    joint = labels("XNYS open & XLON in_session")
    london = set(labels("XLON open"))
    assert set(joint) <= london & set(labels("XNYS open"))
    assert "2026-05-25" not in joint
    assert "2026-12-24" not in labels("XNYS close & not XLON early_close")
    assert labels("XTKS open & XTKS in_break") == []


@pytest.mark.parametrize("calendar", ["XNYS", "XLON", "XTKS", "XPAR", "XTSE", "XASX"])
def test_another_library_knows_the_same_sessions(calendar: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = pytest.importorskip("pandas_market_calendars")
        names = {"XNYS": "NYSE", "XLON": "LSE", "XTKS": "JPX", "XTSE": "TSX", "XASX": "ASX"}
        calendar_there = oracle.get_calendar(names.get(calendar, calendar))
        known = calendar_there.schedule("2015-01-01", "2026-10-31")
    wanted = [(stamp.date(), close.to_pydatetime()) for stamp, close in known.market_close.items()]
    span = (at("2015-01-01"), at("2026-11-01"))
    found = [(fire.session, fire.at) for fire in fires(f"{calendar} close", span)]
    assert sorted({day for day, _ in wanted} ^ {day for day, _ in found if day}) == []
    if calendar != "XASX":  # which closes ten minutes later there, after its auction
        assert found == wanted


def test_a_calendar_fires_to_its_horizon_and_says_where_it_is() -> None:
    schedule = parse("XSHG close", NAMES)
    assert PLANNER.horizon(schedule) == date(2026, 12, 31)
    assert PLANNER.next(schedule, at("2026-12-31T12:00")) == []
    assert PLANNER.horizon(parse("every 5m", NAMES)) is None
    assert from_day(TABLES.sessions("XSHG").last_day) == date(2026, 12, 31)
