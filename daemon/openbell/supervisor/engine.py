"""The root supervisor: one engine that owns every pipeline's actor."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from types import TracebackType
from typing import Any, Protocol, Self

import anyio
from anyio.abc import TaskGroup

from openbell import __version__
from openbell.config.difference import diff
from openbell.execution.pool import PoolLimits
from openbell.model.control import (
    BudgetStatus,
    ConflictError,
    DaemonStatus,
    EventStream,
    NotAcceptedError,
    PipelineStatus,
    StoppingError,
    Submission,
    WorkerStatus,
)
from openbell.model.events import (
    ConfigReloaded,
    DaemonStopping,
    ReloadRefused,
)
from openbell.model.items import ApprovalRecord
from openbell.model.letters import DeadLetter
from openbell.model.pipelines import Deployment, Pipeline
from openbell.model.retries import Retry
from openbell.model.runs import RunRecord, WorkflowRecord
from openbell.model.tracking import NodeTrack, TurnWait
from openbell.sdk.errors import SettingsError
from openbell.supervisor.control import ControlDesk
from openbell.supervisor.deadline import deadline
from openbell.supervisor.definitions import FROM_API, difference, settle, versioned
from openbell.supervisor.firing.schedules import ScheduleDesk
from openbell.supervisor.firing.tables import Calendars
from openbell.supervisor.intake import Intake, Target
from openbell.supervisor.letters import LetterDesk
from openbell.supervisor.pauses import PauseDesk
from openbell.supervisor.restart import RestartPolicy
from openbell.supervisor.roster import ALL, Roster
from openbell.supervisor.services import Services
from openbell.supervisor.tracker import Tracker

Load = Callable[[], Awaitable[Deployment]]
Parse = Callable[[Mapping[str, Any]], Pipeline]


class Workers(Protocol):
    """The worker processes, as far as the root looks after them."""

    def status(self) -> Sequence[WorkerStatus]:
        """Return every worker as it stands."""
        ...

    def resize(self, limits: PoolLimits) -> None:
        """Use other limits from now on."""
        ...


def pool_limits(deployment: Deployment) -> PoolLimits:
    """Return the limits of the worker pool that a deployment asks for."""
    options = deployment.daemon
    return PoolLimits(
        max_workers=options.max_workers,
        idle_s=options.worker_idle_s,
        max_tasks=options.worker_max_tasks,
        max_age_s=options.worker_max_age_s,
        max_memory_bytes=options.worker_max_memory_mb * 1024 * 1024,
    )


class LiveEngine:
    """Runs pipelines. An async context manager: inside it everything is at work."""

    def __init__(
        self,
        services: Services,
        pool: Workers,
        *,
        load: Load,
        parse: Parse,
        policy: RestartPolicy | None = None,
        only: frozenset[str] | None = None,
        calendars: Calendars | None = None,
    ) -> None:
        self._services = services
        self._pool = pool
        self._load = load
        self._parse = parse
        self._policy = policy or RestartPolicy()
        self._only = only
        self._roster = Roster(services, policy=policy or RestartPolicy(), only=only)
        self._tasks: TaskGroup | None = None
        self._intake = Intake(services, self._roster, target=self.target)
        self._letters = LetterDesk(services, self._intake)
        self._schedules = (
            None
            if calendars is None or only is not None
            else ScheduleDesk(
                services,
                self._roster,
                self._intake,
                calendars=calendars,
                policy=self._policy,
                is_open=lambda: self._state == "running",
            )
        )
        self._pauses = PauseDesk(services, self._roster, self._schedules)
        self._control = ControlDesk(services, self._intake, self._roster)
        services.doors = self
        self._tracker = Tracker()
        services.journal.observe(self._tracker)
        self._started_at = services.clock.now()
        self._state = "starting"
        self._last_error = ""
        self._changing = anyio.Lock()
        self.stopping = anyio.Event()
        self.stopping_fast = anyio.Event()
        self.drained = anyio.Event()

    @property
    def deployment(self) -> Deployment:
        """The configuration in force."""
        return self._services.deployment

    @property
    def control(self) -> ControlDesk:
        """What changes runs that are under way."""
        return self._control

    @property
    def schedules(self) -> ScheduleDesk | None:
        """What fires the schedules; None in the foreground, where nothing does."""
        return self._schedules

    async def __aenter__(self) -> Self:
        self._roster.paused = await self._services.history.pauses()
        await self._apply(self._services.deployment)
        await self._roster.end_orphans()
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._services.bell.run, name="bell")
        self._roster.open(self._tasks)
        self._tasks.start_soon(self._stop_on_request, name="stop on request")
        if not self.stopping.is_set():
            self._state = "running"
        if self._schedules is not None:
            self._tasks.start_soon(self._schedules.run, name="schedules")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()
        return await self._tasks.__aexit__(kind, error, trace)

    def status(self) -> DaemonStatus:
        """Return the daemon as it stands."""
        pipelines = self.pipelines()
        deployment = self._services.deployment
        return DaemonStatus(
            state=self._state,
            pid=os.getpid(),
            version=__version__,
            started_at=self._started_at,
            config_source=deployment.source,
            config_digest=deployment.digest,
            profile=deployment.profile,
            state_dir=str(self._services.state_dir),
            active_runs=sum(p.active_runs for p in pipelines),
            queued_runs=sum(p.queued_runs for p in pipelines),
            pipelines=len(pipelines),
            parked=sum(p.state == "parked" for p in pipelines),
            workers=len(self._pool.status()),
            paused=ALL in self._roster.paused,
            last_error=self._last_error,
        )

    def pipelines(self) -> Sequence[PipelineStatus]:
        """Return every pipeline, by name."""
        return self._roster.statuses()

    def workers(self) -> Sequence[WorkerStatus]:
        """Return every worker process."""
        return self._pool.status()

    def budgets(self) -> Sequence[BudgetStatus]:
        """Return every provider's budget."""
        return self._services.broker.status()

    def queue(self, pipeline: str) -> tuple[Sequence[str], Sequence[str]]:
        """Return the ids of a pipeline's runs that are going on, and of those that wait, in order."""
        return self._roster.queue(pipeline)

    def tracks(self, run_id: str) -> Mapping[str, NodeTrack]:
        """Return how far a run's nodes at work came, by name."""
        return self._tracker.of(run_id)

    def turns(self) -> Sequence[TurnWait]:
        """Return the units that wait for their turn, the next first."""
        return [TurnWait(**asdict(each)) for each in self._services.desk.waiting()]

    def mailbox_depths(self) -> Mapping[str, int]:
        """Return how many messages wait for each pipeline's actor."""
        return self._roster.mailbox_depths()

    def subscribe(self, *, capacity: int = 1000) -> AbstractContextManager[EventStream]:
        """Return the stream of events from now on."""
        return self._services.journal.subscribe(capacity=capacity)

    async def submit(self, submission: Submission) -> RunRecord:
        """Accept a run; it is durable when this returns."""
        return await self._intake.submit(submission)

    async def cancel(self, run_or_job_id: str, *, by: str) -> RunRecord:
        """Ask a run to end; finished work is kept."""
        return await self._intake.cancel(run_or_job_id, by=by)

    async def retry(self, run_or_job_id: str, *, by: str, how: Retry | None = None) -> RunRecord:
        """Submit an ended run again; its finished work is kept."""
        return await self._intake.retry(run_or_job_id, by=by, how=how)

    async def replay(self, letter_id: str, *, by: str) -> RunRecord:
        """Submit a run that does again what a dead letter holds."""
        return await self._letters.replay(letter_id, by=by)

    async def purge(self, letter_id: str, *, by: str) -> DeadLetter:
        """Give a dead letter up."""
        return await self._letters.purge(letter_id, by=by)

    def target(self, name: str) -> Target:
        """Return the definition of a pipeline that takes work."""
        target = self._roster.target(name)
        if self._state != "running":
            raise StoppingError(f"the daemon is {self._state} and takes no more work")
        return target

    async def answer(
        self,
        run_or_job_id: str,
        node: str,
        label: str,
        *,
        by: str,
        item: int = -1,
        comment: str = "",
    ) -> ApprovalRecord:
        """Answer what a node asks a person; it is durable when this returns."""
        return await self._intake.answer(
            run_or_job_id, node, label, by=by, item=item, comment=comment
        )

    async def define(self, document: Mapping[str, Any]) -> WorkflowRecord:
        """Add or change a pipeline from the API's document."""
        async with self._changing:
            services = self._services
            pipeline = self._parse(document)
            now = services.clock.now()
            if pipeline.name in services.deployment.pipelines:
                raise ConflictError(
                    f"pipeline {pipeline.name!r} comes from the configuration file; "
                    "change it there and reload"
                )
            record = await services.history.workflow(pipeline.name)
            checked = settle({pipeline.name: pipeline}, {}, (), roles=self._roles(), now=now)
            if checked.refused:
                raise NotAcceptedError(checked.refused[pipeline.name])
            whole = checked.pipelines[pipeline.name]
            _, event = versioned(whole, record, FROM_API, now)
            if event is not None:
                await services.journal.record(event)
            await self._apply(services.deployment)
            stored = await services.history.workflow(pipeline.name)
            assert stored is not None
            return stored

    async def pause(self, pipeline: str, *, by: str = "") -> PipelineStatus:
        """Start no more runs of this pipeline, until somebody resumes it; its fires are missed."""
        return await self._pauses.pause(pipeline, by=by)

    async def resume(self, pipeline: str, *, by: str = "") -> PipelineStatus:
        """Let a paused or parked pipeline work again."""
        return await self._pauses.resume(pipeline, by=by)

    async def pause_all(self, *, by: str) -> Sequence[PipelineStatus]:
        """Start no more runs of any pipeline, until somebody resumes all of them."""
        return await self._pauses.pause_all(by=by)

    async def resume_all(self, *, by: str) -> Sequence[PipelineStatus]:
        """Let pipelines work again that are not paused by their names."""
        return await self._pauses.resume_all(by=by)

    async def reload(self) -> ConfigReloaded:
        """Read the configuration again and apply the difference."""
        async with self._changing:
            services = self._services
            try:
                deployment = await self._load()
            except SettingsError as error:
                self._last_error = str(error)
                problems = tuple(str(problem) for problem in error.problems)
                await services.journal.attempt(
                    ReloadRefused(at=services.clock.now(), problems=problems)
                )
                raise
            changes = await self._apply(deployment, is_reload=True)
            self._last_error = ""
            self._pool.resize(pool_limits(deployment))
            services.desk.resize(max_workers=deployment.daemon.max_workers, pools=deployment.pools)
            return changes

    async def _apply(self, deployment: Deployment, *, is_reload: bool = False) -> ConfigReloaded:
        """Let `deployment` be in force, once history holds the definitions that are new."""
        services, now = self._services, self._services.clock.now()
        found = settle(
            deployment.pipelines,
            deployment.refused,
            await services.history.workflows(),
            roles=self._roles(),
            now=now,
        )
        changes = difference(self._roster.definitions, found)
        reloaded = ConfigReloaded(
            at=now,
            digest=deployment.digest,
            added=changes.added,
            changed=sorted({*changes.changed, *self._changed_uses(deployment, found.pipelines)}),
            removed=changes.removed,
        )
        is_mine = [e for e in found.events if self._only is None or e.pipeline in self._only]
        events = [*is_mine, *([reloaded] if is_reload else [])]
        if events:
            await services.journal.record(*events)
        services.broker.configure({p.name: p.pacing for p in deployment.providers.values()})
        services.deployment = deployment
        await self._roster.apply(found, changes)
        if self._schedules is not None:
            await self._schedules.reload()
        return reloaded

    def _changed_uses(self, deployment: Deployment, pipelines: Mapping[str, Pipeline]) -> set[str]:
        """Return the pipelines that go on under other datasets, providers or storage."""
        before = self._services.deployment
        return {
            name
            for name in diff(before, deployment).changed
            if name in pipelines and name in self._roster.definitions.pipelines
        }

    def _roles(self) -> dict[str, str]:
        operators = self._services.specs.operators
        return {name: str(spec.role) for name, spec in operators.items()}

    def request_stop(self, *, fast: bool) -> None:
        """Begin to drain, or to stop at once."""
        self._state = "stopping" if fast or self.stopping.is_set() else "draining"
        self.stopping.set()
        if fast:
            self.stopping_fast.set()

    async def _stop_on_request(self) -> None:
        """Drain when asked, and say when that is over, took too long, or was cut short."""
        await self.stopping.wait()
        clock = self._services.clock
        how = "fast" if self.stopping_fast.is_set() else "drain"
        running = sum(p.active_runs for p in self.pipelines())
        await self._services.journal.attempt(
            DaemonStopping(at=clock.now(), how=how, running=running)
        )
        limit_s = self._services.deployment.daemon.drain_timeout_s
        async with deadline(clock, limit_s), anyio.create_task_group() as waiting:
            waiting.start_soon(self._cut_short, waiting.cancel_scope)
            await self._roster.drain()
            waiting.cancel_scope.cancel()
        self.drained.set()

    async def _cut_short(self, scope: anyio.CancelScope) -> None:
        await self.stopping_fast.wait()
        scope.cancel()
