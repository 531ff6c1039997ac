"""Cron against two libraries that know nothing of us, and through every change of the clocks."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from cronsim import CronSim
from doubles.schedules import CRONS
from doubles.sessions import NAMES, LibraryTables, at
from hypothesis import given
from hypothesis import strategies as st

from openbell.schedule.cron import CronError, read_cron
from openbell.schedule.cron_columns import plain_columns
from openbell.schedule.parser import parse
from openbell.schedule.planner import Planner

pytestmark = pytest.mark.property

PLANNER = Planner(LibraryTables())
SECOND = timedelta(seconds=1)
EPOCH = datetime.fromisoformat("1970-01-01")
ZONES = ("America/New_York", "Europe/London", "Australia/Lord_Howe", "Africa/Casablanca")
MOMENTS = st.datetimes(datetime.fromisoformat("2024-01-01"), datetime.fromisoformat("2030-01-01"))


@st.composite
def columns(draw: st.DrawFn, low: int, high: int, *extra: str) -> str:
    """One field of a cron expression."""
    a, b = sorted((draw(st.integers(low, high)), draw(st.integers(low, high))))
    step = draw(st.integers(1, high - low))
    forms = ("*", f"*/{step}", str(a), f"{a}-{b}", f"{a},{b}", f"{a}-{b}/{step}", *extra)
    return draw(st.sampled_from(forms))


crons = st.tuples(
    columns(0, 59),
    columns(0, 23),
    columns(1, 31, "L", "*", "*", "*"),
    columns(1, 12, "*", "*", "JAN-JUN"),
    columns(0, 6, "*", "*", "MON-FRI", "5#3", "2#5"),
).map(" ".join)


def ours(text: str, start: datetime, count: int) -> list[datetime]:
    start_s = (start - EPOCH) // SECOND + 1
    return [EPOCH + timedelta(seconds=s) for s in islice(read_cron(text).walls(start_s), count)]


def is_never(text: str) -> bool:
    try:
        read_cron(text)
    except CronError:
        return True
    return False


@given(text=crons, start=MOMENTS)
def test_wall_clocks_agree_with_cronsim(text: str, start: datetime) -> None:
    if is_never(text) or _is_read_otherwise(text):
        return
    start = start.replace(microsecond=0)
    oracle = CronSim(text, start)
    assert ours(text, start, 30) == list(islice(oracle, 30))


def _is_read_otherwise(text: str) -> bool:
    """Whether `*/1`, `1-31` or a full list of days counts as every day in one library only."""
    _, _, day, _, weekday = text.split()
    return (
        (day[0] == "*" and day != "*")
        or (weekday[0] == "*" and weekday != "*")
        or (day != "*" and weekday != "*")
    )


@given(text=crons | st.sampled_from(CRONS), start=MOMENTS)
def test_wall_clocks_agree_with_croniter(text: str, start: datetime) -> None:
    if is_never(text):
        return
    start = start.replace(microsecond=0)
    oracle = croniter(text, start)
    assert ours(text, start, 12) == [oracle.get_next(datetime) for _ in range(12)]


@given(text=crons | st.sampled_from(CRONS), seconds=st.sampled_from(("", " *", " */7", " 0,30")))
def test_plain_columns_are_what_croniter_reads(text: str, seconds: str) -> None:
    text += seconds if len(text.split()) == 5 else ""
    found = plain_columns(text)
    if found is not None:
        columns, nth = croniter.expand(text)
        assert found == columns
        assert nth == {}


@pytest.mark.parametrize(
    "text",
    [
        *("*/5 * * * *", "0-59 * * * *", "0 0 1-31 * 1", "0 0 1-31 * *", "0 0 * * 0-6"),
        *("0 0 1 * 0-6", "0 0 1 * 0,1,2,3-6", "07 08 09 01 05", "1-9/3,*/20 0 * 1-12 *"),
    ],
)
def test_plain_columns_agree_on_what_counts_as_all(text: str) -> None:
    assert plain_columns(text) == croniter.expand(text)[0]


@pytest.mark.parametrize(
    "text",
    [
        *("60 * * * *", "0 0 0 * *", "*/0 * * * *", "5-5 * * * *", "9-1 * * * *", "0 0 * * 7"),
        *("0 0 L * *", "0 0 * JAN *", "5/10 * * * *", "*,5 * * * *", "? * * * *", "100 * * * *"),
    ],
)
def test_what_is_not_plain_is_left_to_croniter(text: str) -> None:
    assert plain_columns(text) is None


CHANGES = ("2026-03-07", "2026-03-28", "2026-04-04", "2026-10-03", "2026-10-24", "2026-10-31")


@given(text=crons, zone=st.sampled_from(ZONES), day=st.sampled_from(CHANGES))
def test_policies_differ_only_where_clocks_change(text: str, zone: str, day: str) -> None:
    if is_never(text):
        return
    low, high = at(day), at(day) + timedelta(days=2)
    found: list[set[datetime]] = []
    for policy in ("missing shift", "missing skip", "duplicate last", "duplicate both"):
        schedule = parse(f"cron '{text}' {zone} {policy}", NAMES)
        times = [fire.at for fire in PLANNER.between(schedule, low, high)]
        assert times == sorted(set(times))
        found.append(set(times))
    shift, skip, late, both = found
    assert skip <= shift <= both
    assert late <= both
    fields = read_cron(text)
    for instant in both - (shift - skip):
        wall_s = (instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None) - EPOCH) // SECOND
        assert next(fields.walls(wall_s)) == wall_s


@pytest.mark.parametrize(
    ("schedule", "after", "wanted"),
    [
        (
            "cron '30 2 * * *' America/New_York",
            "2026-03-08T00:00",
            ["2026-03-08T07:30", "2026-03-09T06:30"],
        ),
        (
            "cron '30 2 * * *' America/New_York missing skip",
            "2026-03-08T00:00",
            ["2026-03-09T06:30"],
        ),
        (
            "cron '30 1 * * *' America/New_York",
            "2026-11-01T00:00",
            ["2026-11-01T05:30", "2026-11-02T06:30"],
        ),
        (
            "cron '30 1 * * *' America/New_York duplicate last",
            "2026-11-01T00:00",
            ["2026-11-01T06:30", "2026-11-02T06:30"],
        ),
        (
            "cron '30 1 * * *' America/New_York duplicate both",
            "2026-11-01T00:00",
            ["2026-11-01T05:30", "2026-11-01T06:30"],
        ),
        (
            "cron '0,30 2,3 * * *' America/New_York",
            "2026-03-08T00:00",
            ["2026-03-08T07:00", "2026-03-08T07:30", "2026-03-09T06:00"],
        ),
        (
            "cron '45 1 * * *' Australia/Lord_Howe duplicate both",
            "2026-04-04T00:00",
            ["2026-04-04T14:45", "2026-04-04T15:15"],
        ),
        (
            "cron '0 9 * * *' Pacific/Apia",
            "2011-12-29T00:00",
            ["2011-12-29T19:00", "2011-12-30T19:00", "2011-12-31T19:00"],
        ),
    ],
)
def test_when_clocks_change(schedule: str, after: str, wanted: list[str]) -> None:
    fires = PLANNER.next(parse(schedule, NAMES), at(after), len(wanted))
    assert [fire.at for fire in fires] == [at(text) for text in wanted]
