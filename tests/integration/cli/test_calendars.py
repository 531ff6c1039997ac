"""`mdp calendar ...`, with a daemon and without."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from doubles.command import mdp, mdp_beside
from doubles.serving import Served

from openbell.calendars.build import build
from openbell.calendars.store import SessionStore
from openbell.cli.errors import CliError
from openbell.cli.month import drawn, month_of
from openbell.sdk.clock import SystemClock

pytestmark = pytest.mark.integration


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory with New York in it, and nobody who serves it."""
    for name in ("OPENBELL_SOCKET", "OPENBELL_CONFIG", "XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENBELL_STATE_DIR", str(tmp_path / "state"))
    store = SessionStore(tmp_path / "state" / "calendars")
    today = SystemClock().now().date()
    store.save(build("XNYS", store.wanted_through(today).isoformat()), today=today)
    return tmp_path


SESSIONS = ("calendar", "sessions", "NYSE", "--from", "2026-11-26", "--to", "2026-11-27")


def test_sessions_are_written_as_documented(alone: Path) -> None:
    assert mdp(*SESSIONS, "-o", "json").json == [
        {
            "session": "2026-11-27",
            "open": "2026-11-27T14:30:00Z",
            "close": "2026-11-27T18:00:00Z",
            "breaks": [],
            "early_close": True,
            "late_open": False,
        }
    ]
    table = mdp(*SESSIONS, "--tz", "America/New_York").out
    assert "2026-11-27 09:30:00-05:00  2026-11-27 13:00:00-05:00" in table


def test_a_table_shows_the_times_of_breaks(alone: Path) -> None:
    (alone / "openbell.yaml").write_text(
        'version: 2\ncalendars: {define: {desk: {base: XNYS, breaks: [["12:00", "12:45"]]}}}\n'
    )
    day = ("--from", "2026-12-01", "--to", "2026-12-01")
    table = mdp("calendar", "sessions", "desk", *day, "--tz", "America/New_York").out
    assert table.splitlines()[1].split()[5] == "12:00-12:45"


def test_a_correction_is_tried_kept_listed_and_taken_back_without_a_daemon(alone: Path) -> None:
    add = ("calendar", "overlay", "add", "XNYS", "2026-11-27", "closed", "--reason", "snow")
    tried = mdp(*add, "--dry-run")
    assert (tried.code, tried.out) == (0, "")
    assert "2026-11-27 18:00:00+00:00 -> no session" in tried.err
    assert "nothing was changed" in tried.err
    assert len(mdp(*SESSIONS, "-o", "json").json) == 1
    made = mdp(*add, "-o", "json")
    assert made.code == 0
    assert mdp(*SESSIONS, "-o", "json").json == []
    again = mdp(*add)
    assert (again.code, "there is no session on that day" in again.err) == (3, True)
    (listed,) = mdp("calendar", "overlay", "list", "-o", "json").json
    assert (listed["id"], listed["reason"]) == (made.json["id"], "snow")
    assert listed["added_by"].startswith("uid ")
    gone = mdp("calendar", "overlay", "remove", "XNYS", listed["id"])
    assert (gone.code, "no session -> 2026-11-27" in gone.err) == (0, True)
    assert len(mdp(*SESSIONS, "-o", "json").json) == 1
    assert mdp("calendar", "overlay", "remove", "XNYS", listed["id"]).code == 4


def test_the_configuration_has_its_calendars_and_corrections(alone: Path) -> None:
    (alone / "openbell.yaml").write_text(
        "version: 2\ncalendars:\n  define: {desk: {base: XNYS}}\n"
        '  overlays: [{calendar: XNYS, date: 2026-12-01, close: "13:00", reason: test}]\n'
    )
    found = mdp(
        "calendar", "sessions", "desk", "--from", "2026-12-01", "--to", "2026-12-01", "-o", "json"
    )
    assert found.json[0]["close"] == "2026-12-01T18:00:00Z"
    (listed,) = mdp("calendar", "overlay", "list", "XNYS", "-o", "json").json
    assert (listed["id"], listed["origin"]) == (None, "configuration")
    names = {row["calendar"]: row["state"] for row in mdp("calendar", "list", "-o", "json").json}
    assert (names["desk"], names["XNYS"], names["ASEX"]) == ("ready", "ready", "unbuilt")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("sessions XNYX --from 2026-01-01 --to 2026-01-02", 4, "did you mean 'XNYS'?"),
        ("sessions XNYS --from 2026-02-30 --to 2026-03-02", 2, "is no date"),
        ("sessions XNYS --from 2026-03-02 --to 2026-03-01", 2, "--to 2026-03-01 is before"),
        ("month XNYS 2026-13", 2, "'2026-13' is no month"),
        ("overlay add XNYS 2026-12-01 shut --reason x", 2, "'shut' is no correction"),
        ("overlay add XNYS 2026-12-01 early_close --reason x", 2, "takes CLOSE=HH:MM"),
        ("overlay add XNYS 2026-12-01 closed 13:00 --reason x", 2, "takes no times"),
        ("overlay add XNYS 2026-12-01 early-close 1pm --reason x", 2, "is no time of day"),
        ("overlay add XNYS 2026-12-01 early_close 17:00 --reason x", 3, "as it is"),
    ],
)
def test_what_is_wrong_is_told(alone: Path, words: str, code: int, message: str) -> None:
    done = mdp("calendar", *words.split())
    assert (done.code, message in done.err) == (code, True), done.err


def test_a_month_is_drawn_with_its_marks() -> None:
    first, last = month_of("2026-11")
    assert (first, last) == (date(2026, 11, 1), date(2026, 11, 30))
    rows = [
        {"session": "2026-11-02", "early_close": False, "late_open": True},
        {"session": "2026-11-27", "early_close": True, "late_open": False},
    ]
    lines = drawn("XNYS", first, rows).splitlines()
    assert lines[0] == "XNYS November 2026: 2 sessions"
    assert lines[3].split() == ["2>", ".", ".", ".", ".", ".", "."]
    assert lines[-1] == "< closes early, > opens late"
    assert drawn("XNYS", first, rows[:0]).splitlines()[-1].split() == ["."]
    assert month_of(None)[0].day == 1
    with pytest.raises(CliError):
        month_of("soon")


async def test_a_daemon_answers_for_its_calendars(served: Served) -> None:
    ahead = await mdp_beside("calendar", "next", "24/7", "-n", "2", "-o", "json")
    assert [row["session"] for row in ahead.json] == ["2026-01-06", "2026-01-07"]
    add = ("calendar", "overlay", "add", "24/7", "2026-02-02", "closed", "--reason", "snow")
    tried = await mdp_beside(*add, "--dry-run")
    made = await mdp_beside(*add, "-o", "json")
    listed = await mdp_beside("calendar", "overlay", "list", "-o", "json")
    month = await mdp_beside("calendar", "month", "24/7", "2026-02")
    gone = await mdp_beside("calendar", "overlay", "remove", "24/7", made.json["id"])
    states = await mdp_beside("calendar", "list", "-o", "json")
    assert "nothing was changed" in tried.err
    assert [row["id"] for row in listed.json] == [made.json["id"]]
    assert "24/7 February 2026: 27 sessions" in month.out
    assert gone.code == 0
    assert {row["state"] for row in states.json} == {"ready", "unbuilt"}
