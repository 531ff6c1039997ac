from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from doubles import story

from openbell.history.retention import ROWS_A_STEP
from openbell.history.store import HistoryStore
from openbell.model import events as ev
from openbell.model.history import RunFilter
from openbell.model.runs import NodeState, RunState

pytestmark = pytest.mark.integration

OF_RUNS = (
    "pipeline_jobs",
    "pipeline_runs",
    "pipeline_nodes",
    "job_executions",
    "checkpoints",
    "data_lineage",
    "quality_results",
    "node_logs",
    "node_log_sizes",
    "pipeline_metrics",
)


async def _ids(history: HistoryStore) -> list[str]:
    return [run.run_id for run in await history.runs(RunFilter(limit=1000))]


async def test_runs_that_ended_before_an_instant_go_with_all_that_depends_on_them(
    history: HistoryStore, database: Path
) -> None:
    await history.record(story.defined(), *story.whole_run())
    assert await history.prune(before=story.after(9.0), keep_runs=100) == 0
    assert await history.prune(before=story.after(9.1), keep_runs=100) == 1
    with closing(sqlite3.connect(database)) as reader:
        for table in OF_RUNS:
            assert reader.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    assert await history.events() == []
    assert await history.workflow("eod") is not None


async def test_the_newest_runs_are_kept_by_count(history: HistoryStore) -> None:
    await history.record(story.defined())
    for number in range(25):
        await history.record(*story.whole_run(f"run_{number:02}"))
    assert await history.prune(before=story.START, keep_runs=3) == 22
    assert await _ids(history) == ["run_24", "run_23", "run_22"]
    assert await history.prune(before=story.START, keep_runs=0) == 3


async def test_an_unfinished_run_is_never_forgotten(history: HistoryStore) -> None:
    await history.record(story.defined(), story.submitted("run_1"), story.submitted("run_2"))
    await history.record(story.started("run_2"))
    assert await history.prune(before=story.after(1e6), keep_runs=0) == 0
    assert await _ids(history) == ["run_2", "run_1"]


async def test_a_job_stays_while_one_of_its_runs_does(
    history: HistoryStore, database: Path
) -> None:
    await history.record(story.defined(), story.submitted(), story.started())
    await history.record(story.finished(state=RunState.FAILED))
    await history.record(story.submitted("run_2", job_id="job_1"))
    assert await history.prune(before=story.after(100.0), keep_runs=10) == 1
    with closing(sqlite3.connect(database)) as reader:
        assert reader.execute("SELECT job_id FROM pipeline_jobs").fetchall() == [("job_1",)]


async def test_old_events_of_no_run_go_and_event_ids_are_not_given_again(
    history: HistoryStore,
) -> None:
    def stopping(at_s: float) -> ev.Event:
        return ev.DaemonStopping(at=story.after(at_s), how="drain", running=0)

    await history.record(*[stopping(float(number)) for number in range(1200)])
    assert await history.prune(before=story.after(1199.0), keep_runs=10) == 0
    assert [event.id for event in await history.events()] == [1200]
    await history.prune(before=story.after(5000.0), keep_runs=10)
    assert await history.events() == []
    assert await history.last_event_id() == 1200
    (stored,) = await history.record(stopping(1.0))
    assert stored.id == 1201


async def test_the_file_shrinks_when_runs_are_forgotten(
    history: HistoryStore, database: Path
) -> None:
    await history.record(story.defined())
    for number in range(40):
        await history.record(*story.whole_run(f"run_{number:02}")[:-1])
        await history.record(story.logged("x" * 50_000, run_id=f"run_{number:02}"))
        await history.record(story.finished(f"run_{number:02}"))
    before = (await history.metrics())["database_bytes"]
    await history.prune(before=story.START, keep_runs=1)
    after = (await history.metrics())["database_bytes"]
    assert before > 4_000_000
    assert after < 500_000


async def test_records_go_on_while_runs_are_forgotten(history: HistoryStore) -> None:
    await history.record(story.defined())
    for number in range(100):
        await history.record(*story.whole_run(f"run_{number:03}"))
    recorded_while_pruning = 0
    done = anyio.Event()

    async def prune() -> None:
        assert await history.prune(before=story.after(100.0), keep_runs=1000) == 100
        done.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(prune)
        while not done.is_set():
            await history.record(story.submitted(f"run_9{recorded_while_pruning:03}"))
            recorded_while_pruning += 1
    assert recorded_while_pruning >= 5
    assert len(await _ids(history)) == recorded_while_pruning


async def test_a_run_with_many_rows_is_forgotten_in_parts(
    history: HistoryStore, database: Path
) -> None:
    nodes = [(f"n{number}", "noop") for number in range(3 * ROWS_A_STEP)]
    await history.record(story.defined(), story.submitted("run_1", nodes=nodes))
    await history.record(
        story.started("run_1"), *(story.node(name, NodeState.SUCCESS, "run_1") for name, _ in nodes)
    )
    await history.record(story.finished("run_1"))
    assert await history.prune(before=story.after(60.0), keep_runs=0) == 1
    with closing(sqlite3.connect(database)) as reader:
        for table in ("events WHERE run_id IS NOT NULL", "pipeline_nodes", "pipeline_runs"):
            assert reader.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


async def test_a_copy_is_made_while_others_write_and_a_cancelled_one_leaves_nothing(
    history: HistoryStore, database: Path
) -> None:
    await history.record(story.defined(), story.submitted("run_1"))
    for attempt in range(8):
        await history.record(story.logged("x" * 900_000, attempt=attempt + 1))
    copies: list[Path] = []

    async def copy() -> None:
        copies.append(await history.backup(now=story.START))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(copy)
        while not copies:
            await history.record(story.logged("y"))
    with closing(sqlite3.connect(copies[0])) as reader:
        assert reader.execute("SELECT count(*) FROM node_logs").fetchone()[0] >= 8
    with anyio.move_on_after(0.001) as scope:
        await history.backup(now=story.after(1.0))
    left = {path.name for path in database.parent.glob("history.sqlite.backup-*")}
    assert left == {copies[0].name} or not scope.cancelled_caught
