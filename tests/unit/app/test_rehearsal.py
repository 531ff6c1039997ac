from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from doubles.rehearsals import JANUARY, configured, scheduled, staged, told

from openbell.app.rehearsal.run import NothingToRehearseError, rehearsed
from openbell.model.pipelines import Pacing, Pipeline, ProviderUse, Rehearsal
from openbell.plugin_host import Registry

pytestmark = pytest.mark.unit


def states(entries: list[Any]) -> Counter[str]:
    return Counter(entry["state"] for entry in entries if entry["what"] == "run")


def test_every_session_of_the_span_runs_once_and_takes_its_time() -> None:
    stage, _ = staged(scheduled())
    runs = told(stage)
    assert len(runs) == 21
    assert [run["session"] for run in runs[:2]] == ["2027-01-01", "2027-01-04"]
    first = runs[0]
    assert first["due_at"] == "2027-01-01T21:30:00Z"
    assert datetime.fromisoformat(first["at"]) >= datetime(2027, 1, 1, 21, 30, 40, tzinfo=UTC)
    tally = stage.watcher.tally("eod")
    assert (tally.fires, tally.runs) == (21, {"success": 21})
    assert tally.percentile_s(0.95) == pytest.approx(40.0, abs=0.01)


def test_attempts_fail_are_retried_and_fail_the_run_when_they_are_used_up() -> None:
    stage, _ = staged(scheduled(nodes={"fetch": Rehearsal(duration_s=5.0, fail_rate=0.7)}))
    runs = told(stage)
    assert set(states(runs)) == {"success", "failed"}
    failed = next(run for run in runs if run["state"] == "failed")
    assert [failure["error"] for failure in failed["failures"]] == ["transient"] * 3
    assert failed["nodes"]["fetch"] == "failed"
    tally = stage.watcher.tally("eod")
    assert tally.retries > 0
    assert tally.failures[0].node == "fetch"
    assert "fail_rate" in tally.failures[0].error


def test_a_run_that_takes_too_long_times_out() -> None:
    stage, _ = staged(scheduled(timeout_s=30.0))
    runs = told(stage)
    assert states(runs) == {"failed": 21}
    assert {run["reason"] for run in runs} == {"timeout"}


def test_a_node_that_takes_too_long_is_tried_again() -> None:
    slow = scheduled()
    nodes = tuple(replace(n, timeout_s=10.0) if n.name == "fetch" else n for n in slow.nodes)
    stage, _ = staged(replace(slow, nodes=nodes))
    run = told(stage)[0]
    assert [failure["error"] for failure in run["failures"]] == ["timeout"] * 3


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [("skip", "fires skipped"), ("queue_one", "runs"), ("cancel_running", "runs cancelled")],
)
def test_overlap_policies_are_the_real_ones(overlap: Any, expected: str) -> None:
    busy = scheduled(
        expression="every 6h", nodes={"fetch": Rehearsal(duration_s=9 * 3600.0)}, overlap=overlap
    )
    stage, _ = staged(busy)
    entries = told(stage)
    tally = stage.watcher.tally("eod")
    skipped = [entry for entry in entries if entry["what"] == "fire"]
    match expected:
        case "fires skipped":
            assert skipped
            assert tally.skipped == Counter(entry["reason"] for entry in skipped)
        case "runs cancelled":
            assert tally.runs["cancelled"] > 10
        case _:
            assert tally.late_runs > 10
            assert tally.queue.longest >= 1


def test_workers_pools_and_writers_are_waited_for() -> None:
    names = [f"p{number}" for number in range(6)]
    one_worker = replace(configured().daemon, max_workers=1)
    stage, _ = staged(*(scheduled(name) for name in names), daemon=one_worker)
    wait = stage.waits["workers"]
    assert wait.count == 5 * 21
    assert wait.queue.longest == 5
    assert wait.longest_s == pytest.approx(5 * 40.0, abs=1.0)

    pooled = [
        replace(p, nodes=tuple(replace(n, pool="vendor") for n in p.nodes))
        for p in map(scheduled, names)
    ]
    stage, _ = staged(*pooled, pools={"vendor": 2})
    assert stage.waits["pool vendor"].queue.longest == 4


def test_two_writers_of_one_dataset_wait_for_each_other() -> None:
    one, other = scheduled("one"), scheduled("two")
    shared = replace(
        other,
        nodes=tuple(
            replace(n, settings={**n.settings, "dataset": "bars_one"}) if n.op == "ingest" else n
            for n in other.nodes
        ),
    )
    stage, _ = staged(one, shared)
    (what, wait), *_ = stage.waits.items()
    assert what == "writer of bars_one in primary"
    assert wait.count == 21


def test_a_budget_is_the_providers_own() -> None:
    provider = ProviderUse(
        name="v", type="p", pacing=Pacing(requests_per_minute=1.0, burst=1, cooldown_s=0.0)
    )
    stage, _ = staged(scheduled(nodes={}), providers={"v": provider})
    assert stage.watcher.tally("eod").percentile_s(0.5) == pytest.approx(60.0, abs=2.0)


def test_what_nobody_declares_takes_its_share_of_what_is_expected() -> None:
    stage, _ = staged(scheduled(nodes={}, expected_s=100.0))
    assert stage.watcher.tally("eod").percentile_s(0.5) == pytest.approx(100.0, abs=0.1)


def test_outcomes_open_and_close_edges() -> None:
    stage, _ = staged(scheduled(nodes={"check": Rehearsal(outcome="fail")}))
    assert stage.watcher.tally("eod").runs == {"success": 21}


def test_what_is_not_over_at_the_end_is_told_as_it_stands() -> None:
    endless = scheduled(nodes={"fetch": Rehearsal(duration_s=10**8)}, overlap="queue_all")
    stage, _ = staged(endless)
    assert states(told(stage)) == {"running": 1, "queued": 20}


def test_memory_of_what_is_over_is_bounded() -> None:
    stage, _ = staged(scheduled(expression="every 1h"))
    assert stage.watcher.timeline.line_count == 31 * 24
    assert len(stage._history._tables.runs) <= 11 * 24
    assert len(stage._history._tables.fires) <= 12 * 24


def test_a_configuration_without_schedules_is_refused() -> None:
    idle: Pipeline = replace(scheduled(), schedule=())
    with pytest.raises(NothingToRehearseError, match="no pipeline has a schedule"):
        rehearsed(configured(idle), Registry(), JANUARY, seed=0, env={})
