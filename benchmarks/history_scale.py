"""Is a history of 90 days at 10,000 runs a day answered as quickly as a new one?

    uv run python benchmarks/history_scale.py --keep DIR [--runs 900000]

Fills `history.sqlite` in DIR (a real disk; about 2 GB) unless it is there: runs of 50 pipelines, two
nodes, one attempt, two events and one commit each, and a fire for each third run. Most ended well,
one in a thousand failed, the last hundred are open. Then:

- pages: the daemon serves that history, and every page of the API that reads it is asked for, once
  after the file was dropped from the page cache (cold) and nine times more;
- writer: one run after another is recorded, alone and while a prune forgets 2,000 runs, and the
  longest wait is told;
- a reader that holds a transaction: how far the write-ahead log grows, and that it shrinks again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sqlite3
import statistics
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
from daemon import request, start

from openbell.history.store import HistoryStore
from openbell.model import events as ev
from openbell.model.runs import NodeState, RunState

CONFIG = """
version: 2
providers: {synthetic: {type: synthetic, seed: 7}}
storage: {primary: {type: lake, uri: ./lake}}
datasets:
  bars: {provider: synthetic, schema: bars_ohlcv, symbols: [AAPL, MSFT], interval: 1d, calendar: "24/7"}
daemon: {history_keep_days: 3650, history_keep_runs: 10000000}
jobs:
  job_000: {dataset: bars, mode: backfill, from: 2026-01-02, to: 2026-03-31}
