"""How many task nodes a second go through two warm workers, and how long does one take?

Each task is a `NodeCall` of an operator that does nothing: what is timed is the way there and back,
with measuring, capture of output and clean-up. No history: `benchmarks/graphs.py` has that.

    uv run python benchmarks/workers.py
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

import anyio

from openbell.execution.pool import PoolLimits, SilentListener, StopSignal, WorkerPool
from openbell.execution.protocol import Done, Factory, NodeCall, NodeTask
from openbell.model.events import Event
from openbell.sdk.clock import SystemClock
from openbell.sdk.settings import NoSettings
from openbell.sdk.tasks import TaskContext, TaskResult

TASKS, ROUNDS = 2000, 5


class Nothing:
    """An operator that does nothing."""

    def __init__(self, settings: NoSettings) -> None:
        del settings

    def run(self, context: TaskContext) -> TaskResult:
        """Do nothing."""
        del context
        return TaskResult()


def call(folder: Path, number: int) -> NodeCall:
    return NodeCall(
        attempt_id=f"att_{number}",
        run_id="run_1",
        pipeline="bench",
        attempt=1,
        node=NodeTask(
            name=f"node_{number}",
            op="nothing",
            maker=Factory(
                name="nothing",
                factory="workers:Nothing",
                model="openbell.sdk.settings:NoSettings",
                settings={},
            ),
            needs={},
        ),
        inputs={},
        backends={},
        params={},
        environment={},
        spool_path=str(folder / "spool" / "run_1" / "node.arrow"),
        spool_dir=str(folder / "spool" / f"att_{number}"),
        dry_run=False,
        now_us=0,
        traceparent=f"00-{'1' * 32}-{number:016x}-01",
    )


def pool_in(folder: Path) -> WorkerPool:
    async def tell(event: Event) -> None:
        del event

    return WorkerPool(
        limits=PoolLimits(max_tasks=10**9),
        clock=SystemClock(),
        scratch_dir=folder / "workers",
        environment={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        tell=tell,
    )


async def run(pool: WorkerPool, task: NodeCall) -> None:
    answer, _ = await pool.submit(task, SilentListener(), StopSignal())
    assert isinstance(answer, Done), answer


async def through_two(pool: WorkerPool, folder: Path) -> float:
    """Return tasks a second."""
    waiting = [call(folder, number) for number in range(TASKS)]

    async def work() -> None:
        while waiting:
            await run(pool, waiting.pop())

    began = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(work)
    return TASKS / (time.perf_counter() - began)


async def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cold, warm = [], []
        for _ in range(ROUNDS):
            async with pool_in(folder) as pool:
                began = time.perf_counter()
                await run(pool, call(folder, 0))
                cold.append(time.perf_counter() - began)
                for number in range(20):
                    began = time.perf_counter()
                    await run(pool, call(folder, number))
                    warm.append(time.perf_counter() - began)
        async with pool_in(folder) as pool:
            await through_two(pool, folder)
            rates = [await through_two(pool, folder) for _ in range(ROUNDS)]
    print(f"cold worker, one task   median {statistics.median(cold) * 1e3:8.1f} ms")
    print(f"warm worker, one task   median {statistics.median(warm) * 1e3:8.2f} ms")
    print(
        f"two warm workers        median {statistics.median(rates):8.0f} tasks/s"
        f"   ({min(rates):.0f} to {max(rates):.0f})"
    )


if __name__ == "__main__":
    anyio.run(main)
