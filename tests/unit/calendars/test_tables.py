"""Session tables: searching, slicing, correcting, storing."""

from __future__ import annotations

import json
import sys
from array import array
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from openbell.calendars.names import ALIASES, KNOWN, UnknownCalendarError, canonical
from openbell.calendars.overlays import OverlayError, corrected
from openbell.calendars.snapshot import SnapshotError, decode, encode
from openbell.calendars.table import CalendarTable, always_open, sealed, to_day
from openbell.model.calendars import Overlay
from openbell.sdk.values import Interval, to_us

pytestmark = pytest.mark.unit


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def hong_kong() -> CalendarTable:
    """Three days of XHKG: a whole one, a half one, and one after a holiday."""
    sessions = [
        ("2026-02-13", "01:30", "08:00", True),
        ("2026-02-16", "01:30", "04:00", False),
        ("2026-02-20", "01:30", "08:00", True),
    ]
    breaks = [
        (index, to_us(at(f"{day}T04:00")), to_us(at(f"{day}T05:00")))
        for index, (day, _, _, has_break) in enumerate(sessions)
        if has_break
    ]
    return sealed(
        CalendarTable(
            calendar="XHKG",
            zone="Asia/Hong_Kong",
            library="test 1",
            first_day=to_day(date(2026, 2, 1)),
            last_day=to_day(date(2026, 2, 28)),
            is_bounded=False,
            days=array("q", (to_day(date.fromisoformat(day)) for day, *_ in sessions)),
            opens_us=array("q", (to_us(at(f"{day}T{opens}")) for day, opens, *_ in sessions)),
            closes_us=array("q", (to_us(at(f"{day}T{closes}")) for day, _, closes, _ in sessions)),
            break_indices=array("q", (one[0] for one in breaks)),
            break_starts_us=array("q", (one[1] for one in breaks)),
            break_ends_us=array("q", (one[2] for one in breaks)),
        )
    )


def test_a_slice_holds_the_sessions_of_its_days_with_their_breaks() -> None:
    found = hong_kong().between(date(2026, 2, 16), date(2026, 2, 20))
    assert found.labels_day == (to_day(date(2026, 2, 16)), to_day(date(2026, 2, 20)))
    assert found.opens_us == (to_us(at("2026-02-16T01:30")), to_us(at("2026-02-20T01:30")))
    assert found.breaks == ((1, to_us(at("2026-02-20T04:00")), to_us(at("2026-02-20T05:00"))),)
    assert found.digest == hong_kong().digest
    assert found.calendar == "XHKG"


def test_a_slice_without_sessions_is_empty() -> None:
    assert len(hong_kong().between(date(2026, 2, 17), date(2026, 2, 19))) == 0
    assert len(hong_kong().between(date(2026, 3, 1), date(2026, 1, 1))) == 0


def test_a_span_of_time_finds_the_sessions_it_touches() -> None:
    table = hong_kong()
    touching = table.overlapping(Interval(at("2026-02-13T07:59"), at("2026-02-16T01:30")))
    assert touching.labels_day == (to_day(date(2026, 2, 13)),)
    reaching = Interval(at("2026-02-13T08:00"), at("2026-02-16T01:31"))
    assert table.overlapping(reaching).labels_day == (to_day(date(2026, 2, 16)),)


def test_a_session_contains_its_open_its_break_and_not_its_close() -> None:
    table = hong_kong()
    for instant in ("2026-02-13T01:30", "2026-02-13T04:30", "2026-02-13T07:59:59"):
        found = table.containing(at(instant))
        assert found is not None
        assert found.label == date(2026, 2, 13)
    for instant in ("2026-02-13T01:29:59", "2026-02-13T08:00", "2026-02-01T00:00"):
        assert table.containing(at(instant)) is None


def test_neighbours_are_found_by_label_and_by_instant() -> None:
    table = hong_kong()
    following = table.next(date(2026, 2, 13))
    before = table.previous(date(2026, 2, 20))
    opening = table.next_open(at("2026-02-13T01:30"))
    closed = table.last_closed(at("2026-02-20T07:59"))
    for found in (following, before, opening, closed):
        assert found is not None
        assert found.label == date(2026, 2, 16)
        assert found.close == at("2026-02-16T04:00")
    assert table.next(date(2026, 2, 20)) is None
    assert table.previous(date(2026, 2, 13)) is None
    assert table.next_open(at("2026-02-20T01:30")) is None
    assert table.last_closed(at("2026-02-13T07:59")) is None


