"""Schedules of a real daemon: shown, added, kept over a restart, moved by a correction."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from doubles.commands import Mdp

pytestmark = pytest.mark.acceptance

TICKING = """\
version: 2
pipelines:
  tick:
    schedule: [{when: every 2s, on_missed: run_all}]
    overlap: queue_all
    nodes: {nothing: {op: noop}}
"""
CONFIG = """\
version: 2
providers: {made_up: {type: synthetic}}
storage: {primary: {type: lake, uri: ./lake}}
datasets: {bars: {provider: made_up, symbols: [A], interval: 1d, calendar: XNYS}}
pipelines:
  eod:
    schedule:
      - XNYS close + 30m
      - {when: every 7d, on_missed: skip}
    nodes:
      fetch: {op: ingest, dataset: bars}
      publish: {op: write, needs: [fetch], to: primary}
"""
LONGEST_S = 40


def is_answering(mdp: Mdp) -> bool:
    """Return whether the daemon knows its schedules."""
    return (mdp.state / "openbell.sock").exists() and bool(mdp.json("get", "schedules"))


def is_planned(mdp: Mdp) -> bool:
    """Return whether every schedule is planned: the calendar is built, the first time."""
    return is_answering(mdp) and all(item["next_at"] for item in mdp.json("get", "schedules"))


@contextmanager
def serving(mdp: Mdp, is_ready: Callable[[Mdp], bool] = is_planned) -> Iterator[None]:
    """Run the daemon while it is `is_ready`."""
    with mdp.start("daemon", "run") as process:
        until = time.monotonic() + LONGEST_S
        while not is_ready(mdp):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until, "the daemon did not get ready"
            time.sleep(0.1)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=LONGEST_S)


def close_of(mdp: Mdp) -> dict[str, Any]:
    (found,) = [item for item in mdp.json("get", "schedules") if "close" in item["when"]]
    return dict(found)


def test_a_correction_moves_a_fire_and_taking_it_back_moves_it_back(mdp: Mdp) -> None:
    mdp.write("openbell.yaml", CONFIG)
    with serving(mdp):
        before = close_of(mdp)
        day, due = before["next_session"], datetime.fromisoformat(before["next_at"])
        (hours,) = mdp.json("calendar", "sessions", "XNYS", "--from", day, "--to", day)
        if hours["early_close"] or due - datetime.now(UTC) < timedelta(hours=5):
            pytest.skip("the exchange closes soon, or early anyway")
        change = ("XNYS", day, "early_close", "13:00", "--reason", "storm")
        tried = mdp.json("calendar", "overlay", "add", *change, "--dry-run")
        assert close_of(mdp)["next_at"] == before["next_at"]
        made = mdp.json("calendar", "overlay", "add", *change)
        moved = close_of(mdp)
        gone = mdp.run("calendar", "overlay", "remove", "XNYS", made["id"])
        after = close_of(mdp)

    (fire,) = made["fires"]
    assert tried["fires"] == made["fires"]
    assert (fire["pipeline"], fire["schedule"], fire["session"], fire["before"]) == (
        *("eod", "XNYS close + 30m", day),
        before["next_at"],
    )
    assert datetime.fromisoformat(fire["after"]) == due - timedelta(hours=3)
    assert moved["next_at"] == fire["after"]
    assert after["next_at"] == before["next_at"]
    assert "1 fire of schedules changed" in gone.stderr
    assert "eod, XNYS close + 30m: " in gone.stderr


def test_a_schedule_that_was_added_survives_a_restart(mdp: Mdp) -> None:
    mdp.write("openbell.yaml", CONFIG.replace("XNYS", "24/7"))
    with serving(mdp):
        added = mdp.json("schedule", "add", "eod", "24/7 open + 1h", "--jitter", "1s")
        assert (
            "means the same" in mdp.run("schedule", "add", "eod", "24/7 open + 60m", code=3).stderr
        )
        mdp.run("schedule", "pause", added["id"])
    asked = mdp.json("schedule", "next", "--pipeline", "eod", "-n", "50")
    with serving(mdp, is_answering):
        (kept,) = [item for item in mdp.json("get", "schedules") if item["id"] == added["id"]]
        mdp.run("schedule", "resume", added["id"])
        resumed = mdp.json("get", "schedules", "--pipeline", "eod")
        mdp.run("schedule", "remove", added["id"])
        left = mdp.json("get", "schedules")

    assert (kept["state"], kept["origin"], kept["jitter_s"]) == ("paused", "api", 1.0)
    assert {item["state"] for item in resumed} == {"active"}
    assert any(fire["at"].endswith("T01:00:00Z") for fire in asked)
    assert added["id"] not in {item["id"] for item in left}
    assert len(left) == 2


def test_a_killed_daemon_leaves_no_gap_and_fires_nothing_twice(mdp: Mdp) -> None:
    mdp.write("openbell.yaml", TICKING)
    with mdp.start("daemon", "run") as process:
        try:
            _wait(lambda: _is_up(mdp) and len(_ended(mdp)) >= 2)
        finally:
            process.kill()
        process.communicate(timeout=LONGEST_S)
    with serving(mdp, _is_up):
        now = datetime.now(UTC).replace(microsecond=0)
        soon = now + timedelta(seconds=6 + (now.second + 1) % 2)  # odd: no tick's instant
        once = mdp.json("schedule", "add", "tick", f"at {soon:%Y-%m-%dT%H:%M:%S}Z")
        mdp.run("pause", "tick")
        time.sleep(2.5)
        before = len(_ended(mdp))
        time.sleep(1.5)
        assert len(_ended(mdp)) == before
    with serving(mdp, _is_up):
        mdp.run("resume", "tick")
        _wait(lambda: max(_ended(mdp)) > soon)
        found = mdp.json("get", "schedules")
        due = _ended(mdp)

    every = sorted(set(due) - {soon})
    assert len(due) == len(every) + 1
    assert [later - each for each, later in pairwise(every)] == [timedelta(seconds=2)] * (
        len(every) - 1
    )
    assert {item["state"] for item in found if item["id"] == once["id"]} == {"over"}


def _is_up(mdp: Mdp) -> bool:
    """Return whether the daemon answers; a socket of before may lie there."""
    try:
        return is_answering(mdp)
    except AssertionError:
        return False


def _wait(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + LONGEST_S
    while not is_so():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.1)


def _ended(mdp: Mdp) -> list[datetime]:
    """Return when the runs that succeeded were due."""
    runs = mdp.json("get", "runs", "--limit", "500")
    return sorted(
        datetime.fromisoformat(run["due_at"]) for run in runs if run["state"] == "success"
    )
