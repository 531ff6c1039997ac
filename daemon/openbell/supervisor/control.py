"""What people ask of runs that are under way: durable first, then the run is told."""

from __future__ import annotations

from typing import Any, Protocol

from openbell.model.control import ConflictError
from openbell.model.events import DecisionNoted, Event, NodeEndRequested, RunPaused, RunPrioritized
from openbell.model.history import RecordRefusedError
from openbell.model.runs import IllegalStepError, NodeRecord, NodeState, RunRecord
from openbell.sdk.errors import Problem, SettingsError
from openbell.supervisor.explain.explainer import UnknownNodeError
from openbell.supervisor.messages import EndNode, PauseRun, PrioritizeRun
from openbell.supervisor.services import Services

_MARKS = {"success": NodeState.SUCCESS, "failed": NodeState.FAILED}


class Runs(Protocol):
    """Finds runs."""

    async def find(self, run_or_job_id: str) -> RunRecord:
        """Return a run by its id, or the newest run of a submission; raises UnknownRunError."""
        ...


class Actors(Protocol):
    """Tells the actors of pipelines."""

    async def tell(self, pipeline: str, message: object) -> None:
        """Tell a pipeline's actor; one that is down reads history when it starts again."""
        ...


class ControlDesk:
    """Pauses runs, changes their priority, and lets their nodes end."""

    def __init__(self, services: Services, runs: Runs, actors: Actors) -> None:
        self._services = services
        self._runs = runs
        self._actors = actors

    async def pause(self, run_or_job_id: str, *, paused: bool, by: str) -> RunRecord:
        """Let a run begin nothing more, or go on; asked again nothing changes."""
        run = await self._open(run_or_job_id)
        if run.paused != paused:
            did = "paused it" if paused else "let it go on"
            noted = DecisionNoted(**self._of(run), what="paused", reason=f"{by} {did}")
            await self._record(run, RunPaused(**self._of(run), paused=paused, by=by), noted)
            await self._actors.tell(run.pipeline, PauseRun(run.run_id, paused))
        return await self._runs.find(run.run_id)

    async def prioritize(self, run_or_job_id: str, priority: int, *, by: str) -> RunRecord:
        """Give a run another priority; what of it waits obeys at once."""
        run = await self._open(run_or_job_id)
        if run.priority != priority:
            await self._record(run, RunPrioritized(**self._of(run), priority=priority, by=by))
            await self._actors.tell(run.pipeline, PrioritizeRun(run.run_id, priority))
        return await self._runs.find(run.run_id)

    async def cancel_node(self, run_or_job_id: str, node: str, *, by: str) -> NodeRecord:
        """Let one node end as cancelled; running work of it is stopped."""
        return await self._end(run_or_job_id, node, {"state": NodeState.CANCELLED, "by": by})

    async def mark(
        self, run_or_job_id: str, node: str, mark: str, *, by: str, reason: str, outcome: str
    ) -> NodeRecord:
        """Let a node of an open run end as a success or a failure."""
        if mark not in _MARKS:
            message = f"{mark!r} is no mark; there are: success, failed"
            raise SettingsError([Problem(key="state", message=message)])
        how = {"state": _MARKS[mark], "by": by, "reason": reason, "outcome": outcome}
        return await self._end(run_or_job_id, node, how)

    async def _end(self, run_or_job_id: str, node: str, how: dict[str, Any]) -> NodeRecord:
        run = await self._open(run_or_job_id)
        known = await self._node(run, node)
        state = how["state"]
        if known.state.is_final:
            raise ConflictError(
                f"node {node!r} of run {run.run_id} has ended already ({known.state})"
            )
        await self._record(run, NodeEndRequested(**self._of(run), node=node, **how))
        asked = await self._services.history.node_requests(run.run_id)
        request = next(each for each in asked if each.node == node)
        if request.state is not state:
            raise ConflictError(f"node {node!r} of run {run.run_id} is being {request.told}")
        await self._actors.tell(run.pipeline, EndNode(request))
        return await self._node(run, node)

    async def _node(self, run: RunRecord, node: str) -> NodeRecord:
        nodes = await self._services.history.nodes(run.run_id)
        found = next((each for each in nodes if each.node == node), None)
        if found is None:
            raise UnknownNodeError(run.run_id, node, [each.node for each in nodes])
        return found

    async def _open(self, run_or_job_id: str) -> RunRecord:
        run = await self._runs.find(run_or_job_id)
        if run.state.is_final:
            raise self._over(run)
        return run

    def _over(self, run: RunRecord) -> ConflictError:
        return ConflictError(
            f"run {run.run_id} has ended already ({run.state}); an ended run is retried"
        )

    def _of(self, run: RunRecord) -> dict[str, Any]:
        return {
            "at": self._services.clock.now(),
            "run_id": run.run_id,
            "pipeline": run.pipeline,
        }

    async def _record(self, run: RunRecord, *events: Event) -> None:
        try:
            await self._services.journal.record(*events)
        except IllegalStepError as error:
            now = await self._runs.find(run.run_id)
            raise (self._over(now) if now.state.is_final else ConflictError(str(error))) from None
        except RecordRefusedError as error:
            raise ConflictError(f"run {run.run_id}: {error.reason}") from None
