"""Tasks for real workers, and a pool that they are given to."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from openbell.execution.last_words import LastWords
from openbell.execution.orphans import output_path, scratch_path
from openbell.execution.pool import PoolLimits, StopSignal, WorkerPool
from openbell.execution.protocol import (
    Ask,
    Done,
    Factory,
    Failed,
    FromWorker,
    Logged,
    NodeCall,
    NodeTask,
    Task,
)
from openbell.model.events import Event, WorkerStopped
from openbell.sdk.clock import SystemClock
from openbell.sdk.values import to_us
from openbell.testing.requests import START

TESTS = Path(__file__).parents[1]


class Calls:
    """A pool, what its workers said, and what became of them."""

    def __init__(self, pool: WorkerPool, state: Path) -> None:
        self.pool = pool
        self.state = state
        self.heard: list[FromWorker] = []
        self.events: list[Event] = []

    async def hear(self, message: FromWorker) -> None:
        self.heard.append(message)

    def left_behind(self, words: LastWords) -> None:
        self.words = words

    async def answer(self, question: Ask, stop: StopSignal) -> tuple[bool, int]:
        return True, 0

    async def run(self, task: Task, stop: StopSignal | None = None) -> Done | Failed:
        with anyio.fail_after(60):
            answer, _ = await self.pool.submit(task, self, stop or StopSignal())
        return answer

    async def python(self, function: str, /, **args: Any) -> Done | Failed:
        """Call one of `doubles.task_functions`."""
        settings = {"function": f"doubles.task_functions:{function}", "args": args}
        return await self.run(self.call("python", settings))

    async def busy(self) -> int:
        """Return the pid of the worker that has a task, once there is one."""
        with anyio.fail_after(30):
            while True:
                for status in self.pool.status():
                    if status.state == "busy" and status.run_id:
                        return status.pid
                await anyio.sleep(0.01)

    def call(self, op: str, settings: Mapping[str, Any], **changes: Any) -> NodeCall:
        kind = op.capitalize()
        maker = Factory(
            name=op,
            factory=f"openbell.operators.{op}:{kind}Operator",
            model=f"openbell.operators.settings:{kind}Settings",
            settings=dict(settings),
        )
        made: dict[str, Any] = {
            "attempt_id": "att_1",
            "run_id": "run_1",
            "pipeline": "p",
            "attempt": 1,
            "node": NodeTask(name="n", op=op, maker=maker, needs={}),
            "inputs": {},
            "backends": {},
            "params": {},
            "environment": {},
            "spool_path": str(output_path(self.state, "run_1", "n")),
            "spool_dir": str(scratch_path(self.state, "att_1")),
            "dry_run": False,
            "now_us": to_us(START),
        }
        return NodeCall(**{**made, **changes})

    def lines(self) -> list[str]:
        logged = [m for m in self.heard if isinstance(m, Logged)]
        return [line.text for message in logged for line in message.lines]

    def stopped(self) -> list[str]:
        return [e.reason for e in self.events if isinstance(e, WorkerStopped)]


@asynccontextmanager
async def calls_in(state: Path, **limits: Any) -> AsyncIterator[Calls]:
    found: list[Calls] = []

    async def tell(event: Event) -> None:
        found[0].events.append(event)

    pool = WorkerPool(
        limits=PoolLimits(**limits),
        clock=SystemClock(),
        scratch_dir=state / "workers",
        environment={**os.environ, "PYTHONPATH": str(TESTS)},
        tell=tell,
    )
    found.append(Calls(pool, state))
    async with pool:
        yield found[0]


async def gone(pid: int) -> bool:
    with anyio.move_on_after(10):
        while Path(f"/proc/{pid}/exe").exists():
            await anyio.sleep(0.02)
        return True
    return False
