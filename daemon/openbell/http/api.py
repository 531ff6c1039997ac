"""What every route works with, and the look-ups that several routes share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any, Protocol

import anyio
from starlette.requests import Request

from openbell.http import answers
from openbell.http.answers import JsonAnswer, page
from openbell.http.connections import Caller, caller_of
from openbell.http.idempotency import AnswerKeeper
from openbell.http.problems import ProblemError
from openbell.http.redaction import Redaction
from openbell.model.calendars import Calendars
from openbell.model.control import Engine, UnknownRunError
from openbell.model.history import History, RunFilter
from openbell.model.runs import NodeState, RunRecord
from openbell.model.schedules import Schedules
from openbell.model.summary import sources, summarize
from openbell.model.tracking import progress
from openbell.sdk.clock import Clock


class Plugin(Protocol):
    """What the plugin host knows of one plugin."""

    @property
    def name(self) -> str:
        """The entry point's name."""
        ...

    @property
    def distribution(self) -> str:
        """The distribution that brought it."""
        ...

    @property
    def version(self) -> str:
        """The distribution's version."""
        ...

    @property
    def state(self) -> str:
        """Loaded or refused."""
        ...

    @property
    def reason(self) -> str:
        """Why it was refused."""
        ...

    @property
    def registers(self) -> Mapping[str, Sequence[str]]:
        """Names it registered, by kind."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What is wrong with a plugin that works all the same."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Api:
    """The parts that the routes are made of. `closing` is set when the server begins to stop."""

    engine: Engine
    history: History
    calendars: Calendars
    schedules: Schedules
    plugins: Sequence[Plugin]
    metrics: Callable[[], bytes]
    clock: Clock
    heartbeat_s: float
    send_timeout_s: float
    redaction: Redaction
    closing: anyio.Event = field(default_factory=anyio.Event)
    kept: AnswerKeeper = field(default_factory=AnswerKeeper)

    async def find_run(self, run_or_job_id: str) -> RunRecord:
        """Return the run with this id, or the newest run of this submission.

        Raises UnknownRunError.
        """
        found = await self.history.run(run_or_job_id)
        if found is not None:
            return found
        of_job = await self.history.runs(RunFilter(job_id=run_or_job_id, limit=1))
        if not of_job:
            raise UnknownRunError(run_or_job_id)
        return of_job[0]

    async def runs(self, wanted: RunFilter) -> JsonAnswer:
        """Return a page of runs, newest first."""
        limit = wanted.limit
        found = await self.history.runs(replace(wanted, limit=limit + 1))
        more = found[limit - 1].run_id if len(found) > limit else None
        return page([answers.run(run) for run in found[:limit]], more)

    async def summary(self, run: RunRecord) -> dict[str, Any]:
        """Return `run` with its nodes and totals."""
        nodes = await self.history.nodes(run.run_id)
        workflow = await self.history.workflow(run.pipeline, run.workflow_version)
        source_nodes = sources(workflow.definition if workflow else None)
        if not source_nodes:
            source_nodes = frozenset(node.node for node in nodes[:1])
        batches = 0
        for name in sorted(source_nodes):
            checkpoint = await self.history.checkpoint(run.run_id, name)
            batches += checkpoint.next_chunk if checkpoint else 0
        summary = summarize(
            run,
            nodes,
            source_nodes=source_nodes,
            batches=batches,
            now=self.clock.now(),
        )
        waiting = list(self.engine.queue(run.pipeline)[1]) if run.state == "queued" else []
        place = waiting.index(run.run_id) + 1 if run.run_id in waiting else None
        return {**summary, "queue_position": place}

    async def tracked_nodes(self, run: RunRecord) -> list[dict[str, Any]]:
        """Return a run's nodes in the definition's order, those at work with their progress."""
        nodes = await self.history.nodes(run.run_id)
        tracks = self.engine.tracks(run.run_id)
        usual: Mapping[str, Sequence[float]] = {}
        if any(node.state is NodeState.RUNNING for node in nodes):
            usual = await self.history.node_durations(run.pipeline)
        now = self.clock.now()
        counts = await self.history.item_counts(run.run_id)
        found = []
        for node in nodes:
            track = None
            if node.state is NodeState.RUNNING:
                took = usual.get(node.node)
                track = progress(
                    tracks.get(node.node),
                    began_at=node.started_at or now,
                    now=now,
                    usual_s=median(took) if took else None,
                )
            items = counts.get(node.node)
            found.append({**answers.node(node), "progress": track, "items": items})
        return found

    def dataset_names(self) -> Sequence[str]:
        """Return the configured datasets' names."""
        return sorted(self.engine.deployment.datasets)

    def check_dataset(self, name: str) -> None:
        """Raise the problem `unknown-dataset` unless `name` is configured."""
        known = self.dataset_names()
        if name not in known:
            shown = ", ".join(known) or "none"
            raise ProblemError(
                404,
                "unknown-dataset",
                f"dataset {name!r} is unknown; there are: {shown}",
                known=known,
            )


def by(request: Request) -> str:
    """Return who asks, for the record."""
    caller: Caller = caller_of(request.scope)
    return caller.who
