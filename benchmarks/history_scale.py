"""Is a history of 90 days at 10,000 runs a day answered as quickly as a new one?

    uv run python benchmarks/history_scale.py --keep DIR [--runs 900000]

Fills `history.sqlite` in DIR (a real disk; about 2.5 GB) unless it is there: runs of 50 pipelines, two
nodes, one attempt, two events and one commit each, and a fire for each third run. Most ended well,
one in a hundred failed, the last thousand are open; one run has much of everything. Then:

- writer: one run after another is recorded, alone and while a prune forgets 2,000 runs, and the
  longest wait is told;
- a reader that holds a transaction: how far the write-ahead log grows, and that it shrinks again;
- start: seconds until a daemon is READY on it, after `kill -9` and with the file out of the page cache, beside
  one with an empty history;
- pages: the daemon serves that history, and every page of the API is asked for, three times after the file
  was dropped from the page cache (cold) and nine times more. Routes that nobody wrote down here are named;
- the control plane's largest resident size after all that.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import signal
import sqlite3
import statistics
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import history_fill
import httpx
from daemon import request, start

from openbell.history.store import HistoryStore
from openbell.model import events as ev
from openbell.model.runs import NodeState, RunState


def pages(runs: int, schedule: str) -> list[str]:
    """Return every page: each list with its filters, from its begin, its middle and near its end."""
    open_, middle = f"run_{runs:026d}", f"run_{runs // 2:026d}"
    rich, letter = (
        f"run_{runs - history_fill.OPEN:026d}",
        f"letter_{runs // 2 // 100 * 100 + 7:026d}",
    )
    api, v1, day = "/api/pipeline", "/api/v1", "2026-07-01T00:00:00Z"
    day_us = int(datetime.fromisoformat(day).timestamp() * 1e6)
    of_list = {
        "runs?limit=500": [
            "", f"&cursor={middle}", f"&cursor=run_{1000:026d}", "&pipeline=job_007", "&pipeline=nothing",
            "&pipeline=job_007&state=failed", "&pipeline=job_008&state=failed", "&state=failed", "&state=cancelled",
            "&pipeline=job_007&state=failed&state=cancelled&state=success", "&state=queued&state=running",
            f"&job_id=job_{runs // 2:026d}",
        ],
        "events?follow=false&limit=1000": [
            "", f"&after={runs}", f"&after={2 * runs - 1000}", f"&run={rich}", "&pipeline=job_007", "&after=9&limit=5000",
        ],
        "fires?limit=500": [
            "", "&pipeline=job_007", "&pipeline=nothing", f"&cursor={day_us}.{day_us}.job_007.x",
            f"&pipeline=job_007&cursor={day_us}.{day_us}.job_007.x",
        ],
        "dlq?limit=500": [
            "", f"&cursor={letter}", "&pipeline=job_007", "&state=waiting", "&state=purged", "&kind=transient",
            "&kind=nothing", f"&run={middle}", f"&since={day}", f"&pipeline=job_007&kind=nothing&since={day}",
        ],
        f"runs/{rich}": ["", "/nodes", "/attempts", "/attempts?node=fetch", "/quality", "/approvals"],
        f"runs/{rich}/logs?limit=5000": ["", "&node=fetch", "&after=9000"],
        f"runs/{rich}/nodes/fetch/items?limit=500": ["", "&cursor=90000", "&state=success", "&state=failed"],
        f"runs/{open_}": ["", "/nodes"],
        "explain/runs/": [open_, rich, middle, f"{rich}/nodes/fetch", f"{open_}/nodes/publish"],
        "explain/pipelines/": ["job_007"],
        "schedules": ["", "?pipeline=job_007", f"/{schedule}"],
        "pipelines": ["", "/job_007"],
        "workflows": ["", "/job_007"],
        f"dlq/{letter}": [""],
        "calendars": ["", "/24-7", "/24-7/sessions?from=2026-01-01&to=2026-12-31", "/24-7/next", "/24-7/overlays"],
        **{name: [""] for name in ["approvals", "budgets", "config", "datasets", "plugins", "status", "workers"]},
    }  # fmt: skip
    return [
        *(f"{v1}/{first}{more}" for first, others in of_list.items() for more in others),
        f"{api}/jobs/running",
        f"{api}/jobs/job_{runs // 2:026d}",
        f"{api}/metrics",
        f"{api}/lineage/bars_7?limit=1000",
        f"{api}/workflows/job_007/dag",
        "/livez",
        "/readyz",
        "/metrics",
        "/openapi.json",
    ]


def left_out(document: dict[str, dict[str, dict[str, object]]], urls: list[str]) -> list[str]:
    """Return the routes that no page of `urls` is of."""
    paths = [url.partition("?")[0] for url in urls]
    routes = [path for path, methods in document["paths"].items() if "get" in methods]
    return [
        route
        for route in routes
        if not any(re.fullmatch(re.sub(r"{\w+}", "[^/]+", route), path) for path in paths)
    ]


def drop(folder: Path) -> None:
    """Drop the history from the page cache."""
    for path in folder.glob("history.sqlite*"):
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


async def ask(folder: Path, runs: int) -> None:
    """Print how long each page takes, and which routes nobody asked for."""
    slowest = 0.0
    transport = httpx.AsyncHTTPTransport(uds=str(folder / "s"))
    async with httpx.AsyncClient(transport=transport, base_url="http://x", timeout=60) as client:
        document = (await client.get("/openapi.json")).json()
        found = (await client.get("/api/v1/schedules?pipeline=job_007")).json()
        await client.get("/api/v1/calendars?build=true")  # workers build them
    urls = pages(runs, found["items"][0]["id"])
    for url in urls:
        waits: dict[str, list[float]] = {"cold": [], "warm": []}
        for kind in ["cold"] * 3 + ["warm"] * 9:
            if kind == "cold":
                drop(folder / "state")
            waits[kind].append(await request(folder / "s", "GET", url) * 1e3)
        cold, warm = (statistics.median(each) for each in waits.values())
        slowest = max(slowest, cold, warm)
        print(f"  {cold:7.1f} cold {warm:7.1f} warm {max(waits['warm']):7.1f} worst  {url}")
    print(
        f"{len(urls)} pages, slowest {slowest:.0f} ms (medians of three cold ones and nine warm ones)"
    )
    print(f"routes that were left out: {left_out(document, urls) or 'none'}")


def peak_mb(pid: int) -> float:
    """Return the largest resident size that a process has had."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+)", text)[0]) / 1024


