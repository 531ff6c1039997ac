"""The pipelines at work: which there are, and what each is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import anyio
from anyio.abc import TaskGroup

from openbell.model.control import NotAcceptedError, PipelineStatus, UnknownPipelineError
from openbell.model.history import RunFilter
from openbell.model.runs import RunRecord, RunState
from openbell.supervisor.crashes import Supervised
from openbell.supervisor.definitions import Definitions, Difference
from openbell.supervisor.intake import Target
from openbell.supervisor.ledger import RunLedger
from openbell.supervisor.messages import CancelRun, Enqueue
from openbell.supervisor.restart import RestartPolicy
from openbell.supervisor.services import Services

_OPEN_STATES = (RunState.QUEUED, RunState.RUNNING)
_PAGE = 500


ALL = ""
"""Stands for every pipeline among the names of those that are paused."""


class Roster:
    """Every pipeline's supervised actor, by name; with `only`, of those names alone."""

    def __init__(
        self, services: Services, *, policy: RestartPolicy, only: frozenset[str] | None
    ) -> None:
        self._services = services
        self._policy = policy
        self._only = only
        self._at_work: dict[str, Supervised] = {}
        self._tasks: TaskGroup | None = None
        self._is_draining = False
        self.paused: frozenset[str] = frozenset()
        self.definitions = Definitions(pipelines={}, versions={}, refused={}, events=())

    def open(self, tasks: TaskGroup) -> None:
        """Start every pipeline's actor in `tasks`."""
        self._tasks = tasks
        for name in self.definitions.pipelines:
            self._start(name)

    def _start(self, name: str) -> None:
        if self._tasks is None or (self._only is not None and name not in self._only):
            return
        definitions = self.definitions
        supervised = Supervised(
            self._services, definitions.pipelines[name], definitions.versions[name], self._policy
        )
        if self._only is None and not self.paused.isdisjoint({name, ALL}):
            supervised.begin_paused()
        self._at_work[name] = supervised
        self._tasks.start_soon(self._keep, name, supervised, name=f"pipeline {name}")

    async def _keep(self, name: str, supervised: Supervised) -> None:
        """See a pipeline to its end; it begins anew when it was defined again meanwhile."""
        await supervised.run()
        if self._is_draining:
            return
        del self._at_work[name]
        if name in self.definitions.pipelines:
            self._start(name)
        elif name not in self.definitions.refused:
            await self.end_orphans(name)

    async def end_orphans(self, pipeline: str | None = None) -> None:
        """End open runs whose pipeline is gone: nothing could ever run them."""
        if self._only is not None:
            return
        known = {*self.definitions.pipelines, *self.definitions.refused}
        before: str | None = None
        while True:
            page = await self._services.history.runs(
                RunFilter(pipeline=pipeline, states=_OPEN_STATES, before=before, limit=_PAGE)
            )
            for run in page:
                if run.pipeline not in known:
                    await self._end_orphan(run)
            if len(page) < _PAGE:
                return
            before = page[-1].run_id

    async def _end_orphan(self, run: RunRecord) -> None:
        await RunLedger(self._services, run).end(
            RunState.FAILED,
            reason="pipeline_removed",
            error=f"pipeline {run.pipeline!r} is no longer configured",
        )

    async def apply(self, definitions: Definitions, difference: Difference) -> None:
        """Let `definitions` be in force: start, redefine and retire what differs."""
        self.definitions = definitions
        for name, pipeline in definitions.pipelines.items():
            supervised = self._at_work.get(name)
            if supervised is None:
                self._start(name)
                continue
            if name in difference.changed or name in difference.added:
                await supervised.redefine(pipeline, definitions.versions[name])
            supervised.unpark()
        for name in difference.removed:
            if name in self._at_work:
                await self._at_work[name].retire()

    def statuses(self) -> Sequence[PipelineStatus]:
        """Return every pipeline, by name."""
        found = {name: supervised.status() for name, supervised in self._at_work.items()}
        for name, reason in self.definitions.refused.items():
            before = found.get(name)
            found[name] = PipelineStatus(
                name=name,
                state="refused",
                mode=before.mode if before else "",
                job=before.job if before else None,
                version=before.version if before else 0,
                node_count=before.node_count if before else 0,
                active_runs=before.active_runs if before else 0,
                queued_runs=before.queued_runs if before else 0,
                reason=reason,
            )
        return sorted(found.values(), key=lambda status: status.name)

    def mailbox_depths(self) -> Mapping[str, int]:
        """Return how many messages wait for each pipeline's actor."""
        return {name: s.actor.mailbox.depth() for name, s in self._at_work.items()}

    def target(self, name: str) -> Target:
        """Return the definition of a pipeline that takes work."""
        definitions = self.definitions
        if name in definitions.refused:
            raise NotAcceptedError(f"pipeline {name!r} is refused: {definitions.refused[name]}")
        if name not in definitions.pipelines or name not in self._at_work:
            raise UnknownPipelineError(name, [*definitions.pipelines, *definitions.refused])
        reason = self._at_work[name].parked_reason
        if reason:
            raise NotAcceptedError(f"pipeline {name!r} is parked ({reason}); resume it first")
        return Target(pipeline=definitions.pipelines[name], version=definitions.versions[name])

    def standing(self, name: str) -> str:
        """Return how a pipeline stands: active, starting, paused, parked, refused or unknown."""
        if name in self.definitions.refused:
            return "refused"
        if name not in self.definitions.pipelines or name not in self._at_work:
            return "unknown"
        supervised = self._at_work[name]
        if supervised.parked_reason:
            return "parked"
        if supervised.is_paused:
            return "paused"
        return "active" if supervised.actor.has_recovered else "starting"

    def open_runs(self, name: str) -> tuple[Sequence[str], Sequence[str]]:
        """Return the ids of a pipeline's runs that are going on, and of those that wait."""
        return self._at_work[name].actor.open_runs()

    def queue(self, name: str) -> tuple[Sequence[str], Sequence[str]]:
        """Return what `open_runs` does, and nothing for a pipeline that is not at work."""
        return self._at_work[name].actor.open_runs() if name in self._at_work else ((), ())

    def supervised(self, name: str) -> Supervised:
        """Return a pipeline at work; raises UnknownPipelineError."""
        if name not in self._at_work:
            raise UnknownPipelineError(name, list(self._at_work))
        return self._at_work[name]

    def __iter__(self) -> Iterator[Supervised]:
        return iter(list(self._at_work.values()))

    def withdraw(self, run: RunRecord) -> bool:
        """Forget a run that waits for its fire; return whether that is still possible."""
        supervised = self._at_work.get(run.pipeline)
        return supervised is None or supervised.actor.withdraw(run)

    async def enqueue(self, run: RunRecord, *, is_new: bool = False) -> None:
        """Let a run that was accepted be worked on; its pipeline may have left meanwhile."""
        supervised = self._at_work.get(run.pipeline)
        if supervised is not None:
            await supervised.tell(Enqueue(run, is_new))
        elif not self._is_draining:
            await self._end_orphan(run)

    async def cancel(self, run: RunRecord) -> None:
        """End a run of which history says that it is to end."""
        supervised = self._at_work.get(run.pipeline)
        if supervised is None or supervised.parked_reason:
            await RunLedger(self._services, run).end(RunState.CANCELLED, reason="cancelled")
        else:
            await supervised.tell(CancelRun(run.run_id))

    async def tell(self, pipeline: str, message: object) -> None:
        """Tell a pipeline's actor; one that is down reads history when it starts again."""
        supervised = self._at_work.get(pipeline)
        if supervised is not None:
            await supervised.tell(message)

    async def drain(self) -> None:
        """Return once nothing runs any more; what was running goes on at the next start."""
        self._is_draining = True
        async with anyio.create_task_group() as draining:
            for supervised in self:
                draining.start_soon(supervised.drain)