def test_a_label_is_a_session_or_none() -> None:
    found = hong_kong().session(date(2026, 2, 13))
    assert found is not None
    assert found.breaks == (Interval(at("2026-02-13T04:00"), at("2026-02-13T05:00")),)
    assert hong_kong().session(date(2026, 2, 17)) is None
    assert hong_kong().session(date(2026, 2, 25)) is None


def test_knowledge_has_ends() -> None:
    table = hong_kong()
    assert (table.first_label, table.last_label) == (date(2026, 2, 1), date(2026, 2, 28))
    assert table.covers(date(2026, 2, 1), date(2026, 2, 28))
    assert not table.covers(date(2026, 1, 31), date(2026, 2, 2))
    assert not table.covers(date(2026, 2, 2), date(2026, 3, 1))


def test_the_calendar_that_is_always_open_has_a_session_each_utc_day() -> None:
    table = always_open("24/7", date(2026, 1, 1), date(2026, 12, 31))
    assert len(table) == 365
    found = table.containing(at("2026-07-04T23:59:59"))
    assert found is not None
    assert (found.open, found.close) == (at("2026-07-04T00:00"), at("2026-07-05T00:00"))


def overlay(**what: object) -> Overlay:
    return Overlay(calendar="XHKG", session=date(2026, 2, 13), **what)  # type: ignore[arg-type]  # varies


def test_a_closed_day_is_gone_and_its_neighbours_keep_their_breaks() -> None:
    table = corrected(hong_kong(), [overlay(closed=True)])
    assert table.session(date(2026, 2, 13)) is None
    last = table.session(date(2026, 2, 20))
    assert last is not None
    assert len(last.breaks) == 1
    assert table.digest != hong_kong().digest


def test_an_early_close_takes_away_the_break_that_it_cuts() -> None:
    table = corrected(hong_kong(), [overlay(close_time="12:00")])
    found = table.session(date(2026, 2, 13))
    assert found is not None
    assert (found.open, found.close) == (at("2026-02-13T01:30"), at("2026-02-13T04:00"))
    assert found.breaks == ()


def test_a_late_open_keeps_the_break_after_it() -> None:
    table = corrected(hong_kong(), [overlay(open_time="11:00")])
    found = table.session(date(2026, 2, 13))
    assert found is not None
    assert found.open == at("2026-02-13T03:00")
    assert len(found.breaks) == 1


def test_hours_on_a_day_without_session_add_one() -> None:
    extra = Overlay(
        calendar="XHKG", session=date(2026, 2, 14), open_time="10:00", close_time="11:00"
    )
    found = corrected(hong_kong(), [extra]).session(date(2026, 2, 14))
    assert found is not None
    assert (found.open, found.close) == (at("2026-02-14T02:00"), at("2026-02-14T03:00"))


def test_a_session_that_opens_the_evening_before_keeps_its_days() -> None:
    table = always_open("24/7", date(2026, 3, 12), date(2026, 3, 13))
    evening = sealed(
        replace(
            table,
            calendar="CMES",
            zone="America/Chicago",
            days=array("q", [to_day(date(2026, 3, 13))]),
            opens_us=array("q", [to_us(at("2026-03-12T22:00"))]),
            closes_us=array("q", [to_us(at("2026-03-13T21:00"))]),
        )
    )
    late = Overlay(
        calendar="CMES", session=date(2026, 3, 13), open_time="18:00", close_time="12:00"
    )
    found = corrected(evening, [late]).session(date(2026, 3, 13))
    assert found is not None
    assert (found.open, found.close) == (at("2026-03-12T23:00"), at("2026-03-13T17:00"))


def test_overlays_of_other_calendars_change_nothing() -> None:
    table = hong_kong()
    assert corrected(table, [Overlay(calendar="XNYS", session=date(2026, 2, 13), closed=True)]) is (
        table
    )


def test_closing_a_day_that_is_closed_changes_nothing() -> None:
    closed = Overlay(calendar="XHKG", session=date(2026, 2, 14), closed=True)
    assert corrected(hong_kong(), [closed]).digest == hong_kong().digest


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (overlay(close_time="09:00"), "closes before that"),
        (
            Overlay(calendar="XHKG", session=date(2026, 2, 14), close_time="12:00"),
            "there is no session; give open and close to add one",
        ),
    ],
)
def test_hours_that_make_no_session_are_refused(wrong: Overlay, message: str) -> None:
    with pytest.raises(OverlayError, match=message) as caught:
        corrected(hong_kong(), [wrong])
    assert caught.value.overlay is wrong


