"""Real worker processes: whatever a task does, it does it to its own worker alone."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from openbell.execution.last_words import LastWords
from openbell.execution.pool import PoolLimits, StopSignal, WorkerPool
from openbell.execution.process import WorkerLostError, WorkerProcess
from openbell.execution.protocol import Ask, CallTask, Done, Failed, FromWorker, Logged
from openbell.execution.worker.output import MAX_LINES
from openbell.model.events import Event, WorkerStopped
from openbell.model.runs import LOG_LINE_BYTES, MAX_LOG_BYTES
from openbell.sdk.clock import SystemClock

pytestmark = pytest.mark.integration

TESTS = Path(__file__).parents[2]


@dataclass
class Ear:
    heard: list[FromWorker] = field(default_factory=list)

    async def hear(self, message: FromWorker) -> None:
        self.heard.append(message)

    def left_behind(self, words: LastWords) -> None:
        self.words = words

    async def answer(self, question: Ask, stop: StopSignal) -> tuple[bool, int]:
        return True, 0

    def lines(self) -> list[str]:
        logged = [m for m in self.heard if isinstance(m, Logged)]
        return [line.text for message in logged for line in message.lines]


@dataclass
class Pool:
    pool: WorkerPool
    events: list[Event]

    async def call(self, function: str, ear: Ear | None = None, **arguments: Any) -> Done | Failed:
        task = CallTask(
            attempt_id="a", function=f"doubles.worker_tasks:{function}", arguments=arguments
        )
        with anyio.fail_after(60):
            answer, _ = await self.pool.submit(task, ear or Ear(), StopSignal())
        return answer

    def stopped(self) -> list[str]:
        return [e.reason for e in self.events if isinstance(e, WorkerStopped)]


@asynccontextmanager
async def pool_of(tmp_path: Path, **limits: Any) -> AsyncIterator[Pool]:
    events: list[Event] = []

    async def tell(event: Event) -> None:
        events.append(event)

    environment = {**os.environ, "PYTHONPATH": str(TESTS), "NOTIFY_SOCKET": "/private"}
    async with WorkerPool(
        limits=PoolLimits(**limits),
        clock=SystemClock(),
        scratch_dir=tmp_path / "workers",
        environment=environment,
        tell=tell,
    ) as pool:
        yield Pool(pool, events)


async def gone(pid: int) -> bool:
    with anyio.move_on_after(10):
        while Path(f"/proc/{pid}").exists():
            await anyio.sleep(0.02)
        return True
    return False


async def test_a_worker_is_kept_warm_and_answers_again(tmp_path: Path) -> None:
    async with pool_of(tmp_path) as at:
        assert at.pool.status() == []
        first = await at.call("pid")
        second = await at.call("pid")
        assert isinstance(first, Done)
        assert isinstance(second, Done)
        assert first.result == second.result
        (status,) = at.pool.status()
        assert (status.state, status.task_count) == ("idle", 2)
        assert status.memory_bytes > 10_000_000
        pid = status.pid
    assert await gone(pid)
    assert at.stopped() == ["shutdown"]


async def test_two_at_once_and_the_third_waits(tmp_path: Path) -> None:
    async with pool_of(tmp_path, max_workers=2) as at, anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(at.call, "hang")
        with anyio.fail_after(30):
            while [s.state for s in at.pool.status()] != ["busy", "busy"]:
                await anyio.sleep(0.02)
        with anyio.move_on_after(0.3) as waiting:
            await at.call("pid")
        assert waiting.cancelled_caught
        assert len(at.pool.status()) == 2
        tasks.cancel_scope.cancel()


async def test_an_error_comes_back_with_its_traceback_and_the_worker_stays(tmp_path: Path) -> None:
    async with pool_of(tmp_path) as at:
        failed = await at.call("raise_error", text="too bad")
        assert isinstance(failed, Failed)
        assert "too bad" in failed.message
        assert "worker_tasks.py" in failed.traceback
        assert isinstance(await at.call("add", a=1, b=2), Done)
        assert len(at.pool.status()) == 1


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        ("segfault", {}, "SIGSEGV"),
        ("leave", {"code": 3}, "exit code 3"),
        ("kill_self", {}, "killed by SIGKILL"),
    ],
)
async def test_a_worker_that_dies_fails_its_attempt_alone(
    tmp_path: Path, function: str, arguments: dict[str, Any], words: str
) -> None:
    async with pool_of(tmp_path) as at:
        with pytest.raises(WorkerLostError, match=words) as caught:
            await at.call(function, **arguments)
        if function == "segfault":
            assert "Segmentation fault" in caught.value.tail
        answer = await at.call("add", a=1, b=2)
        assert isinstance(answer, Done)
        assert answer.result == 3
        assert at.stopped()[0].startswith("lost")


async def test_a_worker_killed_while_idle_is_replaced(tmp_path: Path) -> None:
    async with pool_of(tmp_path) as at:
        first = await at.call("pid")
        assert isinstance(first, Done)
        os.kill(first.result, signal.SIGKILL)
        await anyio.sleep(0.2)
        second = await at.call("pid")
        assert isinstance(second, Done)
        assert second.result != first.result


@pytest.mark.parametrize("ignore_sigterm", [False, True])
async def test_cancelling_ends_the_process_even_one_that_ignores_sigterm(
    tmp_path: Path, ignore_sigterm: bool
) -> None:
    async with pool_of(tmp_path) as at:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: at.call("hang", ignore_sigterm=ignore_sigterm))
            with anyio.fail_after(30):
                while [s.state for s in at.pool.status()] != ["busy"]:
                    await anyio.sleep(0.02)
            await anyio.sleep(0.3)
            pid = at.pool.status()[0].pid
            tasks.cancel_scope.cancel()
        assert await gone(pid)
        assert at.pool.status() == []
        assert at.stopped() == ["cancelled"]


async def test_children_of_a_task_end_with_its_worker(tmp_path: Path) -> None:
    pid_file = tmp_path / "child"
    async with pool_of(tmp_path) as at, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: at.call("spawn_and_hang", pid_file=str(pid_file)))
        with anyio.fail_after(30):
            while not (pid_file.exists() and pid_file.read_text()):
                await anyio.sleep(0.02)
        tasks.cancel_scope.cancel()
    assert await gone(int(pid_file.read_text()))


async def test_everything_a_task_writes_becomes_log_lines(tmp_path: Path) -> None:
    async with pool_of(tmp_path) as at:
        ear = Ear()
        await at.call("talk", ear, lines=0)
        lines = ear.lines()
        for text in ("to stdout", "to stderr", "vendor: to logging", "from a child"):
            assert text in lines


async def test_a_flood_of_output_is_bounded_and_counted(tmp_path: Path) -> None:
    async with pool_of(tmp_path) as at:
        ear = Ear()
        await at.call("talk", ear, lines=200_000)
        assert sum(len(line) for line in ear.lines()) <= 1024 * 1024 + 1000
        assert "output truncated" in ear.lines()[-1]
        after = Ear()
        await at.call("talk", after, lines=1)
        assert "to stdout" in after.lines()


async def test_a_flood_of_short_lines_comes_in_small_portions_and_ends_soon(tmp_path: Path) -> None:
    async with pool_of(tmp_path) as at:
        ear = Ear()
        await at.call("talk", ear, lines=400_000, width=0)
        assert len(ear.lines()) * LOG_LINE_BYTES <= MAX_LOG_BYTES
        assert "output truncated" in ear.lines()[-1]
        portions = [len(m.lines) for m in ear.heard if isinstance(m, Logged)]
        assert max(portions) <= MAX_LINES


async def test_idle_workers_go_and_worn_ones_are_replaced(tmp_path: Path) -> None:
    async with pool_of(tmp_path / "idle", idle_s=0.1) as at:
        await at.call("pid")
        with anyio.fail_after(10):
            while at.pool.status() or not at.stopped():
                await anyio.sleep(0.02)
        assert at.stopped() == ["idle"]
    async with pool_of(tmp_path / "count", max_tasks=2) as at:
        for _ in range(3):
            await at.call("pid")
        assert at.stopped() == ["recycled: task count"]
    async with pool_of(tmp_path / "age", max_age_s=0.0) as at:
        await at.call("pid")
        assert at.stopped() == ["recycled: age"]
    async with pool_of(tmp_path / "memory", max_memory_bytes=10 * 1024 * 1024 * 1024) as at:
        await at.call("allocate", size_mb=64)
        at.pool.resize(PoolLimits(max_memory_bytes=64 * 1024 * 1024))
        await at.call("pid")
        assert at.stopped() == ["recycled: memory"]


async def test_workers_that_are_gone_are_forgotten_while_another_is_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openbell.execution.pool._LOOK_S", 0.01)
    async with pool_of(tmp_path, max_tasks=1) as at, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: at.call("hang"))
        for _ in range(6):
            await at.call("talk", lines=5000)
        await anyio.sleep(0.05)
        gc.collect()
        known = [each for each in gc.get_objects() if isinstance(each, WorkerProcess)]
        assert len(known) <= 2, "the one at work, and perhaps the last one"
        tasks.cancel_scope.cancel()


async def test_workers_do_not_inherit_what_is_the_daemons(tmp_path: Path) -> None:
    async with pool_of(tmp_path) as at:
        answer = await at.call("environment")
        assert isinstance(answer, Done)
        assert "NOTIFY_SOCKET" not in answer.result


async def test_workers_die_with_a_daemon_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "daemon.py"
    script.write_text(
        f"""
import os, sys, anyio
from pathlib import Path
from openbell.execution.pool import PoolLimits, StopSignal, WorkerPool
from openbell.execution.protocol import CallTask
from openbell.sdk.clock import SystemClock

async def tell(event):
    print(event.pid, flush=True)

async def main():
    pool = WorkerPool(limits=PoolLimits(), clock=SystemClock(), scratch_dir=Path({str(tmp_path)!r}),
                      environment=dict(os.environ, PYTHONPATH={str(TESTS)!r}), tell=tell)
    async with pool:
        task = CallTask(attempt_id="a", function="doubles.worker_tasks:hang", arguments={{}})
        await pool.submit(task, None, StopSignal())

anyio.run(main)
"""
    )
    daemon = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert daemon.stdout is not None
    with daemon.stdout:
        worker_pid = int(daemon.stdout.readline())
        time.sleep(0.3)
        daemon.kill()
        daemon.wait()
    assert await gone(worker_pid)
