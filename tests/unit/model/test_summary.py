from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from openbell.model.runs import NodeRecord, NodeState, RunRecord, RunState, Totals
from openbell.model.summary import duration_s, sources, summarize

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
RUN = RunRecord(
    run_id="run_1",
    job_id="job_1",
    pipeline="p",
    workflow_version=1,
    mode="backfill",
    state=RunState.RUNNING,
    params={},
    submitted_at=NOW,
    started_at=NOW,
)


def node(name: str, **totals: Any) -> NodeRecord:
    return NodeRecord(
        run_id="run_1", node=name, op="x", state=NodeState.RUNNING, totals=Totals(**totals)
    )


def test_rows_in_counts_only_what_entered_at_the_sources() -> None:
    nodes = [node("a", rows_in=5), node("b", rows_in=7), node("gate", rows_in=12)]
    shown = summarize(RUN, nodes, source_nodes={"a", "b"}, batches=3, now=NOW)

    assert shown["rows_in"] == 12
    assert shown["batches"] == 3


def test_written_rows_are_summed_over_all_writers() -> None:
    nodes = [
        node("a", rows_in=9),
        node("w", rows_written=4, rows_unchanged=1),
        node("v", rows_written=2),
        node("q", rows_quarantined=2),
    ]
    shown = summarize(RUN, nodes, source_nodes={"a"}, batches=1, now=NOW)

    assert (shown["rows_written"], shown["rows_unchanged"], shown["rows_quarantined"]) == (6, 1, 2)


def test_the_duration_runs_on_until_the_run_ends() -> None:
    later = NOW + timedelta(seconds=90)
    assert duration_s(replace(RUN, started_at=None), later) == 0
    assert duration_s(RUN, later) == 90
    assert duration_s(replace(RUN, finished_at=NOW + timedelta(seconds=2)), later) == 2
    assert duration_s(RUN, NOW - timedelta(seconds=1)) == 0


def test_sources_are_the_nodes_that_need_nothing() -> None:
    definition = {"nodes": [{"name": "a", "needs": {}}, {"name": "b", "needs": {"a": []}}]}
    assert sources(definition) == {"a"}
    assert sources(None) == frozenset()
