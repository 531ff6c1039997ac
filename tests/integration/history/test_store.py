from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from doubles import story

from openbell.history.store import HistoryStore
from openbell.model import events as ev
from openbell.model.history import DuplicateSubmissionError, RecordRefusedError, RunFilter
from openbell.model.runs import (
    MAX_LOG_BYTES,
    IllegalStepError,
    NodeState,
    RunState,
    Totals,
)
from openbell.supervisor.intake import queued

pytestmark = pytest.mark.integration


async def test_a_whole_run_is_answered_as_it_was_told(history: HistoryStore) -> None:
    await history.record(story.defined())
    for event in story.whole_run():
        await history.record(event)
    run = await history.run("run_1")
    assert run is not None
    assert run.state is RunState.SUCCESS
    assert run.params == {"symbols": ["AAPL", "MSFT"]}
    assert (run.submitted_at, run.started_at, run.finished_at) == (
        story.START,
        story.after(1.0),
        story.after(9.0),
    )
    fetch, check, publish = await history.nodes("run_1")
    assert [fetch.node, check.node, publish.node] == ["fetch", "check", "publish"]
    assert (fetch.state, fetch.attempts, fetch.started_at) == (
        NodeState.SUCCESS,
        1,
        story.after(2.0),
    )
    assert check.outcome == "pass"
    assert publish.totals.rows_written == 198
    (attempt,) = await history.attempts("run_1", "fetch")
    assert (attempt.state, attempt.worker_pid, attempt.cpu_s) == ("success", 77, 1.5)
    checkpoint = await history.checkpoint("run_1", "fetch")
    assert checkpoint is not None
    assert (checkpoint.next_chunk, checkpoint.cursor) == (2, "cursor-2")
    assert checkpoint.totals["check"].verdict == "pass"
    (line,) = await history.logs("run_1")
    assert line.line.text == "fetching"
    (finding,) = await history.quality("run_1")
    assert (finding.rule, finding.examples) == ("ohlc", ("AAPL 14:31",))


async def test_events_come_back_in_order_with_the_bodies_that_record_returned(
    history: HistoryStore,
) -> None:
    told = await history.record(story.defined(), *story.whole_run())
    assert [event.id for event in told] == list(range(1, 15))
    assert tuple(await history.events()) == told
    assert tuple(await history.events(after_id=3, limit=2)) == told[3:5]
    assert tuple(await history.events(run_id="run_1")) == told[1:]
    assert await history.last_event_id() == 14
    assert told[1].body["nodes"] == [["fetch", "ingest"], ["check", "gate"], ["publish", "write"]]


async def test_lineage_gives_the_newest_commits_first(history: HistoryStore) -> None:
    await history.record(story.defined(), *story.whole_run())
    newest, oldest = await history.lineage("bars")
    assert (newest["key"], oldest["key"]) == ("run_1-2", "run_1-1")
    assert newest["run_id"] == "run_1"
    assert newest["node"] == "publish"
    assert (newest["rows"], newest["rows_written"], newest["version"]) == (100, 99, 3)
    assert newest["end_at"] - newest["start_at"] == timedelta(minutes=1)
    assert await history.lineage("bars", limit=1) == [newest]
    assert await history.lineage("other") == []


async def test_a_commit_under_a_known_key_keeps_its_first_receipt(history: HistoryStore) -> None:
    await history.record(story.defined(), story.submitted(), story.started())
    await history.record(story.committed(1, key="same", rows=100))
    await history.record(story.committed(2, key="same", rows=500))
    (only,) = await history.lineage("bars")
    assert only["rows"] == 100


async def test_the_second_submission_under_a_key_names_the_first_run(history: HistoryStore) -> None:
    await history.record(story.defined(), story.submitted(idempotency_key="k"))
    with pytest.raises(DuplicateSubmissionError) as caught:
        await history.record(story.submitted("run_2", idempotency_key="k"))
    assert caught.value.run_id == "run_1"
    assert await history.run("run_2") is None
    first = await history.submission("k")
    assert first is not None
    assert first.run_id == "run_1"
    assert await history.submission("other") is None


async def test_a_submission_is_answered_as_history_would(history: HistoryStore) -> None:
    params = {"symbols": ("AAPL",), "limits": {"rows": 5}}
    event = story.submitted(
        params=params, session="2026-01-05", retry_of="run_0", dry_run=True, origin="api"
    )
    await history.record(story.defined(), event)
    assert queued(event) == await history.run("run_1")


