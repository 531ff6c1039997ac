"""How soon is the daemon ready when 1,000 runs were open as it died?

    uv run python benchmarks/recovery.py [--runs 1000] [--nodes 10] [--rounds 5]

Writes a history with so many open runs of one pipeline, half their nodes ended, starts `mdp daemon run`
on it and waits for READY=1 on a real NOTIFY_SOCKET. Each round begins with a copy of that history. All
of them may go on, 64 at once. Beside it: a daemon with an empty history, and the queries alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import anyio
from daemon import start

from openbell.history.store import HistoryStore
from openbell.model import events as ev
from openbell.model.runs import NodeState

AT = datetime(2026, 11, 2, tzinfo=UTC)


def config(nodes: int) -> str:
    """Return a configuration of one pipeline whose nodes wait for each other in a line."""
    head = "version: 2\npipelines:\n  line:\n    max_active_runs: 64\n    nodes:\n"
    lines = ["      n000: {op: wait, until: 2099-01-01T00:00:00Z}\n"]
    lines += [f"      n{k:03}: {{op: noop, needs: [n{k - 1:03}]}}\n" for k in range(1, nodes)]
    return head + "".join(lines)


async def fill(path: Path, runs: int, nodes: int) -> None:
    """Add open runs to a history that knows the pipeline."""
    names = [f"n{k:03}" for k in range(nodes)]
    async with HistoryStore(path) as store:
        for number in range(runs):
            run_id = f"run_{number:026}"
            same = {"at": AT, "run_id": run_id, "pipeline": "line"}
            await store.record(
                ev.RunSubmitted(
                    **same, job_id=f"job_{number:026}", workflow_version=1, mode="interval",
                    nodes=[(name, "noop") for name in names],
                ),
                ev.RunStarted(**same),
                *(
                    ev.NodeChanged(**same, node=name, state=NodeState.SUCCESS, attempt=1)
                    for name in names[: nodes // 2]
                ),
            )  # fmt: skip


async def ask(path: Path) -> float:
    """Return seconds that the queries take."""
    async with HistoryStore(path) as store:
        began = time.perf_counter()
        found = await store.open_runs(limit=1_000_000)
        elapsed_s = time.perf_counter() - began
    print(f"queries: {len(found)} runs, {sum(len(each.nodes) for each in found)} nodes")
    return elapsed_s


def ready(folder: Path) -> float:
    """Return seconds until a daemon in `folder` is ready."""
    process, elapsed_s = start(folder)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    (folder / "s").unlink(missing_ok=True)
    return elapsed_s


def shown(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} s (min {min(values):.2f}, max {max(values):.2f})"


def main() -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        folder = Path(place)
        state = folder / "state"
        (folder / "c.yaml").write_text(config(options.nodes))
        empty = [ready(folder) for _ in range(options.rounds)]
        print(f"nothing open: ready after {shown(empty)}")
        anyio.run(fill, state / "history.sqlite", options.runs, options.nodes)
        print(f"queries alone: {anyio.run(ask, state / 'history.sqlite'):.3f} s")
        shutil.copytree(state, folder / "before")
        waits = []
        for _ in range(options.rounds):
            shutil.rmtree(state)
            shutil.copytree(folder / "before", state)
            waits.append(ready(folder))
        print(f"{options.runs} runs of {options.nodes} nodes open: ready after {shown(waits)}")


if __name__ == "__main__":
    main()
