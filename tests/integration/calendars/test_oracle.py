"""Sessions of well-known exchanges against an independent library that keeps its own holidays."""

from __future__ import annotations

import warnings
from datetime import date

import pytest

from openbell.calendars.build import build
from openbell.calendars.snapshot import decode
from openbell.calendars.table import from_day

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pandas_market_calendars as oracle

pytestmark = pytest.mark.integration

FIRST, LAST = date(2015, 1, 1), date(2026, 12, 31)


@pytest.mark.filterwarnings("ignore")  # what the oracle uses is its own business
@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("XNYS", "NYSE"),
        ("XLON", "LSE"),
        ("XTKS", "JPX"),
        ("XTSE", "TSX"),
        ("XSWX", "SIX"),
        ("XOSL", "OSE"),
    ],
)
def test_twelve_years_of_sessions_are_those_of_another_library(name: str, theirs: str) -> None:
    table = decode(build(name, "2029-01-29"))
    schedule = oracle.get_calendar(theirs).schedule(str(FIRST), str(LAST))
    mine = {
        label: (session.open, session.close)
        for day in table.between(FIRST, LAST).labels_day
        if (session := table.session(label := from_day(day))) is not None
    }
    rows = zip(schedule.index, schedule["market_open"], schedule["market_close"], strict=True)
    assert mine == {
        label.date(): (opens.to_pydatetime(), closes.to_pydatetime())
        for label, opens, closes in rows
    }