ILLEGAL: dict[str, tuple[Callable[[], ev.Event], type[Exception], str]] = {
    "start twice": (story.started, IllegalStepError, "running to running"),
    "back to queued": (
        lambda: story.finished(state=RunState.QUEUED),
        IllegalStepError,
        "running to queued",
    ),
    "unknown run": (lambda: story.started("run_9"), RecordRefusedError, "'run_9' is unknown"),
    "same run again": (story.submitted, RecordRefusedError, "does not fit"),
    "unknown version": (
        lambda: story.submitted("run_2", workflow_version=7),
        RecordRefusedError,
        "version 7 of pipeline 'eod' was never defined",
    ),
    "checkpoint back": (lambda: story.committed(2), IllegalStepError, "chunk 3 to chunk 2"),
    "checkpoint again": (lambda: story.committed(3), IllegalStepError, "chunk 3 to chunk 3"),
    "unknown node": (
        lambda: story.node("nowhere", NodeState.RUNNING),
        RecordRefusedError,
        "'nowhere' is unknown",
    ),
    "numbers of an unknown node": (
        lambda: replace(story.committed(4), totals={"nowhere": Totals()}),
        RecordRefusedError,
        "has no node 'nowhere'",
    ),
    "commit of an unknown node": (
        lambda: replace(story.committed(4), receipts={"nowhere": story.receipt()}),
        RecordRefusedError,
        "does not fit",
    ),
    "an end that is none": (
        lambda: story.finished(state=RunState.RUNNING),
        IllegalStepError,
        "running to running",
    ),
    "ended node": (
        lambda: story.node("check", NodeState.RUNNING),
        IllegalStepError,
        "success to running",
    ),
    "attempt ends twice": (story.attempt_finished, IllegalStepError, "success to success"),
    "unknown attempt": (
        lambda: story.attempt_finished(number=8),
        RecordRefusedError,
        "'att_run_1_8' is unknown",
    ),
    "attempt begins twice": (story.attempt_started, RecordRefusedError, "does not fit"),
    "log of nowhere": (lambda: story.logged("x", run_id="run_9"), RecordRefusedError, "is unknown"),
    "older version": (
        lambda: story.defined(1, fingerprint="other"),
        RecordRefusedError,
        "already has version 1",
    ),
    "unknown pipeline": (
        lambda: ev.WorkflowRetired(at=story.START, pipeline="nix"),
        RecordRefusedError,
        "never defined",
    ),
    "not durable": (
        lambda: ev.WorkerStarted(at=story.START, pid=1),
        RecordRefusedError,
        "not a durable event",
    ),
}


@pytest.mark.parametrize("case", ILLEGAL)
async def test_an_illegal_step_is_refused_and_changes_nothing(
    case: str, history: HistoryStore, database: Path
) -> None:
    make, kind, words = ILLEGAL[case]
    await history.record(story.defined(), story.submitted(), story.started())
    await history.record(story.attempt_started(), story.attempt_finished(), story.committed(3))
    await history.record(story.node("check", NodeState.SUCCESS))
    before = _dump(database)
    with pytest.raises(kind, match=words):
        await history.record(story.checked(), make())
    assert _dump(database) == before


async def test_an_ended_run_does_not_change(history: HistoryStore, database: Path) -> None:
    await history.record(story.defined(), *story.whole_run())
    before = _dump(database)
    late: list[ev.Event] = [
        story.finished(),
        story.committed(9),
        story.attempt_started(number=2),
        story.node("fetch", NodeState.RUNNING),
        ev.RunCancelRequested(at=story.START, run_id="run_1", pipeline="eod"),
    ]
    for event in late:
        with pytest.raises(IllegalStepError):
            await history.record(event)
    assert _dump(database) == before


async def test_runs_are_listed_newest_first_by_pipeline_job_state_and_page(
    history: HistoryStore,
) -> None:
    await history.record(story.defined(), story.defined(pipeline="other"))
    for number in range(1, 7):
        pipeline = "eod" if number % 2 else "other"
        event = story.submitted(f"run_{number}", pipeline=pipeline, job_id=f"job_{number // 3}")
        await history.record(event)
    await history.record(story.started("run_1"), story.finished("run_1"))
    await history.record(story.started("run_4"))

    async def ids(**wanted: object) -> str:
        found = await history.runs(RunFilter(**wanted))  # type: ignore[arg-type]
        return "".join(run.run_id.removeprefix("run_") for run in found)

    assert await ids() == "654321"
    assert await ids(limit=2) == "65"
    assert await ids(before="run_5", limit=2) == "43"
    assert await ids(pipeline="eod") == "531"
    assert await ids(pipeline="eod", states=(RunState.QUEUED,)) == "53"
    assert await ids(job_id="job_1") == "543"
    assert await ids(job_id="job_1", pipeline="other") == "4"
    assert await ids(states=(RunState.RUNNING, RunState.SUCCESS)) == "41"
    assert await ids(states=(RunState.QUEUED,), before="run_5", limit=1) == "3"


