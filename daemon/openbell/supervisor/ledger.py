"""How a run begins and ends in history, whoever ends it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from openbell.model.events import AttemptFinished, Event, NodeChanged, RunFinished, RunStarted
from openbell.model.history import RecordRefusedError
from openbell.model.runs import AttemptRecord, IllegalStepError, NodeState, RunRecord, RunState
from openbell.supervisor.runs.letters import letter
from openbell.supervisor.runs.recovered import Recovered
from openbell.supervisor.services import Services


class RunLedger:
    """One run's page in history. While the disk refuses, its methods wait."""

    def __init__(self, services: Services, run: RunRecord, *, job: str | None = None) -> None:
        self._services = services
        self._run = run
        self._job = job or run.pipeline
        self.provider = ""

    async def recovered(self) -> Recovered:
        """Return what history knows of the run's nodes and attempts."""
        history, run_id = self._services.history, self._run.run_id
        nodes = {node.node: node for node in await history.nodes(run_id)}
        return Recovered(nodes, tuple(await history.attempts(run_id)))

    def opening(self, attempts: Sequence[AttemptRecord]) -> list[Event]:
        """Return what takes the run out of the queue and closes what an earlier process left open."""
        run, lost = self._run, self._lost(attempts)
        if run.state is not RunState.QUEUED:
            return [*lost]
        now = self._services.clock.now()
        return [RunStarted(at=now, run_id=run.run_id, pipeline=run.pipeline), *lost]

    def closing(self, attempts: Sequence[AttemptRecord]) -> list[AttemptFinished]:
        """Return the ends of those of `attempts` that were stopped: they do not count."""
        return self._lost(attempts)

    def finished(
        self, began: datetime | None, state: RunState, *, error: str = "", reason: str = ""
    ) -> RunFinished:
        """Return the run's end; `began` is when it left the queue."""
        now = self._services.clock.now()
        return RunFinished(
            at=now,
            run_id=self._run.run_id,
            pipeline=self._run.pipeline,
            job=self._job,
            state=state,
            duration_s=(now - (began or now)).total_seconds(),
            reason=reason,
            error=error,
            provider=self.provider,
            session=self._run.session,
        )

    async def end(self, state: RunState, *, error: str = "", reason: str = "") -> None:
        """Put the run's end on record, and with it that of everything in it that is still open.

        All of it or nothing; a run that has ended already stays as it ended. One that fails leaves
        a dead letter about what was still to do.
        """
        history, now = self._services.history, self._services.clock.now()
        run = await history.run(self._run.run_id)
        if run is None or run.state.is_final:
            return
        attempts = await history.attempts(run.run_id)
        events: list[Event] = [*self._lost(attempts)]
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
        if state is RunState.FAILED and not run.dry_run:
            events.append(letter(self._services, run, node="", error_kind=reason, error=error))
        finished = self.finished(run.started_at, state, error=error, reason=reason)
        try:
            await self._services.journal.insist(*events, finished)
        except (IllegalStepError, RecordRefusedError):
            found = await history.run(run.run_id)
            if found is None or found.state.is_final:
                return  # somebody else ended it meanwhile
            raise

    def _lost(self, attempts: Sequence[AttemptRecord]) -> list[AttemptFinished]:
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
                item=attempt.item,
            )
            for attempt in attempts
            if attempt.state == "running"
        ]
