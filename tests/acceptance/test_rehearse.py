"""`mdp rehearse` on a real configuration: everything happens, and nothing is left."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from doubles.commands import Mdp

pytestmark = pytest.mark.acceptance

CONFIG = """\
version: 2
daemon: {max_workers: 1}
calendars:
  define:
    DESK: {zone: America/New_York, open: "09:30", close: "16:00",
           early: {2027-11-26: "13:00"}}
providers: {made_up: {type: synthetic}}
storage: {primary: {type: lake, uri: ./lake}}
datasets:
  nyse: {provider: made_up, symbols: [A, B], interval: 1d, calendar: XNYS}
  desk: {provider: made_up, symbols: [A, B], interval: 1d, calendar: DESK}
pipelines:
  eod:
    schedule: ["XNYS close + 30m"]
    nodes:
      fetch:   {op: ingest, dataset: nyse, retry: {max_attempts: 2, backoff_seconds: 60}}
      check:   {op: gate, needs: [fetch], rules: [ohlc]}
      publish: {op: write, needs: {check: [pass, warn]}, to: primary}
      hold:    {op: quarantine, needs: {check: [fail]}}
    rehearsal: {fetch: {duration: 40s, fail_rate: 0.3}}
  slow:
    schedule: ["DESK close + 30m"]
    timeout: 5m
    nodes:
      fetch:   {op: ingest, dataset: desk}
      publish: {op: write, needs: [fetch], to: primary}
    rehearsal: {fetch: {duration: 6m}}
  often:
    schedule: ["every 4h"]
    overlap: skip
    nodes: {idle: {op: noop, seconds: 21600}}
"""
SPAN = ("--from", "2027-11-01", "--to", "2027-11-30")


HERE_ALONE = CONFIG.replace("calendar: XNYS", "calendar: DESK").replace("XNYS close", "DESK close")
"""The same on a calendar that needs no worker, which is quicker."""


@pytest.fixture
def mdp(tmp_path: Path) -> Mdp:
    (tmp_path / "openbell.yaml").write_text(HERE_ALONE, encoding="utf-8")
    return Mdp(tmp_path)


def test_a_month_with_failures_retries_timeouts_and_overlaps(mdp: Mdp) -> None:
    mdp.write("openbell.yaml", CONFIG)
    scratch = mdp.folder / "scratch"
    scratch.mkdir()
    env = {"TMPDIR": str(scratch)}
    found = json.loads(mdp.run("rehearse", *SPAN, "--seed", "3", "-o", "json", env=env).stdout)
    numbers = {row["pipeline"]: row for row in found["pipelines"]}

    assert numbers["eod"]["runs"] == 21
    assert numbers["eod"]["retries"] > 0
    assert numbers["eod"]["states"]["failed"] > 0
    assert numbers["slow"]["states"] == {"failed": 22}
    assert sum(numbers["often"]["skipped"].values()) > 50
    assert {wait["for"] for wait in found["waits"]} == {"workers"}
    calendars = {row["calendar"]: row for row in found["calendars"]}
    assert calendars["XNYS"]["early_closes"] == ["2027-11-26"]
    assert calendars["DESK"]["clock_changes"] == ["2027-11-07"]
    early = next(e for e in found["timeline"] if e["session"] == "2027-11-26")
    assert early["due_at"] == "2027-11-26T18:30:00Z"
    reasons = {entry.get("reason") for entry in found["timeline"] if entry["pipeline"] == "slow"}
    assert reasons == {"timeout"}
    assert sorted(path.name for path in mdp.folder.rglob("*")) == ["openbell.yaml", "scratch"]


def test_a_person_reads_a_table(mdp: Mdp) -> None:
    shown = mdp.run("rehearse", *SPAN).stdout
    assert "PIPELINE" in shown
    assert "DESK: 22 sessions; 1 early close (2027-11-26); 1 clock change (2027-11-07)" in shown
    assert "2027-11-01 to 2027-11-30, seed 0: " in shown
    assert "waited for workers" in shown
    assert "digest " in shown


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--from", "2027-02-01", "--to", "2027-01-01"), 2, "--to 2027-01-01 is before --from"),
        (("--from", "tomorrow", "--to", "2027-01-01"), 2, "--from 'tomorrow' is no day"),
        (("--from", "2027-01-01", "--to", "2097-01-01"), 2, "longer than 20 years"),
        (("--from", "1901-01-01", "--to", "1902-01-01"), 2, "too far away"),
    ],
)
def test_a_span_that_is_none_is_refused(
    mdp: Mdp, arguments: tuple[str, ...], code: int, told: str
) -> None:
    assert told in mdp.run("rehearse", *arguments, code=code).stderr


def test_a_configuration_without_schedules_is_refused(mdp: Mdp) -> None:
    text = "\n".join(line for line in HERE_ALONE.splitlines() if "schedule:" not in line)
    mdp.write("openbell.yaml", text)
    assert "no pipeline has a schedule" in mdp.run("rehearse", *SPAN, code=78).stderr


def test_a_node_that_is_not_there_is_refused(mdp: Mdp) -> None:
    mdp.write(
        "openbell.yaml",
        CONFIG.replace("rehearsal: {fetch: {duration: 6m}}", "rehearsal: {fech: {}}"),
    )
    told = mdp.run("rehearse", *SPAN, code=78).stderr
    assert "openbell.yaml:" in told
    assert "fech" in told


def test_past_a_calendars_horizon_its_policy_decides(mdp: Mdp) -> None:
    text = CONFIG.replace("calendar: XNYS", "calendar: XBOM").replace("XNYS close", "XBOM close")
    mdp.write("openbell.yaml", text)
    span = ("--from", "2026-12-30", "--to", "2027-01-05")
    blocked = mdp.json("rehearse", *span)
    runs = {row["pipeline"]: row["runs"] for row in blocked["pipelines"]}
    known = {row["calendar"]: row["known_until"] for row in blocked["calendars"]}
    assert known["XBOM"] == "2026-12-31"
    assert runs["eod"] == 2

    guessed = mdp.write(
        "openbell.yaml", text.replace("calendars:\n", "calendars:\n  policy: weekmask\n")
    )
    assert guessed.exists()
    runs = {row["pipeline"]: row["runs"] for row in mdp.json("rehearse", *span)["pipelines"]}
    assert runs["eod"] == 5


def test_the_digest_is_that_of_the_lines_in_any_environment(mdp: Mdp) -> None:
    digests = {
        hashlib.sha256(
            mdp.run(
                "rehearse", *SPAN, "-o", "jsonl", env={"TZ": zone, "PYTHONHASHSEED": seed}
            ).stdout.encode()
        ).hexdigest()
        for zone, seed in (("UTC", "1"), ("Asia/Tokyo", "2"))
    }
    assert digests == {mdp.json("rehearse", *SPAN)["digest"]}
