"""How many nodes a second go through a graph, every transition durable?

A unit of work is one run of a DAG, from its submission to the end that is on disk (real SQLite,
synchronous=FULL): 200 nodes, 10 layers of 20, each needing 2 of the layer above. `control`: nodes
that the daemon answers itself (`noop`). `tasks`: nodes that do nothing in 2 warm workers. Then one
graph of 10,000 nodes with the memory of this process and how long its definition takes to check.

    uv run python benchmarks/graph.py [--runs 5] [--only control|tasks|large]
    uv run python benchmarks/graph.py --json noop|task [--runs 5]   (for peers_graph.py)
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import anyio

from openbell.execution.chains import units
from openbell.execution.pool import PoolLimits, WorkerPool
from openbell.history.store import HistoryStore
from openbell.model.control import Submission
from openbell.model.events import Event, RunFinished
from openbell.model.ids import IdSource
from openbell.model.pipelines import Deployment, Node, Pipeline
from openbell.model.runs import RunState
from openbell.pacing.broker import PacingBroker
from openbell.plugin_host.loading import load_plugins
from openbell.sdk.clock import SystemClock
from openbell.supervisor.engine import LiveEngine
from openbell.supervisor.journal import Journal
from openbell.supervisor.services import Services

SEED = 20261121
WORKERS = 2


def layered(name: str, layers: int, width: int, node: Node) -> Pipeline:
    """Return a graph of layers, each node needing 2 of the layer above."""
    chance = Random(SEED)
    nodes = []
    for layer in range(layers):
        for place in range(width):
            above = chance.sample(range(width), 2) if layer else []
            needs = {f"n{layer - 1}_{other}": () for other in sorted(above)}
            nodes.append(replace(node, name=f"n{layer}_{place}", needs=needs))
    return Pipeline(name=name, nodes=tuple(nodes))


NOOP = Node(name="x", op="noop")
TASK = Node(name="x", op="python", settings={"function": "nothing:nothing"})
NOTHING = "def nothing():\n    return None\n"


class Ended:
    """Sees ends of runs, once they are on disk."""

    def __init__(self) -> None:
        self.last: RunFinished | None = None
        self.next = anyio.Event()

    def see(self, event: Event) -> None:
        """Note how a run ended."""
        if isinstance(event, RunFinished):
            self.last = event
            self.next.set()


@dataclass(frozen=True, slots=True)
class Bench:
    """An engine, and who sees the ends of its runs."""

    live: LiveEngine
    ended: Ended


@asynccontextmanager
async def engine(folder: Path, *pipelines: Pipeline) -> AsyncIterator[Bench]:
    """Yield an engine as the daemon composes it, without its doors."""
    clock = SystemClock()
    registry = load_plugins()

    async def tell(_event: Event) -> None:
        """Nobody asks about workers here."""

    async with (
        HistoryStore(folder / "history.sqlite") as history,
        WorkerPool(
            limits=PoolLimits(max_workers=WORKERS),
            clock=clock,
            scratch_dir=folder / "workers",
            environment={},
            tell=tell,
        ) as pool,
    ):
        chance = Random(SEED)
        deployment = Deployment(
            source=str(folder / "config.yaml"),
            profile="default",
            digest="1",
            pipelines={pipeline.name: pipeline for pipeline in pipelines},
        )
        ended = Ended()
        services = Services(
            clock=clock,
            history=history,
            journal=Journal(history, (ended,), clock=clock),
            executor=pool,
            broker=PacingBroker(clock),
            sessions=_NoSessions(),
            specs=registry,
            ids=IdSource(chance.getrandbits),
            state_dir=folder,
            deployment=deployment,
            jitter=chance.random,
            random_bits=chance.getrandbits,
        )

        async def load() -> Deployment:
            return deployment

        async with LiveEngine(services, pool, load=load, parse=_no_parse) as live:
            yield Bench(live, ended)


class _NoSessions:
    async def between(self, *_: object) -> object:
        raise AssertionError("nothing here has sessions")

    async def require(self, *_: object) -> None:
        """Nothing is required."""


def _no_parse(_document: object) -> Pipeline:
    raise AssertionError("nothing is defined here")


async def run_s(bench: Bench, name: str) -> float:
    """Return the seconds from submission to the recorded end of the only run."""
    ended = bench.ended
    ended.next = anyio.Event()
    began_s = time.perf_counter()
    await bench.live.submit(Submission(pipeline=name))
    await ended.next.wait()
    taken_s = time.perf_counter() - began_s
    if ended.last is None or ended.last.state is not RunState.SUCCESS:
        raise SystemExit(f"the run did not succeed: {ended.last}")
    return taken_s


async def rates(title: str, pipeline: Pipeline, rounds: int) -> None:
    """Print nodes a second."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "nothing.py").write_text(NOTHING, encoding="utf-8")
        async with engine(Path(name), pipeline) as live:
            await run_s(live, pipeline.name)
            found = sorted([await run_s(live, pipeline.name) for _ in range(rounds)])
    count = len(pipeline.nodes)
    middle = statistics.median(found)
    print(
        f"{title:<28} {count / middle:>8,.0f} nodes/s   "
        f"median {middle * 1000:.1f} ms, best {found[0] * 1000:.1f}, worst {found[-1] * 1000:.1f}"
    )


def peak_mb() -> float:
    """Return the most memory that this process ever had resident."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


async def large() -> None:
    """Print what a graph of 10,000 nodes takes."""
    pipeline = layered("large", 100, 100, NOOP)
    began_s = time.perf_counter()
    units(pipeline, {"noop": "control"})
    print(f"{'cut 10,000 nodes':<28} {(time.perf_counter() - began_s) * 1000:>8.0f} ms")
    await rates("control, 10,000 nodes", pipeline, 1)
    print(f"{'peak memory':<28} {peak_mb():>8.0f} MB")


async def as_json(node: Node, rounds: int) -> None:
    """Print the seconds of each 200-node run and each one-node run, as peers_graph.py reads them."""
    graph, one = layered("graph", 10, 20, node), layered("one", 1, 1, node)
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "nothing.py").write_text(NOTHING, encoding="utf-8")
        async with engine(Path(name), graph, one) as live:
            await run_s(live, graph.name)
            found = {
                "graph_s": [await run_s(live, graph.name) for _ in range(rounds)],
                "one_s": [await run_s(live, one.name) for _ in range(rounds)],
            }
    print(json.dumps(found))


async def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", choices=("control", "tasks", "large"))
    parser.add_argument("--json", choices=("noop", "task"))
    asked = parser.parse_args()
    if asked.json:
        await as_json({"noop": NOOP, "task": TASK}[asked.json], asked.runs)
        return
    print(f"{'machine':<28} Python {platform.python_version()}, {platform.machine()}")
    if asked.only in {None, "control"}:
        await rates("control, 200 nodes", layered("control", 10, 20, NOOP), asked.runs)
    if asked.only in {None, "tasks"}:
        await rates("tasks, 200 nodes", layered("tasks", 10, 20, TASK), asked.runs)
    if asked.only in {None, "large"}:
        await large()


if __name__ == "__main__":
    anyio.run(main)
