"""A pool of worker processes: grown on demand up to a limit, back to none when idle.

A worker has one task at a time, and the next is sent when its predecessor's end was heard: so a
timeout, a cancellation or a crash is always about exactly one attempt. (A second task sent ahead
would save a tenth of a millisecond, and would have to be called back from a process that hangs.)
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from openbell.execution.conversation import converse
from openbell.execution.executor import Executor, Listener, SilentListener, StopSignal
from openbell.execution.orphans import end_orphans
from openbell.execution.process import WorkerLostError, WorkerProcess, describe_exit, start_worker
from openbell.execution.protocol import CallTask, ChainTask, Done, Failed, NodeCall, Task
from openbell.execution.remains import OomKills
from openbell.model.control import WorkerStatus
from openbell.model.events import Event, WorkerStarted, WorkerStopped
from openbell.sdk.clock import Clock

__all__ = ["Executor", "Listener", "PoolLimits", "SilentListener", "StopSignal", "WorkerPool"]

_LOOK_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """How many workers there may be beside those of live jobs, and when one is replaced.

    No worker may have more than `max_memory_bytes` of its own. One that has a task and says nothing
    for `silent_s` hangs: its process is not even able to say that it is alive.
    """

    max_workers: int = 2
    idle_s: float = 60.0
    max_tasks: int = 10_000
    max_age_s: float = 3600.0
    max_memory_bytes: int = 4096 * 1024 * 1024
    silent_s: float = 300.0


@dataclass(slots=True, eq=False)
class _Slot:
    """A worker of the pool and what it does."""

    worker: WorkerProcess
    state: str = "idle"
    task: Task | None = None
    idle_since_s: float = 0.0


Tell = Callable[[Event], Awaitable[None]]


class WorkerPool:
    """The local executor. An async context manager that owns its processes.

    Nobody else uses its scratch folder: what workers of a dead daemon left running is ended first.
    """

    def __init__(
        self,
        *,
        limits: PoolLimits,
        clock: Clock,
        scratch_dir: Path,
        environment: Mapping[str, str],
        tell: Tell,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._scratch_dir = scratch_dir.absolute()
        self._environment = environment
        self._tell = tell
        self._slots: list[_Slot] = []
        self._turns = anyio.CapacityLimiter(limits.max_workers)
        self._tasks: TaskGroup | None = None
        self._oom_kills = OomKills()
        self._wake_reaper = anyio.Event()
        self._wake_watch = anyio.Event()

    async def __aenter__(self) -> Self:
        self._scratch_dir.mkdir(parents=True, exist_ok=True)
        await to_thread.run_sync(end_orphans, self._scratch_dir, limiter=anyio.CapacityLimiter(1))
        for left in self._scratch_dir.glob("worker-*.stderr"):
            left.unlink(missing_ok=True)
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._reap, name="reap idle workers")
        self._tasks.start_soon(self._watch_silence, name="watch for silent workers")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()
        try:
            await self._tasks.__aexit__(None, None, None)
        finally:
            with anyio.CancelScope(shield=True):
                async with anyio.create_task_group() as ending:
                    for slot in list(self._slots):
                        ending.start_soon(self._end, slot, "shutdown")

    def status(self) -> list[WorkerStatus]:
        """Return every worker as it stands."""
        found = []
        for slot in self._slots:
            run_id, node = _subject(slot.task)
            found.append(
                WorkerStatus(
                    pid=slot.worker.pid,
                    state=slot.state,
                    started_at=slot.worker.started_at,
                    task_count=slot.worker.task_count,
                    memory_bytes=slot.worker.memory_bytes(),
                    run_id=run_id,
                    node=node,
                )
            )
        return found

    def resize(self, limits: PoolLimits) -> None:
        """Use other limits from now on; tasks in hand go on."""
        self._limits = limits
        self._turns.total_tokens = limits.max_workers

    async def submit(
        self, task: Task, listener: Listener, stop: StopSignal
    ) -> tuple[Done | Failed, int]:
        """Run `task` in a worker of this machine; see `Executor.submit`.

        A live job owns its worker: it waits for no turn, and keeps nobody else waiting for one.
        """
        owns_worker = isinstance(task, ChainTask) and task.live
        async with contextlib.nullcontext() if owns_worker else self._turns:
            if stop.is_asked() and stop.is_interrupt:
                return Done(is_interrupted=True), 0
            slot = await self._take()
            slot.state, slot.task = "busy", task
            self._wake_watch.set()
            try:
                answer = await self._converse(slot, task, listener, stop)
            except BaseException as error:
                lost = isinstance(error, WorkerLostError)
                await self._end(slot, "lost" if lost else "cancelled")
                listener.left_behind(slot.worker.last_words())
                await _clear(task)
                raise
            slot.task = None
            slot.worker.task_count += 1
            worn = (
                "recycled: its task left a thread or a process"
                if answer.is_worn
                else self._worn(slot, answer.memory_bytes)
            )
            if worn:
                slot.state = "busy" if answer.is_worn else "idle"
                await self._end(slot, worn)
            else:
                slot.state, slot.idle_since_s = "idle", self._clock.monotonic()
                self._wake_reaper.set()
            return answer, slot.worker.pid

    async def _converse(
        self, slot: _Slot, task: Task, listener: Listener, stop: StopSignal
    ) -> Done | Failed:
        assert self._tasks is not None
        return await converse(slot.worker, task, listener, stop=stop, tasks=self._tasks)

    async def _take(self) -> _Slot:
        while True:
            idle = next((slot for slot in reversed(self._slots) if slot.state == "idle"), None)
            if idle is None:
                break
            if idle.worker.is_alive():
                idle.state = "busy"
                return idle
            await self._end(idle, "lost")
        worker = await start_worker(
            scratch_dir=self._scratch_dir,
            environment=self._environment,
            now=self._clock.now(),
            memory_bytes=self._limits.max_memory_bytes,
            oom_kills=self._oom_kills,
        )
        assert self._tasks is not None
        self._tasks.start_soon(worker.watch, name=f"watch worker {worker.pid}")
        slot = _Slot(worker=worker, state="busy")
        self._slots.append(slot)
        await self._tell(WorkerStarted(at=self._clock.now(), pid=worker.pid))
        return slot

    def _worn(self, slot: _Slot, memory_bytes: int) -> str:
        """Return why a worker that holds so much memory should be replaced, or nothing."""
        worker = slot.worker
        age_s = (self._clock.now() - worker.started_at).total_seconds()
        if worker.task_count >= self._limits.max_tasks:
            return "recycled: task count"
        if age_s >= self._limits.max_age_s:
            return "recycled: age"
        if memory_bytes >= self._limits.max_memory_bytes:
            return "recycled: memory"
        return ""

    async def _end(self, slot: _Slot, reason: str) -> None:
        if slot not in self._slots:
            return
        is_idle = slot.state == "idle"
        slot.state = "stopping"
        self._slots.remove(slot)
        exit_code = await slot.worker.stop(is_idle=is_idle, has_task=slot.task is not None)
        with anyio.CancelScope(shield=True):
            await self._tell(
                WorkerStopped(
                    at=self._clock.now(),
                    pid=slot.worker.pid,
                    reason=f"{reason} ({describe_exit(exit_code)})" if reason == "lost" else reason,
                    exit_code=exit_code,
                )
            )

    async def _watch_silence(self) -> None:
        """End workers that have a task and cannot even say that they are alive."""
        quiet: dict[WorkerProcess, tuple[int, float]] = {}
        while True:
            busy = [slot.worker for slot in self._slots if slot.state == "busy"]
            if not busy:
                quiet = {}
                self._wake_watch = anyio.Event()
                await self._wake_watch.wait()
            now_s = self._clock.monotonic()
            quiet = {worker: quiet.get(worker, (-1, now_s)) for worker in busy}
            for worker, (heard, since_s) in quiet.items():
                if heard != worker.heard_count or not worker.is_awaited:
                    quiet[worker] = (worker.heard_count, now_s)
                elif now_s - since_s >= self._limits.silent_s:
                    worker.condemn(f"it said nothing for {now_s - since_s:.0f} s: it hangs")
            await self._clock.sleep(min(_LOOK_S, self._limits.silent_s))

    async def _reap(self) -> None:
        """End workers that were idle for long enough."""
        while True:
            idle = [slot for slot in self._slots if slot.state == "idle"]
            if not idle:
                await self._wake_reaper.wait()
                self._wake_reaper = anyio.Event()
                continue
            now_s = self._clock.monotonic()
            left_s = min(slot.idle_since_s + self._limits.idle_s - now_s for slot in idle)
            if left_s > 0:
                await self._clock.sleep(left_s)
                continue
            for slot in idle:
                if slot.state == "idle" and now_s - slot.idle_since_s >= self._limits.idle_s:
                    await self._end(slot, "idle")


async def _clear(task: Task) -> None:
    """Delete the scratch files of a task whose worker had no time to."""
    if not isinstance(task, CallTask):
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(
                lambda: shutil.rmtree(task.spool_dir, ignore_errors=True),
                limiter=anyio.CapacityLimiter(1),
            )


def _subject(task: Task | None) -> tuple[str | None, str | None]:
    """Return the run and the node that a task is about."""
    if isinstance(task, ChainTask):
        return task.run_id, task.nodes[0].name
    if isinstance(task, NodeCall):
        return task.run_id, task.node.name
    return None, None
