"""How many transitions a second does history record, and how long does a lone caller wait?

A unit of work is one `record` call, durable when it returns: with one event, or with the steps of a
layer of a graph (40). Rounds use a fresh
database each in `--dir` (a real disk, not tmpfs). For scale the same event rows are written with
plain sqlite3: one synced transaction an event, the least that durability costs without groups.

    uv run python benchmarks/history.py
"""

from __future__ import annotations

import argparse
import platform
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio

from openbell.history.store import HistoryStore
from openbell.model import events as ev
from openbell.model.history import RunFilter
from openbell.model.runs import NodeState, RunState, Totals

AT = datetime(2026, 1, 2, tzinfo=UTC)
PIPELINE = "p"
NODE = "fetch"
ROUNDS = 5


def run_events(run_id: str) -> list[ev.Event]:
    """Return the events of a small run: eight transitions."""
    same: dict[str, Any] = {"at": AT, "run_id": run_id, "pipeline": PIPELINE}
    attempt = {**same, "attempt_id": f"att_{run_id}", "node": NODE, "number": 1}
    totals = {NODE: Totals(rows_in=1000, rows_out=1000)}
    return [
        ev.RunSubmitted(
            **same, job_id=run_id, workflow_version=1, mode="backfill", nodes=[(NODE, "ingest")]
        ),
        ev.RunStarted(**same),
        ev.AttemptStarted(**attempt),
        ev.NodeChanged(**same, node=NODE, state=NodeState.RUNNING, attempt=1),
        ev.BatchCommitted(**same, node=NODE, next_chunk=1, cursor="c", totals=totals),
        ev.AttemptFinished(**attempt, state="success", duration_s=1.0),
        ev.NodeChanged(**same, node=NODE, state=NodeState.SUCCESS, attempt=1),
        ev.RunFinished(**same, job="", state=RunState.SUCCESS, duration_s=1.0),
    ]


async def defined(store: HistoryStore) -> None:
    definition = {"nodes": [{"name": NODE, "op": "ingest", "needs": {}}]}
    await store.record(
        ev.WorkflowDefined(
            at=AT, pipeline=PIPELINE, version=1, fingerprint="f", definition=definition
        )
    )


async def concurrent(store: HistoryStore, *, callers: int, runs: int) -> float:
    """Return transitions a second with so many callers."""

    async def caller(lane: int) -> None:
        for number in range(lane, runs, callers):
            for event in run_events(f"run_{number:07}"):
                await store.record(event)

    began = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for lane in range(callers):
            tasks.start_soon(caller, lane)
    return runs * 8 / (time.perf_counter() - began)


LAYERS, WIDTH = 10, 20


def layers(run_id: str) -> list[list[ev.Event]]:
    """Return the events of a run of 200 nodes in workers, as its driver records them."""
    names = [[f"n{layer:02}{k:02}" for k in range(WIDTH)] for layer in range(LAYERS)]
    same: dict[str, Any] = {"at": AT, "run_id": run_id, "pipeline": PIPELINE}
    calls: list[list[ev.Event]] = [
        [
            ev.RunSubmitted(
                **same,
                job_id=run_id,
                workflow_version=1,
                mode="interval",
                nodes=[(name, "python") for layer in names for name in layer],
            ),
            ev.RunStarted(**same),
        ]
    ]
    for layer in names:
        began: list[ev.Event] = []
        ended: list[ev.Event] = []
        for name in layer:
            node = {**same, "node": name}
            attempt = {**node, "attempt_id": f"att_{run_id}{name}", "number": 1}
            began.append(ev.AttemptStarted(**attempt))
            began.append(ev.NodeChanged(**node, state=NodeState.RUNNING, attempt=1))
            ended.append(ev.AttemptFinished(**attempt, state="success", duration_s=1.0))
            ended.append(ev.NodeChanged(**node, state=NodeState.SUCCESS, attempt=1))
        calls += [began, ended]
    return [*calls, [ev.RunFinished(**same, job="", state=RunState.SUCCESS, duration_s=1.0)]]


async def batched(store: HistoryStore, *, callers: int) -> float:
    """Return transitions a second of so many such runs at once, a call for each half of a layer."""
    plans = [layers(f"run_{lane:07}") for lane in range(callers)]

    async def caller(lane: int) -> None:
        for events in plans[lane]:
            await store.record(*events)

    began = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for lane in range(callers):
            tasks.start_soon(caller, lane)
    return sum(len(events) for plan in plans for events in plan) / (time.perf_counter() - began)


