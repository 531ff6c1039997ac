"""A pool of worker processes: grown on demand up to a limit, back to none when idle."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import anyio
from anyio.abc import TaskGroup

from openbell.execution.process import WorkerLostError, WorkerProcess, describe_exit, start_worker
from openbell.execution.protocol import (
    Answer,
    Ask,
    ChainTask,
    Done,
    Failed,
    FromWorker,
    NodeCall,
    StopTask,
    Task,
)
from openbell.model.control import WorkerStatus
from openbell.model.events import Event, WorkerStarted, WorkerStopped
from openbell.sdk.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """How many workers there may be beside those of live jobs, and when one is replaced."""

    max_workers: int = 2
    idle_s: float = 60.0
    max_tasks: int = 1000
    max_age_s: float = 3600.0
    max_memory_bytes: int = 4096 * 1024 * 1024


class StopSignal:
    """Asks a task in a worker to end after the chunk in hand."""

    def __init__(self) -> None:
        self._asked = anyio.Event()
        self.is_interrupt = False

    def ask(self, *, is_interrupt: bool) -> None:
        """Ask; `is_interrupt` says that the run will go on later. The first call counts."""
        if not self._asked.is_set():
            self.is_interrupt = is_interrupt
            self._asked.set()

    def is_asked(self) -> bool:
        """Return whether somebody asked."""
        return self._asked.is_set()

    async def wait(self) -> None:
        """Return once somebody asked."""
        await self._asked.wait()


class Listener(Protocol):
    """Hears what a task reports on its way."""

    async def hear(self, message: FromWorker) -> None:
        """Take in a report; the next one waits until this returns."""
        ...

    async def answer(self, question: Ask, stop: StopSignal) -> tuple[bool, int]:
        """Return whether a question is granted, and the time in microseconds since 1970."""
        ...


class SilentListener:
    """Listens to a task that has nothing to report and nothing to ask."""

    async def hear(self, message: FromWorker) -> None:
        """Let it pass."""

    async def answer(self, question: Ask, stop: StopSignal) -> tuple[bool, int]:
        """Refuse: a plain function asks nothing."""
        del question, stop
        return False, 0


class Executor(Protocol):
    """Runs tasks somewhere else. The seam for other ways than local processes."""

    async def submit(
        self, task: Task, listener: Listener, stop: StopSignal
    ) -> tuple[Done | Failed, int]:
        """Run `task` and return how it ended, and the worker's pid.

        Waits for a free worker first; if it is to be interrupted by then, it does not begin.
        Raises WorkerLostError when the worker dies or none can be started, and FrameError for a
        task that cannot be sent. Cancelled: the task's process is ended before this returns.
        """
        ...


@dataclass(slots=True, eq=False)
class _Slot:
    """A worker of the pool and what it does."""

    worker: WorkerProcess
    state: str = "idle"
    task: Task | None = None
    idle_since_s: float = 0.0


Tell = Callable[[Event], Awaitable[None]]


class WorkerPool:
    """The local executor. An async context manager that owns its processes."""

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
        self._scratch_dir = scratch_dir
        self._environment = environment
        self._tell = tell
        self._slots: list[_Slot] = []
        self._turns = anyio.CapacityLimiter(limits.max_workers)
        self._tasks: TaskGroup | None = None
        self._wake_reaper = anyio.Event()

    async def __aenter__(self) -> Self:
        self._scratch_dir.mkdir(parents=True, exist_ok=True)
        for left in self._scratch_dir.glob("worker-*.stderr"):
            left.unlink(missing_ok=True)
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._reap, name="reap idle workers")
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
            try:
                answer = await self._converse(slot.worker, task, listener, stop)
            except BaseException as error:
                lost = isinstance(error, WorkerLostError)
                await self._end(slot, "lost" if lost else "cancelled")
                raise
            slot.task = None
            slot.worker.task_count += 1
            worn = "recycled: its task left a thread" if answer.is_worn else self._worn(slot.worker)
            if worn:
                slot.state = "busy" if answer.is_worn else "idle"
                await self._end(slot, worn)
            else:
                slot.state, slot.idle_since_s = "idle", self._clock.monotonic()
                self._wake_reaper.set()
            return answer, slot.worker.pid

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
            scratch_dir=self._scratch_dir, environment=self._environment, now=self._clock.now()
        )
        slot = _Slot(worker=worker, state="busy")
        self._slots.append(slot)
        await self._tell(WorkerStarted(at=self._clock.now(), pid=worker.pid))
        return slot

    async def _converse(
        self,
        worker: WorkerProcess,
        task: Task,
        listener: Listener,
        stop: StopSignal,
    ) -> Done | Failed:
        await worker.send(task)
        ended: Done | Failed | Exception
        async with anyio.create_task_group() as talks:
            talks.start_soon(self._pass_stop, worker, stop)
            talks.start_soon(worker.watch)
            try:
                ended = await self._listen(worker, listener, stop, talks)
            except Exception as error:  # noqa: BLE001 - raised below, outside the task group
                ended = error
            talks.cancel_scope.cancel()
        if isinstance(ended, Exception):
            raise ended
        return ended

    async def _listen(
        self, worker: WorkerProcess, listener: Listener, stop: StopSignal, talks: TaskGroup
    ) -> Done | Failed:
        while True:
            message = await worker.receive()
            if isinstance(message, Ask):
                talks.start_soon(self._answer, worker, message, listener, stop)
            elif isinstance(message, Done | Failed):
                return message
            else:
                await listener.hear(message)

    async def _pass_stop(self, worker: WorkerProcess, stop: StopSignal) -> None:
        await stop.wait()
        await worker.send(StopTask(is_interrupt=stop.is_interrupt))

    async def _answer(
        self, worker: WorkerProcess, question: Ask, listener: Listener, stop: StopSignal
    ) -> None:
        is_granted, now_us = await listener.answer(question, stop)
        await worker.send(Answer(ask_id=question.ask_id, is_granted=is_granted, now_us=now_us))

    def _worn(self, worker: WorkerProcess) -> str:
        """Return why a worker should be replaced, or nothing."""
        age_s = (self._clock.now() - worker.started_at).total_seconds()
        if worker.task_count >= self._limits.max_tasks:
            return "recycled: task count"
        if age_s >= self._limits.max_age_s:
            return "recycled: age"
        if worker.memory_bytes() >= self._limits.max_memory_bytes:
            return "recycled: memory"
        return ""

    async def _end(self, slot: _Slot, reason: str) -> None:
        if slot not in self._slots:
            return
        is_idle = slot.state == "idle"
        slot.state = "stopping"
        self._slots.remove(slot)
        exit_code = await slot.worker.stop(is_idle=is_idle)
        with anyio.CancelScope(shield=True):
            await self._tell(
                WorkerStopped(
                    at=self._clock.now(),
                    pid=slot.worker.pid,
                    reason=f"{reason} ({describe_exit(exit_code)})" if reason == "lost" else reason,
                    exit_code=exit_code,
                )
            )

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


def _subject(task: Task | None) -> tuple[str | None, str | None]:
    """Return the run and the node that a task is about."""
    if isinstance(task, ChainTask):
        return task.run_id, task.nodes[0].name
    if isinstance(task, NodeCall):
        return task.run_id, task.node.name
    return None, None
