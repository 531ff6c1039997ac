"""How a run begins and ends in history, whoever ends it."""

from __future__ import annotations

from openbell.model.events import AttemptFinished, Event, NodeChanged, RunFinished, RunStarted
from openbell.model.runs import NodeState, RunRecord, RunState
from openbell.supervisor.services import Services


class RunLedger:
    """One run's page in history. While the disk refuses, its methods wait."""

    def __init__(self, services: Services, run: RunRecord, *, job: str | None = None) -> None:
        self._services = services
        self._run = run
        self._job = job or run.pipeline
        self.provider = ""

    async def begin(self) -> None:
        """Take the run out of the queue and close what an earlier process left open."""
        now = self._services.clock.now()
        events: list[Event] = []
        if self._run.state is RunState.QUEUED:
            events.append(RunStarted(at=now, run_id=self._run.run_id, pipeline=self._run.pipeline))
        events += await self._lost_attempts()
        if events:
            await self._services.journal.insist(*events)

    async def end(self, state: RunState, *, error: str = "", reason: str = "") -> None:
        """Put the run's end on record, and with it that of everything in it that is still open.

        All of it or nothing; a run that has ended already stays as it ended.
        """
        history, now = self._services.history, self._services.clock.now()
        run = await history.run(self._run.run_id)
        if run is None or run.state.is_final:
            return
        events: list[Event] = [*await self._lost_attempts()]
        events += [
            NodeChanged(
                at=now,
                run_id=run.run_id,
                pipeline=run.pipeline,
                node=node.node,
                state=NodeState.CANCELLED,
                attempt=node.attempts,
                error_kind=reason,
            )
            for node in await history.nodes(run.run_id)
            if not node.state.is_final
        ]
        finished = RunFinished(
            at=now,
            run_id=run.run_id,
            pipeline=run.pipeline,
            job=self._job,
            state=state,
            duration_s=(now - (run.started_at or now)).total_seconds(),
            reason=reason,
            error=error,
            provider=self.provider,
        )
        await self._services.journal.insist(*events, finished)

    async def _lost_attempts(self) -> list[AttemptFinished]:
        """Return the ends of attempts that nobody works on: interrupted, they do not count."""
        now = self._services.clock.now()
        return [
            AttemptFinished(
                at=now,
                attempt_id=attempt.attempt_id,
                run_id=attempt.run_id,
                pipeline=self._run.pipeline,
                node=attempt.node,
                number=attempt.number,
                state="interrupted",
                duration_s=(now - attempt.started_at).total_seconds(),
            )
            for attempt in await self._services.history.attempts(self._run.run_id)
            if attempt.state == "running"
        ]
