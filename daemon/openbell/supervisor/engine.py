"""The root supervisor: one engine that owns every pipeline's actor."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self

import anyio
from anyio.abc import TaskGroup

from openbell import __version__
from openbell.execution.pool import PoolLimits
from openbell.model.control import (
    BudgetStatus,
    ConflictError,
    DaemonStatus,
    EventStream,
    NotAcceptedError,
    PipelineStatus,
    Submission,
    UnknownPipelineError,
    WorkerStatus,
)
from openbell.model.events import (
    ConfigReloaded,
    DaemonStopping,
    ReloadRefused,
    RunFinished,
)
from openbell.model.history import RunFilter
from openbell.model.pipelines import Deployment, Pipeline
from openbell.model.runs import RunRecord, RunState, WorkflowRecord
from openbell.sdk.errors import SettingsError
from openbell.supervisor.crashes import Supervised
from openbell.supervisor.deadline import deadline
from openbell.supervisor.definitions import FROM_API, Definitions, settle, versioned
from openbell.supervisor.intake import Intake, Target
from openbell.supervisor.messages import Pause, Redefine, Resume, Retire
from openbell.supervisor.pipeline_actor import PipelineActor
from openbell.supervisor.restart import RestartPolicy
from openbell.supervisor.services import Services

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
    ) -> None:
        self._services = services
        self._pool = pool
        self._load = load
        self._parse = parse
        self._policy = policy or RestartPolicy()
        self._only = only
        self._pipelines: dict[str, Supervised] = {}
        self._definitions = Definitions(pipelines={}, versions={}, refused={}, events=())
        self._tasks: TaskGroup | None = None
        self._intake = Intake(services, self)
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

    async def __aenter__(self) -> Self:
        await self._settle(self._services.deployment)
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        await self._fail_orphans()
        for name in self._definitions.pipelines:
            self._start(name)
        self._tasks.start_soon(self._stop_on_request, name="stop on request")
        self._state = "running"
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

    async def _settle(self, deployment: Deployment) -> None:
        """Bring history up to date with the definitions of `deployment`."""
        services = self._services
        roles = {name: str(spec.role) for name, spec in services.specs.operators.items()}
        self._definitions = settle(
            deployment.pipelines,
            deployment.refused,
            await services.history.workflows(),
            roles=roles,
            now=services.clock.now(),
        )
        events = [
            event
            for event in self._definitions.events
            if self._only is None or event.pipeline in self._only
        ]
        if events:
            await services.journal.record(*events)
        services.broker.configure({p.name: p.pacing for p in deployment.providers.values()})
        services.deployment = deployment

    async def _fail_orphans(self) -> None:
        """End open runs whose pipeline is gone: nothing could ever run them."""
        if self._only is not None:
            return
        services = self._services
        now = services.clock.now()
        open_runs = await services.history.runs(
            RunFilter(states=(RunState.QUEUED, RunState.RUNNING), limit=100_000)
        )
        for run in open_runs:
            if run.pipeline in self._definitions.pipelines:
                continue
            if run.pipeline in self._definitions.refused:
                continue
            await services.journal.record(
                RunFinished(
                    at=now,
                    run_id=run.run_id,
                    pipeline=run.pipeline,
                    job=run.pipeline,
                    state=RunState.FAILED,
                    duration_s=0.0,
                    reason="pipeline_removed",
                    error=f"pipeline {run.pipeline!r} is no longer configured",
                )
            )

    def _start(self, name: str) -> None:
        if self._only is not None and name not in self._only:
            return
        assert self._tasks is not None

        def make() -> PipelineActor:
            was_paused = name in self._pipelines and self._pipelines[name].actor.is_paused
            return PipelineActor(
                self._services,
                self._definitions.pipelines[name],
                self._definitions.versions[name],
                is_paused=was_paused,
            )

        supervised = Supervised(self._services, name, make, self._policy)
        self._pipelines[name] = supervised
        self._tasks.start_soon(self._keep, name, supervised, name=f"pipeline {name}")

    async def _keep(self, name: str, supervised: Supervised) -> None:
        await supervised.run()
        if self._pipelines.get(name) is supervised and not self.stopping.is_set():
            del self._pipelines[name]

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
            last_error=self._last_error,
        )

    def pipelines(self) -> Sequence[PipelineStatus]:
        """Return every pipeline, by name."""
        found = [supervised.status() for supervised in self._pipelines.values()]
        for name, reason in self._definitions.refused.items():
            found.append(
                PipelineStatus(
                    name=name,
                    state="refused",
                    mode="",
                    job=None,
                    version=0,
                    node_count=0,
                    active_runs=0,
                    queued_runs=0,
                    reason=reason,
                )
            )
        return sorted(found, key=lambda status: status.name)

    def workers(self) -> Sequence[WorkerStatus]:
        """Return every worker process."""
        return self._pool.status()

    def budgets(self) -> Sequence[BudgetStatus]:
        """Return every provider's budget."""
        return self._services.broker.status()

    def mailbox_depths(self) -> Mapping[str, int]:
        """Return how many messages wait for each pipeline's actor."""
        return {name: s.actor.mailbox.depth() for name, s in self._pipelines.items()}

    def subscribe(self, *, capacity: int = 1000) -> AbstractContextManager[EventStream]:
        """Return the stream of events from now on."""
        return self._services.journal.subscribe(capacity=capacity)

    async def submit(self, submission: Submission) -> RunRecord:
        """Accept a run; it is durable when this returns."""
        return await self._intake.submit(submission)

    async def cancel(self, run_or_job_id: str, *, by: str) -> RunRecord:
        """Ask a run to end; finished work is kept."""
        return await self._intake.cancel(run_or_job_id, by=by)

    async def retry(self, run_or_job_id: str, *, by: str) -> RunRecord:
        """Submit an ended run again."""
        return await self._intake.retry(run_or_job_id, by=by)

    def target(self, name: str) -> Target:
        """Return the definition and actor of a pipeline that takes work."""
        if name in self._definitions.refused:
            raise NotAcceptedError(
                f"pipeline {name!r} is refused: {self._definitions.refused[name]}"
            )
        if name not in self._definitions.pipelines or name not in self._pipelines:
            raise UnknownPipelineError(
                name, [*self._definitions.pipelines, *self._definitions.refused]
            )
        if self._state != "running":
            raise NotAcceptedError(f"the daemon is {self._state} and takes no more work")
        supervised = self._pipelines[name]
        if supervised.parked_reason:
            raise NotAcceptedError(
                f"pipeline {name!r} is parked ({supervised.parked_reason}); resume it first"
            )
        return Target(
            pipeline=self._definitions.pipelines[name],
            version=self._definitions.versions[name],
            tell=supervised.tell,
        )

    async def tell(self, name: str, message: object) -> None:
        """Tell a pipeline's actor, if there is one."""
        if name in self._pipelines:
            await self._pipelines[name].tell(message)

    async def define(self, document: Mapping[str, Any]) -> WorkflowRecord:
        """Add or change a pipeline from the API's document."""
        async with self._changing:
            services = self._services
            pipeline = self._parse(document)
            roles = {name: str(spec.role) for name, spec in services.specs.operators.items()}
            now = services.clock.now()
            if pipeline.name in services.deployment.pipelines:
                raise ConflictError(
                    f"pipeline {pipeline.name!r} comes from the configuration file; "
                    "change it there and reload"
                )
            record = await services.history.workflow(pipeline.name)
            checked = settle({pipeline.name: pipeline}, {}, (), roles=roles, now=now)
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

    async def pause(self, pipeline: str) -> PipelineStatus:
        """Start no more runs of this pipeline."""
        supervised = self._supervised(pipeline)
        await supervised.actor.mailbox.ask(Pause(), timeout_s=10.0)
        return supervised.status()

    async def resume(self, pipeline: str) -> PipelineStatus:
        """Let a paused or parked pipeline work again."""
        supervised = self._supervised(pipeline)
        if supervised.parked_reason:
            supervised.unpark()
            return supervised.status()
        await supervised.actor.mailbox.ask(Resume(), timeout_s=10.0)
        return supervised.status()

    def _supervised(self, pipeline: str) -> Supervised:
        if pipeline not in self._pipelines:
            raise UnknownPipelineError(pipeline, list(self._pipelines))
        return self._pipelines[pipeline]

    async def reload(self) -> ConfigReloaded:
        """Read the configuration again and apply the difference."""
        async with self._changing:
            services = self._services
            try:
                deployment = await self._load()
            except SettingsError as error:
                self._last_error = str(error)
                await services.journal.record(
                    ReloadRefused(
                        at=services.clock.now(),
                        problems=tuple(str(problem) for problem in error.problems),
                    )
                )
                raise
            self._last_error = ""
            reloaded = await self._apply(deployment)
            await services.journal.record(reloaded)
            return reloaded

    async def _apply(self, deployment: Deployment) -> ConfigReloaded:
        before = self._definitions
        await self._settle(deployment)
        after = self._definitions
        added = sorted(set(after.pipelines) - set(before.pipelines))
        removed = sorted(set(before.pipelines) - set(after.pipelines))
        changed = sorted(
            name
            for name in set(after.pipelines) & set(before.pipelines)
            if after.versions[name] != before.versions[name]
        )
        for name in after.pipelines:
            if name not in self._pipelines:
                self._start(name)
                continue
            supervised = self._pipelines[name]
            if name in changed or name in added:
                await supervised.tell(Redefine(after.pipelines[name], after.versions[name]))
            if supervised.parked_reason:
                supervised.unpark()
        for name in removed:
            await self._pipelines[name].tell(Retire())
        self._pool.resize(pool_limits(deployment))
        return ConfigReloaded(
            at=self._services.clock.now(),
            digest=deployment.digest,
            added=added,
            changed=changed,
            removed=removed,
        )

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
        await self._services.journal.record(
            DaemonStopping(at=clock.now(), how=how, running=running)
        )
        limit_s = self._services.deployment.daemon.drain_timeout_s
        async with deadline(clock, limit_s), anyio.create_task_group() as waiting:
            waiting.start_soon(self._cut_short, waiting.cancel_scope)
            async with anyio.create_task_group() as draining:
                for supervised in list(self._pipelines.values()):
                    draining.start_soon(supervised.drain)
            waiting.cancel_scope.cancel()
        self.drained.set()

    async def _cut_short(self, scope: anyio.CancelScope) -> None:
        await self.stopping_fast.wait()
        scope.cancel()