async def test_definitions_keep_every_version_and_know_which_is_in_force(
    history: HistoryStore,
) -> None:
    await history.record(story.defined(1), story.defined(2), story.defined(pipeline="other"))
    newest = await history.workflow("eod")
    assert newest is not None
    assert (newest.version, newest.active, newest.definition) == (2, True, story.DEFINITION)
    first = await history.workflow("eod", 1)
    assert first is not None
    assert not first.active
    assert [found.name for found in await history.workflows()] == ["eod", "other"]
    await history.record(ev.WorkflowRetired(at=story.START, pipeline="eod"))
    assert [found.active for found in await history.workflows()] == [False, True]
    await history.record(story.defined(2))
    assert [found.active for found in await history.workflows()] == [True, True]
    assert await history.workflow("nix") is None


async def test_a_retry_under_the_same_job_moves_the_job(
    history: HistoryStore, database: Path
) -> None:
    await history.record(story.defined(), story.submitted(), story.started())
    await history.record(story.finished(state=RunState.FAILED))
    again = story.submitted("run_2", job_id="job_1", retry_of="run_1")
    await history.record(again)
    with closing(sqlite3.connect(database)) as reader:
        rows = reader.execute("SELECT job_id, state, run_count, last_run_id FROM pipeline_jobs")
        assert rows.fetchall() == [("job_1", "queued", 2, "run_2")]
    run = await history.run("run_2")
    assert run is not None
    assert run.retry_of == "run_1"


async def test_reports_read_runs_of_a_job_with_rows_and_batches(
    history: HistoryStore, database: Path
) -> None:
    await history.record(story.defined(), *story.whole_run())
    with closing(sqlite3.connect(database)) as reader:
        columns = "job, run_id, state, provider, rows_in, rows_written, batches, duration_s"
        (row,) = reader.execute(f"SELECT {columns} FROM job_runs").fetchall()
        metrics = dict(reader.execute("SELECT metric, value FROM pipeline_metrics").fetchall())
        edges = reader.execute(
            "SELECT node, needs_node, outcomes FROM job_dependencies ORDER BY node"
        ).fetchall()
    assert row == ("eod", "run_1", "success", "synthetic_1", 200, 198, 2, 8.0)
    assert metrics == {
        "duration_s": 8.0,
        "rows_in": 200.0,
        "rows_written": 198.0,
        "rows_unchanged": 0.0,
        "rows_quarantined": 0.0,
        "size_bytes": 200.0,
        "batches": 2.0,
        "attempts": 1.0,
    }
    assert edges == [("check", "fetch", "[]"), ("publish", "check", '["pass","warn"]')]


async def test_totals_count_runs_by_state_rows_and_batches(history: HistoryStore) -> None:
    await history.record(story.defined(), *story.whole_run(), story.submitted("run_2"))
    metrics = await history.metrics()
    assert metrics["runs"] == {
        "queued": 1,
        "running": 0,
        "success": 1,
        "failed": 0,
        "cancelled": 0,
    }
    assert (metrics["rows_written"], metrics["batches"]) == (198, 2)
    assert metrics["database_bytes"] > 100_000


async def test_logs_page_by_id_and_by_node(history: HistoryStore) -> None:
    await history.record(story.defined(), story.submitted(), story.started())
    await history.record(story.logged("a", "b"), story.logged("c"))
    lines = await history.logs("run_1")
    assert [line.line.text for line in lines] == ["a", "b", "c"]
    assert await history.logs("run_1", node="fetch", after_id=lines[0].id, limit=1) == [lines[1]]
    assert await history.logs("run_1", node="check") == []


async def test_an_attempt_that_logs_without_end_is_cut_and_counted(history: HistoryStore) -> None:
    await history.record(story.defined(), story.submitted(), story.started())
    long_line = "x" * (MAX_LOG_BYTES // 4)
    (first,) = await history.record(story.logged(*[long_line] * 3))
    (second,) = await history.record(story.logged(long_line, long_line))
    (third,) = await history.record(story.logged("more"))
    assert [len(event.body["lines"]) for event in (first, second, third)] == [3, 1, 0]
    lines = await history.logs("run_1")
    assert lines[-1].line.text.startswith("truncated: this attempt logged more than 1048576 bytes")
    assert (await history.metrics())["log_lines_dropped"] == 3
    await history.record(story.logged("fresh", attempt=2))
    assert (await history.logs("run_1"))[-1].line.text == "fresh"


def _dump(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as reader:
        return list(reader.iterdump())