def starts(folder: Path, name: str, *, is_cold: bool = False) -> None:
    """Print how soon a daemon in `folder` is ready; each one before was killed."""
    waits = []
    for _ in range(5):
        if is_cold:
            drop(folder / "state")
        process, ready_s = start(folder)
        waits.append(ready_s)
        process.kill()
        process.wait(30)
        (folder / "s").unlink(missing_ok=True)
    print(f"{name}: ready after {statistics.median(waits):.2f} s (worst {max(waits):.2f})")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a daemon at once, whatever is open."""
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
    process.wait(60)


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
    before = history_fill.SINCE + timedelta(seconds=9 + 2000 * 8.64)
    count = await store.prune(before=before, keep_runs=10 * runs)
    print(f"prune: {count} runs in {time.perf_counter() - began:.1f} s")


def prepare(folder: Path, runs: int) -> Path:
    """Return a history of so many runs in `folder`, made unless it is there."""
    path = folder / "state" / "history.sqlite"
    path.parent.mkdir(parents=True, exist_ok=True)
    (folder / "c.yaml").write_text(history_fill.CONFIG)
    if not path.exists():
        began = time.perf_counter()
        stop(start(folder)[0])
        shutil.copytree(path.parent, folder / "empty" / "state")
        shutil.copy(folder / "c.yaml", folder / "empty")
        history_fill.fill(path, runs)
        print(f"filled in {time.perf_counter() - began:.0f} s, {path.stat().st_size / 1e9:.2f} GB")
    return path


def main() -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=900_000)
    options = parser.parse_args()
    folder: Path = options.keep.absolute()
    path = prepare(folder, options.runs)
    anyio.run(write, path, options.runs)
    starts(folder / "empty", "empty history")
    starts(folder, f"{options.runs:,} runs, {history_fill.OPEN:,} of them open")
    starts(folder, "the same, not in the page cache", is_cold=True)
    process, _ = start(folder)
    try:
        print("milliseconds a page:")
        asyncio.run(ask(folder, options.runs))
        print(f"largest resident size of the control plane: {peak_mb(process.pid):.0f} MB")
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    finally:
        stop(process)


if __name__ == "__main__":
    main()
