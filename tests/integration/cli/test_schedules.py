"""`mdp schedule`: no daemon, no configuration, nothing but an empty state directory."""

from __future__ import annotations

from pathlib import Path

import pytest
from doubles.command import mdp

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBELL_CONFIG", raising=False)
    monkeypatch.setenv("OPENBELL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def test_the_next_fires_are_told_also_where_no_table_was_built_yet() -> None:
    arguments = ("schedule", "next", "NYSE close + 30m", "--after", "2026-11-24", "-n", 3)
    done = mdp(*arguments, "-o", "json")
    assert done.json == [
        {"at": "2026-11-24T21:30:00Z", "session": "2026-11-24", "event": "close", "index": 0},
        {"at": "2026-11-25T21:30:00Z", "session": "2026-11-25", "event": "close", "index": 0},
        {"at": "2026-11-27T18:30:00Z", "session": "2026-11-27", "event": "close", "index": 0},
    ]
    assert "2026-11-24 16:30:00-05:00" in mdp(*arguments, "--tz", "America/New_York").out


def test_a_schedule_without_calendar_needs_no_table(tmp_path: Path) -> None:
    done = mdp("schedule", "next", "at 2026-12-01T14:00Z", "--after", "2026-11-24", "-o", "json")
    assert [fire["at"] for fire in done.json] == ["2026-12-01T14:00:00Z"]
    assert "1 of 5: it fires no more" in done.err
    assert not (tmp_path / "state").exists()


def test_a_fire_is_explained_step_by_step() -> None:
    schedule = "XHKG break_start - 5m"
    done = mdp("schedule", "explain", schedule, "--at", "2026-02-16T03:55Z", "-o", "json")
    assert done.json["fires"] == []
    assert {"met": False, "text": "2026-02-16 has no break_start: silent"} in done.json["steps"]
    assert done.json["next"]["at"] == "2026-02-20T03:55:00Z"
    done = mdp("schedule", "explain", schedule, "--at", "2026-02-20T03:55Z")
    assert f"{schedule} fires at 2026-02-20 03:55:00+00:00" in done.out


def test_the_calendars_of_a_configuration_count(tmp_path: Path) -> None:
    config = tmp_path / "own.yaml"
    config.write_text(
        "version: 2\ncalendars: {overlays: [{calendar: XNYS, date: 2026-11-25, closed: true}]}\n"
    )
    arguments = ("schedule", "next", "XNYS open", "--after", "2026-11-25", "-n", 1, "-o", "json")
    assert mdp(*arguments).json[0]["session"] == "2026-11-25"
    assert mdp(*arguments, "-c", config).json[0]["session"] == "2026-11-27"


def test_a_calendar_that_ends_says_where() -> None:
    done = mdp("schedule", "next", "XSHG open", "--after", "2026-12-31T12:00Z", "-o", "json")
    assert (done.code, done.json) == (0, [])
    assert "0 of 5: it fires no more in what is known: its calendars end on 2026-12-31" in done.err


def test_nothing_is_said_of_the_time_before_a_calendar_begins() -> None:
    done = mdp("schedule", "next", "XNYS close", "--after", "1980-01-01", "-n", 1)
    assert "1990-01-02 21:00:00+00:00" in done.out
    assert "its calendars know nothing before 1990-01-0" in done.err
    done = mdp("schedule", "explain", "XNYS close", "--at", "1980-01-02T21:00Z")
    assert "- nothing is known before 1990-01-0" in done.out
    done = mdp("schedule", "explain", "XSHG close", "--at", "2027-06-01T07:00Z")
    assert "- nothing is known after 2026-12-31" in done.out


def test_offsets_that_cross_sessions_keep_the_label_they_belong_to() -> None:
    arguments = ("--after", "2026-11-25", "-n", 3, "-o", "json")
    late = mdp("schedule", "next", "XNYS close + 100h", *arguments).json
    assert [(fire["at"][:16], fire["session"]) for fire in late] == [
        ("2026-11-25T01:00", "2026-11-20"),
        ("2026-11-28T01:00", "2026-11-23"),
        ("2026-11-29T01:00", "2026-11-24"),
    ]
    both = mdp("schedule", "next", "XNYS every 30m in [open, close + 30h]", *arguments).json
    assert [(fire["at"][11:16], fire["session"], fire["index"]) for fire in both] == [
        ("00:30", "2026-11-23", 68),
        ("00:30", "2026-11-24", 20),
        ("01:00", "2026-11-23", 69),
    ]


def test_overlays_made_by_hand_count_where_a_state_directory_has_them() -> None:
    arguments = ("schedule", "next", "XNYS open", "--after", "2026-11-24", "-n", 1, "-o", "json")
    assert mdp(*arguments).json[0]["session"] == "2026-11-24"
    overlay = ("calendar", "overlay", "add", "XNYS", "2026-11-24", "closed", "--reason", "storm")
    assert mdp(*overlay).code == 0
    assert mdp(*arguments).json[0]["session"] == "2026-11-25"


def test_overlays_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    overlay = ("calendar", "overlay", "add", "XNYS", "2026-11-24", "closed", "--reason", "storm")
    assert mdp(*overlay).code == 0
    config = tmp_path / "own.yaml"
    config.write_text(
        "version: 2\ncalendars: {overlays: [{calendar: NYSE, date: 2026-11-24, close: '13:00'}]}\n"
    )
    for verb in (("schedule", "next", "XNYS open"), ("schedule", "conflicts")):
        done = mdp(*verb, "-c", config)
        assert done.code == 78
        assert "overlay of XNYS on 2026-11-24" in done.err
        assert "contradicts" in done.err
        assert "mdp calendar overlay list" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("next", "XNYS clse"), ("     ^ 'clse' is no event", "did you mean 'close'?")),
        (("next", "XNYS close", "--after", "tomorrow"), ("'tomorrow' is no instant",)),
        (("explain", "XNYS close", "--at", "0001-01-01"), ("too far away",)),
        (("next", "XNYS close", "--after", "2026-02-30"), ("'2026-02-30' is no instant",)),
        (("next", "XNYS close +"), ("            ^ the end is no duration", "30s, 5m, 1h30m")),
        (
            ("next", "at 2026-02-30T10:00Z"),
            ("   ^ 2026-02-30T10:00Z is no instant: day is out of range", "at 2026-12-01T14:00Z"),
        ),
        (("next", "NYSX close"), ("^ calendar 'NYSX' is unknown", "did you mean 'NYSE'?")),
        (("next", "CME_Equity settle"), ("'CME_Equity' is unknown", "calendars.define")),
        (("next", "cron '0 0 30 2 *' UTC"), ("never fires", "no month has such a day")),
        (
            ("next", "cron '0 9 * * *' Europe/Londom"),
            ("^ time zone 'Europe/Londom' is unknown", "America/New_York"),
        ),
        (("next", "XNYS 32nd day of month close"), ("a month has no number 32",)),
        (("conflicts", "--horizon", "400x"), ("--horizon '400x' is not understood", "400d")),
        (("conflicts", "--horizon", "0d"), ("--horizon '0d' is not understood",)),
        (("conflicts", "--from", "2026-02-30"), ("--from '2026-02-30' is no day",)),
        (("conflicts", "--from", "1066-10-14"), ("too far away", "1971 to 2189")),
    ],
)
def test_what_is_not_understood_exits_2(arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    done = mdp("schedule", *arguments)
    assert done.code == 2
    for word in words:
        assert word in done.err


def test_a_calendar_that_cannot_be_built_is_told_in_a_line() -> None:
    done = mdp("schedule", "next", "XTAE close")
    assert done.code == 1
    assert "calendar 'XTAE' cannot be built" in done.err
    assert len(done.err) < 500


PIPELINE = """\
version: 2
providers: {made_up: {type: synthetic}}
storage: {primary: {type: lake, uri: ./lake}}
datasets: {bars: {provider: made_up, symbols: [A], interval: 1d, calendar: 24/7}}
jobs:
  fill:
    dataset: bars
    mode: backfill
    schedule:
      - every 1h
      - {when: every 90m, active: {from: 2026-11-21T03:00Z, until: 2026-11-21T06:00Z}}
  rare: {dataset: bars, mode: backfill}
"""


def test_a_pipeline_s_name_stands_for_all_of_its_schedules(tmp_path: Path) -> None:
    (tmp_path / "openbell.yaml").write_text(PIPELINE)
    arguments = ("--pipeline", "fill", "--after", "2026-11-21T02:00Z", "-n", 6)
    done = mdp("schedule", "next", *arguments, "-o", "json")
    assert [(fire["at"][11:16], fire["schedule"]) for fire in done.json] == [
        ("03:00", "every 1h"),
        ("03:00", "every 90m"),
        ("04:00", "every 1h"),
        ("04:30", "every 90m"),
        ("05:00", "every 1h"),
        ("06:00", "every 1h"),
    ]
    head = mdp("schedule", "next", *arguments).out.splitlines()[0].split()
    assert head == ["AT", "SCHEDULE", "SESSION", "EVENT", "INDEX"]


def test_each_schedule_of_a_pipeline_is_explained(tmp_path: Path) -> None:
    (tmp_path / "openbell.yaml").write_text(PIPELINE)
    arguments = ("schedule", "explain", "--pipeline", "fill", "--at", "2026-11-21T06:00Z")
    first, second = mdp(*arguments, "-o", "json").json
    assert (len(first["fires"]), second["fires"], second["next"]) == (1, [], None)
    text = "it is active from 2026-11-21T03:00:00Z until 2026-11-21T06:00:00Z only"
    assert second["steps"][-1] == {"met": False, "text": text}
    out = mdp(*arguments).out
    assert "every 1h fires at" in out
    assert "every 1h30m does not fire at" in out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("next",), 2, "give a schedule, or a pipeline with --pipeline"),
        (("next", "every 1h", "--pipeline", "fill"), 2, "give a schedule, or a pipeline"),
        (("next", "--pipeline", "fil"), 4, "did you mean 'fill'?"),
        (("next", "--pipeline", "x"), 4, "there are: fill, rare"),
        (("next", "--pipeline", "rare"), 4, "pipeline 'rare' has no schedule"),
    ],
)
def test_what_cannot_be_asked_says_why(
    tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    (tmp_path / "openbell.yaml").write_text(PIPELINE)
    done = mdp("schedule", *arguments)
    assert (done.code, words in done.err) == (code, True), done.err


def test_without_a_configuration_there_is_no_pipeline() -> None:
    done = mdp("schedule", "next", "--pipeline", "fill")
    assert (done.code, "there is no configuration" in done.err) == (4, True)


def test_corrections_made_by_hand_count() -> None:
    arguments = ("schedule", "next", "24/7 open", "--after", "2026-11-24", "-n", 1, "-o", "json")
    assert mdp(*arguments).json[0]["session"] == "2026-11-25"
    closed = ("24/7", "2026-11-25", "closed", "--reason", "moved house")
    assert mdp("calendar", "overlay", "add", *closed).code == 0
    assert mdp(*arguments).json[0]["session"] == "2026-11-26"
