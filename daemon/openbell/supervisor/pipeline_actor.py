"""The actor of one pipeline: queues its runs, starts them in turn, and answers for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never, cast

import anyio
from anyio.abc import TaskGroup

from openbell.execution.chains import GraphError, Unit, units
from openbell.execution.pool import StopSignal
from openbell.model.control import PipelineStatus
from openbell.model.definitions import from_definition
from openbell.model.history import RunFilter
from openbell.model.pipelines import Pipeline
from openbell.model.runs import RunRecord, RunState
from openbell.supervisor.innermost import innermost
from openbell.supervisor.mailbox import Mailbox
from openbell.supervisor.messages import (
    CancelRun,
    Drain,
    Enqueue,
    Pause,
    Redefine,
    Resume,
    Retire,
    RunEnded,
    RunReleased,
)
from openbell.supervisor.runs.driver import Interrupted, RunDriver
from openbell.supervisor.runs.needs import GAVE_UP, has_needs, until_met
from openbell.supervisor.services import Services

_OPEN_STATES = (RunState.QUEUED, RunState.RUNNING)
_PAGE = 500

RunMessage = Enqueue | CancelRun | RunEnded | RunReleased
ControlMessage = Pause | Resume | Redefine | Drain | Retire


@dataclass(slots=True)
class _Active:
    """A run under way."""

    run: RunRecord
    stop: StopSignal = field(default_factory=StopSignal)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    is_cancelled: bool = False


@dataclass(slots=True)
class _Held:
    """A run that waits for other pipelines; `is_over` when it gave up."""

    run: RunRecord
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    is_over: bool = False


class PipelineActor:
    """One pipeline at work. All its state lives here and in history, and nowhere else."""

    def __init__(
        self,
        services: Services,
        pipeline: Pipeline,
        version: int,
        *,
        is_paused: bool = False,
        is_retired: bool = False,
    ) -> None:
        self._services = services
        self._pipeline = pipeline
        self._version = version
        self._is_paused = is_paused
        self._is_draining = False
        self._is_retired = is_retired
        self._queue: dict[str, RunRecord] = {}
        self._active: dict[str, _Active] = {}
        self._held: dict[str, _Held] = {}
        self._tasks: TaskGroup | None = None
        self._known_units: tuple[Pipeline, Sequence[Unit]] | None = None
        self.has_recovered = False
        self.mailbox = Mailbox(services.mailbox_capacity)

    async def run(self) -> None:
        """Go on with what history says is open, then serve the mailbox until it is closed."""
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                await self._recover()
                self.has_recovered = True
                self._close_when_over()
                await self.mailbox.serve(self)
                tasks.cancel_scope.cancel()
        finally:
            self.mailbox.discard()

    def status(self) -> PipelineStatus:
        """Return the pipeline as it stands."""
        return PipelineStatus(
            name=self._pipeline.name,
            state="retired" if self._is_retired else "paused" if self._is_paused else "active",
            mode=self._pipeline.mode,
            job=self._pipeline.job,
            version=self._version,
            node_count=len(self._pipeline.nodes),
            active_runs=len(self._active),
            queued_runs=len(self._queue) + len(self._held),
            schedule=tuple(use.expression for use in self._pipeline.schedule),
        )

    def open_runs(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the ids of the runs that are going on, and of those that wait."""
        return tuple(self._active), (
            *self._queue,
            *self._held,
        )

    async def handle(self, message: object) -> None:
        """Take in one message."""
        if isinstance(message, RunMessage):
            await self._handle_run(message)
        else:
            self._handle_control(cast("ControlMessage", message))
        self._start_next()
        self._close_when_over()

    def _close_when_over(self) -> None:
        is_over = (self._is_draining or self._is_retired) and not self._active
        if is_over and (self._is_draining or not (self._queue or self._held)):
            self.mailbox.close()

    async def _handle_run(self, message: RunMessage) -> None:
        match message:
            case Enqueue(run=run):
                self._enqueue(run)
            case CancelRun(run_id=run_id):
                await self._cancel(run_id)
            case RunEnded(run_id=run_id):
                self._active.pop(run_id, None)
            case RunReleased(run_id=run_id):
                released = self._held.pop(run_id, None)
                if released is not None and not released.is_over:
                    self._queue[run_id] = released.run
            case _:
                assert_never(message)

    def _handle_control(self, message: ControlMessage) -> None:
        match message:
            case Pause():
                self._is_paused = True
            case Resume():
                self._is_paused = False
            case Redefine(pipeline=pipeline, version=version):
                self._pipeline, self._version = pipeline, version
                self._is_retired = False
            case Drain():
                self._is_draining = True
                for active in self._active.values():
                    active.stop.ask(is_interrupt=True)
            case Retire():
                self._is_retired = True
            case _:
                assert_never(message)

    async def _recover(self) -> None:
        """Take up every open run that history knows, oldest first."""
        found: list[RunRecord] = []
        before: str | None = None
        while True:
            page = await self._services.history.runs(
                RunFilter(
                    pipeline=self._pipeline.name, states=_OPEN_STATES, before=before, limit=_PAGE
                )
            )
            found.extend(page)
            if len(page) < _PAGE:
                break
            before = page[-1].run_id
        for run in reversed(found):
            if run.cancel_requested:
                await self._driver(run, self._pipeline, StopSignal()).cancelled()
            else:
                self._enqueue(run)
        self._start_next()

    def _enqueue(self, run: RunRecord) -> None:
        if any(run.run_id in known for known in (self._active, self._queue, self._held)):
            return
        if has_needs(self._pipeline, run):
            assert self._tasks is not None
            held = self._held[run.run_id] = _Held(run)
            self._tasks.start_soon(self._hold, held, name=f"needs of {run.run_id}")
        else:
            self._queue[run.run_id] = run

    async def _hold(self, held: _Held) -> None:
        """Let a run wait for what it needs of other pipelines, at most as long as it may."""
        run = held.run
        with held.scope:
            pipeline = await self._definition(run)
            lacking = await until_met(self._services, pipeline, run)
            if lacking:
                held.is_over = True
                error = f"gave up after {pipeline.give_up_s:g} s: it {lacking}"
                await self._driver(run, pipeline, StopSignal()).failed(error, reason=GAVE_UP)
        if not held.scope.cancelled_caught:
            await self.mailbox.tell(RunReleased(run.run_id))

    def _start_next(self) -> None:
        assert self._tasks is not None
        if self._is_paused or self._is_draining:
            return
        while self._queue and self._may_start(run := next(iter(self._queue.values()))):
            del self._queue[run.run_id]
            active = _Active(run)
            self._active[run.run_id] = active
            self._tasks.start_soon(self._drive, active, name=f"run {run.run_id}")

    def _may_start(self, run: RunRecord) -> bool:
        may_overlap = bool(run.fire) and self._pipeline.overlap == "allow"
        return may_overlap or len(self._active) < self._pipeline.max_active_runs

    async def _cancel(self, run_id: str) -> None:
        if run_id in self._active:
            self._active[run_id].is_cancelled = True
            self._active[run_id].scope.cancel()
            return
        held = self._held.pop(run_id, None)
        if held is not None:
            held.scope.cancel()
            await self._driver(held.run, self._pipeline, StopSignal()).cancelled()
        run = self._queue.pop(run_id, None)
        if run is not None:
            await self._driver(run, self._pipeline, StopSignal()).cancelled()

    def _driver(self, run: RunRecord, pipeline: Pipeline, stop: StopSignal) -> RunDriver:
        return RunDriver(self._services, pipeline, run, stop, units_of=self._units)

    def _units(self, pipeline: Pipeline) -> Sequence[Unit]:
        """Return a definition's units; those of the last one asked for are kept."""
        known = self._known_units
        if known is None or known[0] is not pipeline:
            specs = self._services.specs.operators.items()
            roles = {name: str(spec.role) for name, spec in specs}
            known = self._known_units = (pipeline, units(pipeline, roles))
        return known[1]

    async def _definition(self, run: RunRecord) -> Pipeline:
        """Return the definition that a run was accepted under; it keeps that for its life."""
        if run.workflow_version == self._version:
            return self._pipeline
        stored = await self._services.history.workflow(run.pipeline, run.workflow_version)
        return self._pipeline if stored is None else from_definition(stored.definition)

    async def _drive(self, active: _Active) -> None:
        """Work on a run from where history says it stands; it may have ended since it was told."""
        run = await self._services.history.run(active.run.run_id)
        if run is not None and not run.state.is_final:
            active.run = run
            await self._work_on(active)
        await self.mailbox.tell(RunEnded(active.run.run_id))

    async def _work_on(self, active: _Active) -> None:
        run = active.run
        driver = self._driver(run, await self._definition(run), active.stop)
        with active.scope:
            try:
                if run.mode == "live" and run.params.get("for_s"):
                    async with anyio.create_task_group() as around:
                        around.start_soon(self._time_limit, active, float(run.params["for_s"]))
                        await self._until_ended(driver)
                        around.cancel_scope.cancel()
                else:
                    await self._until_ended(driver)
            except* GraphError as errors:
                await driver.failed(str(innermost(errors)))
        if active.is_cancelled:
            await driver.cancelled()

    async def _until_ended(self, driver: RunDriver) -> None:
        try:
            await driver.drive()
        except Interrupted:
            return

    async def _time_limit(self, active: _Active, seconds: float) -> None:
        """End a live run once its time since the start is over, also across restarts."""
        clock = self._services.clock
        began = active.run.started_at or clock.now()
        await clock.sleep(seconds - (clock.now() - began).total_seconds())
        active.stop.ask(is_interrupt=False)