def test_a_snapshot_is_read_as_it_was_written() -> None:
    table = decode(encode(hong_kong()))
    assert encode(table) == encode(hong_kong())
    assert table.session(date(2026, 2, 20)) == hong_kong().session(date(2026, 2, 20))


def test_a_snapshot_is_the_same_on_machines_of_either_byte_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = encode(hong_kong())
    swapped = decode(content)
    for column in (swapped.days, swapped.opens_us, swapped.closes_us):
        column.byteswap()
    for column in (swapped.break_indices, swapped.break_starts_us, swapped.break_ends_us):
        column.byteswap()
    monkeypatch.setattr(sys, "byteorder", "big")
    assert encode(swapped) == content


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"{}\n",
        lambda content: b"not json\n" + content,
        lambda content: content[:-8],
        lambda content: content + b"x",
        lambda content: content.replace(b'"format": 2', b'"format": 9'),
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: content.replace(b'"lengths": [3', b'"lengths": [-3'),
        lambda content: content.split(b"\n")[0],
    ],
)
def test_a_damaged_snapshot_is_refused(damage: object) -> None:
    with pytest.raises(SnapshotError):
        decode(damage(encode(hong_kong())))  # type: ignore[operator]  # a lambda each


def test_a_snapshot_is_compact() -> None:
    table = always_open("24/7", date(1990, 1, 1), date(2027, 12, 31))
    assert len(encode(table)) < 25 * len(table)
    assert json.loads(encode(table).split(b"\n")[0])["calendar"] == "24/7"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("XNYS", "XNYS"),
        ("nyse", "XNYS"),
        ("NASDAQ", "XNYS"),
        ("LSE", "XLON"),
        ("xlon", "XLON"),
        ("CME", "CMES"),
        ("crypto", "24/7"),
        ("US_FUTURES", "us_futures"),
    ],
)
def test_calendars_are_found_by_the_names_people_use(name: str, meant: str) -> None:
    assert canonical(name) == meant


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("XNYX", "did you mean 'XNYS'?"),
        ("NYSEE", "did you mean 'NYSE'?"),
        ("q", "`mdp calendar list` shows all; a configuration defines more under calendars.define"),
    ],
)
def test_an_unknown_calendar_suggests_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(UnknownCalendarError) as caught:
        canonical(name)
    assert caught.value.hint == hint
    assert str(caught.value).startswith(f"calendar {name!r} is unknown")


def test_every_alias_means_a_calendar() -> None:
    assert set(ALIASES.values()) <= set(KNOWN)
    assert all(alias == alias.upper() for alias in ALIASES)


def test_sessions_that_would_overlap_are_refused() -> None:
    table = always_open("24/7", date(2026, 3, 12), date(2026, 3, 14))
    gap = corrected(table, [Overlay(calendar="24/7", session=date(2026, 3, 13), closed=True)])
    evening = sealed(
        replace(gap, opens_us=array("q", [gap.opens_us[0], to_us(at("2026-03-13T20:00"))]))
    )
    late = Overlay(
        calendar="24/7", session=date(2026, 3, 13), open_time="10:00", close_time="21:00"
    )
    with pytest.raises(OverlayError, match="would overlap the session of 2026-03-14"):
        corrected(evening, [late])
    early = replace(late, close_time="20:00")
    assert len(corrected(evening, [early])) == 3


def test_an_event_is_none_for_days_without_it() -> None:
    none = array("q")
    table = replace(hong_kong(), events={"fix": (none, none)})
    assert table.event("fix", date(2026, 2, 13)) is None
    assert table.event("fix", date(2026, 2, 25)) is None
    assert table.left_after(date(2026, 2, 16)) == 1


def test_marks_go_with_their_sessions() -> None:
    both = replace(hong_kong(), early_indices=array("q", [1]), late_indices=array("q", [2]))
    table = corrected(both, [overlay(closed=True)])
    half, last = table.session(date(2026, 2, 16)), table.session(date(2026, 2, 20))
    assert half is not None
    assert last is not None
    assert (half.early_close, half.late_open) == (True, False)
    assert (last.early_close, last.late_open) == (False, True)


def test_later_hours_are_no_early_close() -> None:
    half = Overlay(calendar="XHKG", session=date(2026, 2, 16), close_time="16:00")
    marked = replace(hong_kong(), early_indices=array("q", [1]))
    found = corrected(marked, [half]).session(date(2026, 2, 16))
    assert found is not None
    assert not found.early_close
