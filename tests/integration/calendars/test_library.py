"""Snapshots of the real calendars, on disk, against known facts and the library itself."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import exchange_calendars
import pytest

from openbell.calendars.build import build, build_weekmask, library_version
from openbell.calendars.names import KNOWN, CalendarCatalog, UnknownCalendarError, canonical
from openbell.calendars.overlays import OverlayError
from openbell.calendars.snapshot import SnapshotError, decode
from openbell.calendars.store import SessionStore
from openbell.calendars.table import CalendarTable, from_day
from openbell.model.calendars import CalendarDefinition, CalendarRules, NamedEvent, Overlay

pytestmark = pytest.mark.integration

TODAY = date(2026, 11, 21)
THROUGH = "2029-01-29"


@pytest.fixture(scope="module")
def snapshots() -> dict[str, bytes]:
    return {name: build(name, THROUGH) for name in ("XNYS", "XLON", "XHKG", "CMES", "XBOM")}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def year_2026(table: CalendarTable) -> Counter[int]:
    found = table.between(date(2026, 1, 1), date(2026, 12, 31))
    pairs = zip(found.opens_us, found.closes_us, strict=True)
    return Counter((closes - opens) // 60_000_000 for opens, closes in pairs)


def closes(table: CalendarTable, label: str) -> datetime:
    session = table.session(date.fromisoformat(label))
    assert session is not None
    return session.close


def test_new_york_2026_has_249_whole_sessions_and_2_half_ones(snapshots: dict[str, bytes]) -> None:
    table = decode(snapshots["XNYS"])
    assert year_2026(table) == {390: 249, 210: 2}
    for half in ("2026-11-27", "2026-12-24"):
        assert closes(table, half) == utc(f"{half}T18:00")
    assert closes(table, "2026-10-30") == utc("2026-10-30T20:00")
    assert closes(table, "2026-11-02") == utc("2026-11-02T21:00")


def test_new_york_was_closed_when_it_was(snapshots: dict[str, bytes]) -> None:
    table = decode(snapshots["XNYS"])
    for day in (
        *("2001-09-11", "2001-09-12", "2001-09-13", "2001-09-14"),
        *("2012-10-29", "2012-10-30", "2018-12-05", "2025-01-09"),
    ):
        assert table.session(date.fromisoformat(day)) is None


def test_london_changes_clocks_a_week_before_new_york(snapshots: dict[str, bytes]) -> None:
    table = decode(snapshots["XLON"])
    assert closes(table, "2026-10-23") == utc("2026-10-23T15:30")
    assert closes(table, "2026-10-26") == utc("2026-10-26T16:30")


def test_hong_kong_2026_has_three_days_without_an_afternoon(snapshots: dict[str, bytes]) -> None:
    found = decode(snapshots["XHKG"]).between(date(2026, 1, 1), date(2026, 12, 31))
    assert len(found) - len(found.breaks) == 3


def test_a_chicago_session_opens_on_the_evening_before(snapshots: dict[str, bytes]) -> None:
    session = decode(snapshots["CMES"]).session(date(2026, 3, 13))
    assert session is not None
    assert session.open == utc("2026-03-12T22:00")


def test_a_calendar_that_the_library_ends_says_so(snapshots: dict[str, bytes]) -> None:
    table = decode(snapshots["XBOM"])
    assert table.is_bounded
    assert table.last_label == date(2026, 12, 31)
    assert not decode(snapshots["XNYS"]).is_bounded


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pandas, about the library
@pytest.mark.parametrize("name", ["XHKG", "XLON"])
def test_a_snapshot_says_what_the_library_says(snapshots: dict[str, bytes], name: str) -> None:
    table = decode(snapshots[name])
    schedule = exchange_calendars.get_calendar(name, start="1990-01-01", end=THROUGH).schedule
    assert len(table) == len(schedule)
    for label in ("1997-07-02", "2008-02-06", "2020-12-24", "2026-06-30"):
        session = table.session(date.fromisoformat(label))
        if label not in schedule.index:
            assert session is None
            continue
        assert session is not None
        row = schedule.loc[label]
        assert (session.open, session.close) == (row["open"], row["close"])


def test_the_names_are_the_librarys() -> None:
    assert set(KNOWN) == set(exchange_calendars.get_calendar_names(include_aliases=False))


def test_aliases_of_the_library_mean_the_same_here() -> None:
    known = set(KNOWN)
    for alias in set(exchange_calendars.get_calendar_names(include_aliases=True)) - known:
        assert canonical(alias) == exchange_calendars.resolve_alias(alias)


def test_a_table_is_asked_for_once_and_read_from_disk_after(
    tmp_path: Path, snapshots: dict[str, bytes]
) -> None:
    store = SessionStore(tmp_path)
    assert store.table("NYSE", today=TODAY) is None
    saved = store.save(snapshots["XNYS"], today=TODAY)
    assert store.table("XNYS", today=TODAY) is saved
    again = SessionStore(tmp_path).table("nyse", today=TODAY)
    assert again is not None
    assert again.digest == saved.digest
    assert [path.name for path in tmp_path.iterdir()] == ["XNYS.sessions"]


def test_the_calendar_that_is_always_open_needs_no_worker(tmp_path: Path) -> None:
    store = SessionStore(tmp_path)
    table = store.table("24/7", today=TODAY)
    assert table is not None
    assert table.covers(date(1970, 1, 1), date(2029, 1, 29))
    later = store.table("24/7", today=date(2027, 12, 1))
    assert later is not None
    assert later.covers(date(1970, 1, 1), date(2030, 2, 8))


def test_a_snapshot_that_ends_soon_is_built_again_unless_the_library_knows_no_more(
    tmp_path: Path, snapshots: dict[str, bytes]
) -> None:
    store = SessionStore(tmp_path)
    store.save(snapshots["XNYS"], today=TODAY)
    store.save(snapshots["XBOM"], today=TODAY)
    later = date(2027, 12, 1)
    assert store.table("XNYS", today=later) is None
    assert SessionStore(tmp_path).table("XNYS", today=later) is None
    assert store.table("XBOM", today=later) is not None
    assert store.wanted_through(later) == date(2030, 2, 8)


@pytest.mark.parametrize("content", [b"", b"garbage", b'{"format": 1}\n'])
def test_a_damaged_snapshot_is_built_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "XNYS.sessions").write_bytes(content)
    assert SessionStore(tmp_path).table("XNYS", today=TODAY) is None
    with pytest.raises(SnapshotError):
        SessionStore(tmp_path).save(content, today=TODAY)


def test_a_snapshot_of_another_library_is_built_again(
    tmp_path: Path, snapshots: dict[str, bytes]
) -> None:
    SessionStore(tmp_path).save(snapshots["XNYS"], today=TODAY)
    other = SessionStore(tmp_path, library="exchange_calendars 99")
    assert other.table("XNYS", today=TODAY) is None
    assert SessionStore(tmp_path, library=library_version()).table("XNYS", today=TODAY) is not None


def test_a_snapshot_under_another_calendars_name_is_not_believed(
    tmp_path: Path, snapshots: dict[str, bytes]
) -> None:
    (tmp_path / "XNYS.sessions").write_bytes(snapshots["XLON"])
    assert SessionStore(tmp_path).table("XNYS", today=TODAY) is None


def test_overlays_are_applied_on_reading_and_can_be_replaced(
    tmp_path: Path, snapshots: dict[str, bytes]
) -> None:
    closed = Overlay(calendar="XNYS", session=date(2026, 12, 1), closed=True)
    store = SessionStore(tmp_path, overlays=[closed])
    assert store.save(snapshots["XNYS"], today=TODAY).session(date(2026, 12, 1)) is None
    store.use(store.rules, [])
    table = store.table("XNYS", today=TODAY)
    assert table is not None
    assert table.session(date(2026, 12, 1)) is not None
    wrong = Overlay(calendar="XNYS", session=date(2026, 12, 1), close_time="05:00")
    with pytest.raises(OverlayError):
        store.use(store.rules, [wrong])
    assert store.table("XNYS", today=TODAY) is table


def test_the_control_planes_part_imports_no_heavy_library() -> None:
    code = (
        "import sys, openbell.calendars.store, openbell.config.load\n"
        "print(sorted({'pandas', 'numpy', 'exchange_calendars', 'pyarrow', 'pydantic_settings'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_early_closes_and_breaks_are_marked(snapshots: dict[str, bytes]) -> None:
    new_york = decode(snapshots["XNYS"])
    early = [
        label
        for label in ("2026-11-25", "2026-11-27", "2026-12-24")
        if (found := new_york.session(date.fromisoformat(label))) and found.early_close
    ]
    assert early == ["2026-11-27", "2026-12-24"]
    table = decode(snapshots["XHKG"])
    days = (day for day in table.between(date(2026, 1, 1), date(2026, 12, 31)).labels_day)
    halves = [s for day in days if (s := table.session(from_day(day))) and s.early_close]
    assert len(halves) == 3
    assert all(session.breaks == () for session in halves)


def test_late_opens_are_marked() -> None:
    table = decode(build("BVMF", THROUGH))
    assert len(table.late_indices) > 5
    assert len(table.early_indices) == 0


FAILING = ("ASEX", "XBEL", "XBSE", "XCYS", "XTAE")


@pytest.mark.parametrize("name", FAILING)
def test_what_cannot_be_built_has_its_weekdays_and_hours(name: str) -> None:
    with pytest.raises(Exception, match=r"implemented by subclasses|are not sessions"):
        build(name, THROUGH)
    table = decode(build_weekmask(name, THROUGH))
    session = table.session(date(2026, 7, 1))
    assert session is not None
    assert (table.library, table.last_label) == (library_version(), date(2029, 1, 29))
    assert table.session(date(2026, 7, 4)) is None


def test_every_other_calendar_is_built_in_order() -> None:
    built_in = {"24/7", "24/5"}
    for name in sorted(set(KNOWN) - built_in - set(FAILING)):
        table = decode(build(name, THROUGH))
        assert table.is_bounded == (name in {"XBOM", "XSES", "XSHG"}), name
        assert table.last_label == (date(2026, 12, 31) if table.is_bounded else date(2029, 1, 29))
        assert list(table.days) == sorted(set(table.days)), name
        pairs = zip(table.opens_us, table.closes_us, strict=True)
        assert all(opens < closes for opens, closes in pairs), name
        follow = zip(table.closes_us, table.opens_us[1:], strict=False)
        assert all(closes <= opens for closes, opens in follow), name


def test_a_snapshot_of_the_first_format_is_built_again(
    tmp_path: Path, snapshots: dict[str, bytes]
) -> None:
    old = snapshots["XNYS"].replace(b'"format": 2', b'"format": 1')
    (tmp_path / "XNYS.sessions").write_bytes(old)
    assert SessionStore(tmp_path).table("XNYS", today=TODAY) is None


def test_a_calendar_over_a_base_needs_the_bases_snapshot(
    tmp_path: Path, snapshots: dict[str, bytes]
) -> None:
    settle = NamedEvent(at="15:00", early="12:00")
    definition = CalendarDefinition(name="CME_Equity", base="CMES", events={"settle": settle})
    rules = CalendarRules(defined={"CME_Equity": definition})
    store = SessionStore(tmp_path, rules=rules)
    assert store.source("cme_equity") == "CMES"
    assert store.table("CME_Equity", today=TODAY) is None
    store.save(snapshots["CMES"], today=TODAY)
    table = store.table("CME_Equity", today=TODAY)
    assert table is not None
    assert store.sessions("CME_Equity") is table
    assert table.event("settle", date(2026, 3, 13)) == utc("2026-03-13T20:00")
    assert CalendarCatalog(rules).events("cme_equity") == ["settle"]
    assert CalendarCatalog(rules).events("XNYS") == ()
    store.use(CalendarRules(), [])
    with pytest.raises(UnknownCalendarError):
        store.table("CME_Equity", today=TODAY)
