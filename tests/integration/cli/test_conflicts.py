"""`mdp schedule conflicts` and `mdp validate --horizon`: a configuration and a state directory."""

from __future__ import annotations

from pathlib import Path

import pytest
from doubles import story
from doubles.command import mdp, mdp_beside

from openbell.history.store import HistoryStore

pytestmark = pytest.mark.integration

CONFIG = """\
version: 2
providers: {made_up: {type: synthetic}}
storage: {primary: {type: lake, uri: ./lake}}
datasets:
  uk_1d: {provider: made_up, symbols: [A], interval: 1d, calendar: XLON}
  uk_report: {provider: made_up, symbols: [A], interval: 1d, calendar: XLON}
pipelines:
  uk:
    schedule: XLON close + 15m
    expected_duration: 10m
    nodes: {fetch: {op: ingest, dataset: uk_1d}, publish: {op: write, needs: [fetch]}}
  report:
    schedule: cron '15 12 * * 1-5' America/New_York
    after: [uk]
    nodes: {fetch: {op: ingest, dataset: uk_report}, publish: {op: write, needs: [fetch]}}
"""
IN_TIME = CONFIG.replace("cron '15 12 * * 1-5' America/New_York", "XLON close + 25m")
LOOK = ("schedule", "conflicts", "--from", "2026-01-01", "--horizon", "365d")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBELL_CONFIG", raising=False)
    monkeypatch.setenv("OPENBELL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def configured(tmp_path: Path, text: str) -> None:
    (tmp_path / "openbell.yaml").write_text(text)


def test_the_weeks_in_which_london_and_new_york_differ_are_told(tmp_path: Path) -> None:
    configured(tmp_path, CONFIG)
    done = mdp(*LOOK, "-o", "json")
    assert done.code == 3
    (found,) = done.json
    assert (found["kind"], found["severity"]) == ("early", "conflict")
    assert (found["pipelines"], found["producer"]) == (["report", "uk"], "uk")
    assert found["weeks"] == ["2026-03-09", "2026-03-16", "2026-03-23", "2026-10-26"]
    assert (found["count"], found["first"][0]) == (20, "2026-03-09")
    assert "'XLON close + 25m'" in found["fix"]
    done = mdp(*LOOK)
    assert "conflict (early): report, uk: report is due up to 40m before uk is there" in done.out
    assert "  when: 20 times, first 2026-03-09, 2026-03-10" in done.out
    assert "conflicts: 1, notes: 0, in 365 days" in done.err


def test_what_was_proposed_helps(tmp_path: Path) -> None:
    configured(tmp_path, IN_TIME)
    done = mdp(*LOOK, "-o", "json")
    assert (done.code, done.json) == (0, [])
    done = mdp("validate", "--horizon", "8w", "-o", "json")
    assert (done.code, done.json["conflicts"], done.json["pipelines"]) == (0, [], 2)
    assert "conflicts" not in mdp("validate", "-o", "json").json


def test_validate_tells_conflicts_after_all_else(tmp_path: Path) -> None:
    text = IN_TIME.replace("  uk_report:", "  other: ").replace(
        "dataset: uk_report", "dataset: uk_1d"
    )
    configured(tmp_path, text.replace("after: [uk]", "overlap: skip").replace("25m", "20m"))
    done = mdp("validate", "--horizon", "30d")
    assert done.code == 3
    assert done.out.startswith("source:")
    assert "conflict (writers): report, uk: " in done.out
    assert "let uk run `after: [report]`" in done.out
    assert [
        one["kind"] for one in mdp("validate", "--horizon", "30d", "-o", "json").json["conflicts"]
    ] == ["writers"]


async def test_runs_take_as_long_as_the_last_ones_did(tmp_path: Path) -> None:
    configured(tmp_path, IN_TIME)
    (tmp_path / "state").mkdir()
    async with HistoryStore(tmp_path / "state" / "history.sqlite") as history:
        await history.record(story.defined(pipeline="uk"), story.submitted(pipeline="uk"))
        await history.record(story.started(), story.finished(at_s=1201.0))
        assert await history.durations("uk") == [1200.0]
        assert await history.durations("uk", limit=0) == []
        assert await history.durations("report") == []
    done = await mdp_beside(*LOOK, "-o", "json")
    assert done.code == 0
    (found,) = done.json
    assert (found["kind"], found["severity"]) == ("early", "note")
    assert "(uk: 20m by its last runs)" in found["message"]


def test_a_calendar_that_cannot_be_built_hides_no_other_conflict(tmp_path: Path) -> None:
    configured(tmp_path, IN_TIME.replace("XLON close + 25m", "XTAE close"))
    done = mdp(*LOOK, "-o", "json")
    assert done.code == 3
    (found,) = done.json
    assert (found["kind"], found["calendar"]) == ("calendar", "XTAE")
    assert "cannot be built" in found["message"]
