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
    EndNode,
    Enqueue,
    Pause,
    PauseRun,
    PrioritizeRun,
    Redefine,
    Resume,
    Retire,
    RunReleased,
)
from openbell.supervisor.runs.driver import Interrupted, RunDriver
from openbell.supervisor.runs.early import EarlyRuns
from openbell.supervisor.runs.needs import GAVE_UP, has_needs, until_met
from openbell.supervisor.runs.queue import RunQueue
from openbell.supervisor.runs.steering import Steering
from openbell.supervisor.services import Services

_OPEN_STATES = (RunState.QUEUED, RunState.RUNNING)
_PAGE = 500

SteeringMessage = PauseRun | PrioritizeRun | EndNode
RunMessage = Enqueue | CancelRun | RunReleased | SteeringMessage
ControlMessage = Pause | Resume | Redefine | Drain | Retire


@dataclass(slots=True)
class _Active:
    """A run under way."""

    run: RunRecord
    stop: StopSignal = field(default_factory=StopSignal)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    steering: Steering = field(default_factory=Steering)
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
        self._queue = RunQueue()
        self._steering: dict[str, Steering] = {}
        self._active: dict[str, _Active] = {}
        self._held: dict[str, _Held] = {}
        self._early = EarlyRuns(services, self._come_due)
        self._untold: set[str] = set()
        self._recovered: frozenset[str] = frozenset()
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
            self._early.close()
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
            queued_runs=len(self._queue) + len(self._held) + len(self._early),
            schedule=tuple(use.expression for use in self._pipeline.schedule),
        )

    def open_runs(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the ids of the runs that are going on, and of those that wait their turn."""
        return tuple(self._active), (
            *self._queue,
            *self._held,
        )

    def withdraw(self, run: RunRecord) -> bool:
        """Forget a run whose fire is not due yet; return whether it had not been let go."""
        if any(run.run_id in known for known in (self._active, self._queue, self._held)):
            return False
        is_withdrawn = self._early.withdraw(run)
        self._close_when_over()
        return is_withdrawn

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
        if is_over and (self._is_draining or not (self._queue or self._held or self._early)):
            self.mailbox.close()

    async def _handle_run(self, message: RunMessage) -> None:
        match message:
            case Enqueue(run=run, is_new=is_new):
                if is_new and run.run_id not in self._recovered:
                    self._untold.add(run.run_id)
                await self._accept(run)
            case CancelRun(run_id=run_id):
                await self._cancel(run_id)
            case PauseRun() | PrioritizeRun() | EndNode():
                self._steer(message)
            case RunReleased(run_id=run_id):
                released = self._held.pop(run_id, None)
                if released is not None and not released.is_over:
                    self._line_up(released.run)
            case _:
                assert_never(message)

    async def _accept(self, run: RunRecord) -> None:
        """Take a run in; somebody may have cancelled it before it was heard of."""
        steering = self._steering.get(run.run_id)
        if steering is None or not steering.is_cancelled:
            self._enqueue(run)
            return
        del self._steering[run.run_id]
        await self._driver(run, self._pipeline, StopSignal()).cancelled()

    def _steer(self, message: SteeringMessage) -> None:
        """Let a run heed what somebody asks of it, wherever it stands."""
        match message:
            case PauseRun(run_id=run_id, paused=paused):
                self._steering_of(run_id).pause(is_paused=paused)
                if run_id in self._queue:
                    self._queue.change(run_id, paused=paused)
            case PrioritizeRun(run_id=run_id, priority=priority):
                self._steering_of(run_id).priority = priority
                self._services.desk.prioritise(run_id, priority)
                if run_id in self._queue:
                    self._queue.change(run_id, priority=priority)
            case EndNode(request=request):
                self._steering_of(request.run_id).request(request)
            case _:
                assert_never(message)

    def _steering_of(self, run_id: str) -> Steering:
        """Return what is asked of a run, also of one that is still to be heard of."""
        active = self._active.get(run_id)
        return self._steering.setdefault(run_id, Steering()) if active is None else active.steering

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
        self._recovered = frozenset(run.run_id for run in found)
        for run in reversed(found):
            if run.cancel_requested:
                await self._driver(run, self._pipeline, StopSignal()).cancelled()
            else:
                self._enqueue(run)
        self._start_next()

    def _enqueue(self, run: RunRecord) -> None:
        if any(run.run_id in known for known in (self._active, self._queue, self._held)):
            return
        assert self._tasks is not None
        if self._early.take(run, is_new=run.run_id in self._untold):
            return
        self._come(run)

    def _come_due(self, run: RunRecord) -> None:
        """Let a run begin whose fire is due now."""
        self._come(run)
        self._start_next()

    def _come(self, run: RunRecord) -> None:
        assert self._tasks is not None
        if has_needs(self._pipeline, run):
            held = self._held[run.run_id] = _Held(run)
            self._tasks.start_soon(self._hold, held, name=f"needs of {run.run_id}")
        else:
            self._line_up(run)

    def _line_up(self, run: RunRecord) -> None:
        """Let a run wait for its turn, with what was asked of it until now."""
        self._queue.put(run)
        steering = self._steering.get(run.run_id)
        if steering is not None:
            self._queue.change(run.run_id, paused=steering.is_paused, priority=steering.priority)

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
        while (run := self._queue.first()) is not None and self._may_start(run):
            self._queue.pop(run.run_id)
            steering = self._steering.pop(run.run_id, None)
            steering = steering or Steering(is_fresh=run.run_id in self._untold)
            active = _Active(run, steering=steering)
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
        early = self._early.drop(run_id)
        if early is not None:
            await self._driver(early, self._pipeline, StopSignal()).cancelled()
        held = self._held.pop(run_id, None)
        if held is not None:
            held.scope.cancel()
            await self._driver(held.run, self._pipeline, StopSignal()).cancelled()
        run = self._queue.pop(run_id)
        if run is not None:
            await self._driver(run, self._pipeline, StopSignal()).cancelled()
        self._steering.pop(run_id, None)
        if early is None and held is None and run is None:
            self._steering_of(run_id).is_cancelled = True

    def _driver(
        self,
        run: RunRecord,
        pipeline: Pipeline,
        stop: StopSignal,
        *,
        steering: Steering | None = None,
    ) -> RunDriver:
        return RunDriver(
            self._services, pipeline, run, stop, units_of=self._units, steering=steering
        )

    def _units(self, pipeline: Pipeline) -> Sequence[Unit]:
        """Return a definition's units; those of the last one asked for are kept."""
        known = self._known_units
        if known is None or known[0] is not pipeline:
            known = self._known_units = (pipeline, units(pipeline, self._services.roles))
        return known[1]

    async def _definition(self, run: RunRecord) -> Pipeline:
        """Return the definition that a run was accepted under; it keeps that for its life."""
        if run.workflow_version == self._version:
            return self._pipeline
        stored = await self._services.history.workflow(run.pipeline, run.workflow_version)
        return self._pipeline if stored is None else from_definition(stored.definition)

    async def _drive(self, active: _Active) -> None:
        """Work on a run from where history says it stands; it may have ended since it was told.

        One that nobody told of before is as it was accepted.
        """
        run: RunRecord | None = active.run
        if active.run.run_id in self._untold:
            self._untold.discard(active.run.run_id)
        else:
            run = await self._services.history.run(active.run.run_id)
        if run is not None and not run.state.is_final:
            active.run = run
            await self._work_on(active)
        self._active.pop(active.run.run_id, None)
        self._steering.pop(active.run.run_id, None)
        self._start_next()
        self._close_when_over()

    async def _work_on(self, active: _Active) -> None:
        run, steering = active.run, active.steering
        if steering.is_paused is None:
            steering.is_paused = run.paused
        pipeline = await self._definition(run)
        driver = self._driver(run, pipeline, active.stop, steering=steering)
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