"""
SINCE = datetime(2026, 6, 1, tzinfo=UTC)
RUN = "printf('run_%026d', n)"
FILL = {
    "numbers": "CREATE TEMP TABLE numbers AS WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c "
    "WHERE n < :runs) SELECT n, printf('job_%03d', n % 50) AS pipeline, :since + n * 8640000 AS at_us, "
    "CASE WHEN n > :runs - 100 THEN 'queued' WHEN n % 1000 = 7 THEN 'failed' ELSE 'success' END AS state FROM c",
    "workflows": "INSERT INTO pipeline_workflows (pipeline, version, fingerprint, job, mode, definition, active, "
    "created_at_us) SELECT DISTINCT pipeline, 1, 'f', pipeline, 'backfill', "
    """'{"nodes": [{"name": "fetch", "op": "ingest", "needs": {}}]}', 1, :since FROM numbers""",
    "jobs": "INSERT INTO pipeline_jobs SELECT printf('job_%026d', n), pipeline, 'backfill', state, '{}', 'api', 1, "
    f"{RUN}, at_us, CASE WHEN state <> 'queued' THEN at_us + 9000000 END FROM numbers",
    "runs": "INSERT INTO pipeline_runs (run_id, job_id, pipeline, workflow_version, mode, state, params, origin, "
    "dry_run, trace_id, submitted_at_us, started_at_us, finished_at_us, duration_s) "
    f"SELECT {RUN}, printf('job_%026d', n), pipeline, 1, 'backfill', state, '{{}}', 'api', 0, "
    "printf('%032x', n), at_us, CASE WHEN state <> 'queued' THEN at_us END, "
    "CASE WHEN state <> 'queued' THEN at_us + 9000000 END, "
    "CASE WHEN state <> 'queued' THEN 9.0 END FROM numbers",
    "nodes": "INSERT INTO pipeline_nodes (run_id, node, position, op, state, rows_written) "
    f"SELECT {RUN}, j.value, j.key, 'ingest', CASE state WHEN 'queued' THEN 'pending' ELSE state END, 100 * j.key "
    """FROM numbers, json_each('["fetch", "publish"]') AS j""",
    "attempts": "INSERT INTO job_executions (attempt_id, run_id, node, number, state, started_at_us, finished_at_us) "
    f"SELECT printf('att_%026d', n), {RUN}, 'fetch', 1, state, at_us, at_us + 1 FROM numbers "
    "WHERE state <> 'queued'",
    "commits": "INSERT INTO data_lineage (key, run_id, node, pipeline, dataset, provider, start_at_us, end_at_us, "
    "row_count, written_count, unchanged_count, size_bytes, digest, version, committed_at_us) "
    f"SELECT printf('%032x', n), {RUN}, 'publish', pipeline, 'bars_' || (n % 10), 'p', at_us, at_us + 1, 100, 100, "
    "0, 1000, 'd', n, at_us FROM numbers WHERE state = 'success'",
    "metrics": "INSERT INTO pipeline_metrics (run_id, metric, pipeline, value, recorded_at_us) "
    f"SELECT {RUN}, 'duration_s', pipeline, 9.0, at_us FROM numbers WHERE state <> 'queued'",
    "events": "INSERT INTO events (at_us, name, run_id, pipeline, body) "
    f"SELECT at_us, j.value, {RUN}, pipeline, json_object('run_id', {RUN}, 'pipeline', pipeline, 'state', state) "
    """FROM numbers, json_each('["run.submitted", "run.finished"]') AS j""",
    "schedules": "INSERT INTO schedules (schedule_id, pipeline, key, document, origin, added_at_us, added_by, "
    "decided_until_us, passed_until_us) SELECT 'sch_' || pipeline, pipeline, 'k', '{\"expression\": \"every 5m\"}', "
    "'config', :since, '', :since, :since FROM (SELECT DISTINCT pipeline FROM numbers)",
    "fires": "INSERT INTO fires (pipeline, identity, schedule_id, session, event, idx, due_at_us, decided_at_us, "
    "outcome, reason, run_id) SELECT pipeline, printf('%012d', n), 'sch_' || pipeline, NULL, 'close', 0, at_us, "
    f"at_us, 'run', '', {RUN} FROM numbers WHERE n % 3 = 0",
    "letters": "INSERT INTO dead_letters (letter_id, run_id, pipeline, node, state, error_kind, error, traceback, "
    "attempts, params, created_at_us) SELECT printf('letter_%026d', n), "
    f"{RUN}, pipeline, 'fetch', 'waiting', 'transient', 'late', '', 3, '{{}}', at_us FROM numbers "
    "WHERE state = 'failed'",
    "decisions": "INSERT INTO decisions (noted_at_us, pipeline, run_id, node, what, reason) "
    f"SELECT at_us, pipeline, {RUN}, '', 'queued', 'pool full' FROM numbers WHERE n % 10 = 0",
}


async def fill(path: Path, runs: int) -> None:
    """Write a history of so many runs to `path`."""
    async with HistoryStore(path):
        pass
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA cache_size = -400000")
        db.execute("BEGIN")
        known = {"runs": runs, "since": int(SINCE.timestamp() * 1e6)}
        for name, statement in FILL.items():
            began = time.perf_counter()
            db.execute(statement, known)
            print(f"  {name}: {time.perf_counter() - began:.1f} s", flush=True)
        db.execute(
            "UPDATE history_counts SET value = 100 * :runs WHERE name = 'rows_written'", known
        )
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def pages(runs: int) -> list[str]:
    """Return every page that reads history; the last ones of a list where there are cursors."""
    middle, newest = (f"run_{n:026d}" for n in (runs // 2, runs - 200))
    v1 = "/api/v1"
    lists = [
        f"{v1}/runs?limit=100",
        f"{v1}/runs?limit=100&cursor={middle}",
        f"{v1}/runs?limit=100&pipeline=job_007",
        f"{v1}/runs?limit=100&pipeline=job_007&state=failed",
        f"{v1}/runs?limit=100&pipeline=job_008&state=failed",
        f"{v1}/runs?limit=100&pipeline=job_007&state=failed&state=cancelled&state=success",
        f"{v1}/runs?limit=100&pipeline=nothing",
        f"{v1}/runs?limit=100&state=failed",
        f"{v1}/runs?limit=100&state=cancelled",
        f"{v1}/runs?limit=100&state=queued&state=running",
        f"{v1}/runs?limit=100&job=job_{runs // 2:026d}",
        f"{v1}/events?follow=false&limit=1000&after={runs}",
        f"{v1}/events?follow=false&limit=1000&run={newest}",
        f"{v1}/fires?limit=100",
        f"{v1}/fires?limit=100&pipeline=job_007",
        f"{v1}/schedules",
        f"{v1}/pipelines",
        f"{v1}/status",
        "/api/pipeline/jobs/running",
        "/api/pipeline/metrics",
        "/api/pipeline/lineage/bars_7?limit=1000",
        f"{v1}/workflows",
        f"/api/pipeline/jobs/job_{runs // 2:026d}",
    ]
    of_run = [
        f"{v1}/runs/{newest}{part}" for part in ("", "/nodes", "/attempts", "/quality", "/logs")
    ]
    return lists + of_run


def drop(folder: Path) -> None:
    """Drop the history from the page cache."""
    for path in folder.glob("history.sqlite*"):
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


async def ask(folder: Path, runs: int) -> None:
    """Print how long each page takes."""
    slowest = 0.0
    for url in pages(runs):
        drop(folder / "state")
        waits = []
        try:
            for _ in range(10):
                waits.append(await request(folder / "s", "GET", url) * 1e3)  # noqa: PERF401 - each is timed
        except AssertionError as error:
            print(f"  {url}: {str(error)[:120]}")
            continue
        slowest = max(slowest, *waits)
        print(f"  {waits[0]:7.1f} cold {statistics.median(waits[1:]):7.1f} warm  {url}")
    print(f"slowest page {slowest:.0f} ms")


def one_run(run_id: str) -> list[ev.Event]:
    at = datetime.now(UTC)
    return [
        ev.RunSubmitted(
            at=at, run_id=run_id, job_id=run_id, pipeline="job_000", workflow_version=1, mode="backfill",
            nodes=[("fetch", "ingest")],
        ),
        ev.RunStarted(at=at, run_id=run_id, pipeline="job_000"),
        ev.NodeChanged(at=at, run_id=run_id, pipeline="job_000", node="fetch", state=NodeState.SUCCESS),
        ev.RunFinished(
            at=at, run_id=run_id, pipeline="job_000", job="", state=RunState.SUCCESS, duration_s=1.0
        ),
    ]  # fmt: skip


async def record(store: HistoryStore, name: str, *, seconds: float) -> None:
    """Record runs one after another and print how long a record takes."""
    waits, until = [], time.perf_counter() + seconds
    mark = time.monotonic_ns()
    while time.perf_counter() < until:
        began = time.perf_counter()
        await store.record(*one_run(f"run_z{mark}{len(waits):09d}"))
        waits.append((time.perf_counter() - began) * 1e3)
    waits.sort()
    print(
        f"{name}: {len(waits)} runs, p50 {waits[len(waits) // 2]:.2f} ms, "
        f"p99 {waits[len(waits) * 99 // 100]:.1f} ms, longest {waits[-1]:.0f} ms"
    )


async def write(path: Path, runs: int) -> None:
    """Print what the writer's callers wait, alone, beside a prune, and with a reader that stays."""
    async with HistoryStore(path) as store:
        await record(store, "writer alone", seconds=3)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_forget, store, runs)
            await anyio.sleep(0.2)
            await record(store, "writer beside a prune", seconds=3)
        wal = path.with_name(path.name + "-wal")
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM pipeline_workflows").fetchone()
            await record(store, "writer beside a reader that stays", seconds=3)
            print(f"  write-ahead log {wal.stat().st_size / 1e6:.0f} MB")
        await record(store, "writer after it", seconds=2)
        print(f"  write-ahead log {wal.stat().st_size / 1e6:.0f} MB")


async def _forget(store: HistoryStore, runs: int) -> None:
    began = time.perf_counter()
    oldest = (await store.events(limit=1))[0].at
    count = await store.prune(
        before=oldest + timedelta(seconds=9 + 2000 * 8.64), keep_runs=10 * runs
    )
    print(f"prune: {count} runs in {time.perf_counter() - began:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=900_000)
    options = parser.parse_args()
    folder: Path = options.keep.absolute()
    state = folder / "state"
    state.mkdir(parents=True, exist_ok=True)
    (folder / "c.yaml").write_text(CONFIG)
    path = state / "history.sqlite"
    if not path.exists():
        began = time.perf_counter()
        anyio.run(fill, path, options.runs)
        print(f"filled in {time.perf_counter() - began:.0f} s, {path.stat().st_size / 1e9:.2f} GB")
    anyio.run(write, path, options.runs)
    process, ready_s = start(folder)
    try:
        print(f"daemon ready after {ready_s:.2f} s; milliseconds a page:")
        asyncio.run(ask(folder, options.runs))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


if __name__ == "__main__":
    main()