async def alone(store: HistoryStore, *, runs: int) -> list[float]:
    """Return each call's milliseconds for one caller."""
    waits_ms: list[float] = []
    for number in range(runs):
        for event in run_events(f"run_{number:07}"):
            began = time.perf_counter()
            await store.record(event)
            waits_ms.append((time.perf_counter() - began) * 1e3)
    return waits_ms


def plain(path: Path, *, count: int) -> float:
    """Return events a second of plain sqlite3, one synced transaction an event."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, body TEXT)")
    began = time.perf_counter()
    for _ in range(count):
        db.execute("INSERT INTO events (body) VALUES (?)", ("x" * 200,))
    rate = count / (time.perf_counter() - began)
    db.close()
    return rate


async def opened(path: Path) -> float:
    """Return milliseconds from a closed file to a history that answers."""
    began = time.perf_counter()
    async with HistoryStore(path) as store:
        await store.runs(RunFilter(limit=1))
        return (time.perf_counter() - began) * 1e3


async def rounds(folder: Path, measure: Callable[[HistoryStore], Awaitable[float]]) -> list[float]:
    """Return the measure of five fresh databases."""
    found: list[float] = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            async with HistoryStore(Path(place) / "history.sqlite") as store:
                await defined(store)
                found.append(await measure(store))
    return found


def shown(values: list[float], unit: str) -> str:
    median = statistics.median(values)
    return f"{median:,.2f} {unit} (min {min(values):,.2f}, max {max(values):,.2f})"


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, default=Path())
    folder = Path(tempfile.mkdtemp(dir=parser.parse_args().dir, prefix=".bench-history-"))
    print(
        f"{platform.machine()}, python {platform.python_version()}, sqlite {sqlite3.sqlite_version}"
    )
    try:
        for callers in (1, 8, 50, 200):

            async def together(store: HistoryStore, callers: int = callers) -> float:
                return await concurrent(store, callers=callers, runs=max(100, callers * 5))

            rates = await rounds(folder, together)
            print(f"{callers:4} callers: {shown(rates, 'transitions/s')}")

        for callers in (1, 10):

            async def graphs(store: HistoryStore, callers: int = callers) -> float:
                return await batched(store, callers=callers)

            rates = await rounds(folder, graphs)
            print(f"{callers:4} runs of 200 nodes in batches: {shown(rates, 'transitions/s')}")

        async def one_median(store: HistoryStore) -> float:
            return statistics.median(await alone(store, runs=60))

        async def one_p99(store: HistoryStore) -> float:
            return statistics.quantiles(await alone(store, runs=60), n=100)[98]

        print(f"one caller p50: {shown(await rounds(folder, one_median), 'ms')}")
        print(f"one caller p99: {shown(await rounds(folder, one_p99), 'ms')}")
        lone = [plain(folder / f"plain-{n}", count=1000) for n in range(ROUNDS)]
        print(f"plain sqlite3, an event a transaction: {shown(lone, 'events/s')}")
        path = folder / "history.sqlite"
        print(f"open, new:  {await opened(path):.2f} ms")
        async with HistoryStore(path) as store:
            await defined(store)
            await concurrent(store, callers=200, runs=20_000)
            size_mb = (await store.metrics())["database_bytes"] / 1e6
            began = time.perf_counter()
            await store.metrics()
            metrics_ms = (time.perf_counter() - began) * 1e3
            began = time.perf_counter()
            await store.runs(RunFilter(limit=50, states=(RunState.SUCCESS,)))
            runs_ms = (time.perf_counter() - began) * 1e3
            began = time.perf_counter()
            await store.events(after_id=100_000, limit=1000)
            events_ms = (time.perf_counter() - began) * 1e3
        again = [await opened(path) for _ in range(ROUNDS)]
        print(f"open, 20,000 runs, {size_mb:.0f} MB: {shown(again, 'ms')}")
        print(
            f"metrics {metrics_ms:.1f} ms, 50 runs {runs_ms:.1f} ms, 1000 events {events_ms:.1f} ms"
        )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    anyio.run(main)
