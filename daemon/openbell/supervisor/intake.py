"""The front desk: what is accepted, cancelled and tried again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from openbell.model.control import ConflictError, Submission, UnknownRunError
from openbell.model.events import RunCancelRequested, RunSubmitted
from openbell.model.history import DuplicateSubmissionError, RunFilter
from openbell.model.ids import JobId
from openbell.model.pipelines import Pipeline
from openbell.model.runs import RunRecord
from openbell.model.traces import new_trace_id, parse_traceparent
from openbell.sdk.values import to_us
from openbell.supervisor.messages import CancelRun, Enqueue
from openbell.supervisor.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A pipeline that takes work: its definition, and how to tell its actor."""

    pipeline: Pipeline
    version: int
    tell: Callable[[object], Awaitable[None]]


class Pipelines(Protocol):
    """Finds pipelines."""

    def target(self, name: str) -> Target:
        """Return a pipeline that takes work; raises what `Engine.submit` promises."""
        ...

    async def tell(self, name: str, message: object) -> None:
        """Tell a pipeline's actor, if there is one."""
        ...


class Intake:
    """Turns requests into durable runs, then tells the actor."""

    def __init__(self, services: Services, pipelines: Pipelines) -> None:
        self._services = services
        self._pipelines = pipelines

    async def submit(self, submission: Submission) -> RunRecord:
        """Accept a run; it is durable when this returns."""
        return await self._accept(submission, retry_of=None)

    async def _accept(self, submission: Submission, *, retry_of: RunRecord | None) -> RunRecord:
        services = self._services
        target = self._pipelines.target(submission.pipeline)
        pipeline = target.pipeline
        now = services.clock.now()
        run_id = services.ids.run(to_us(now))
        parent = parse_traceparent(submission.traceparent)
        event = RunSubmitted(
            at=now,
            run_id=run_id,
            job_id=JobId(retry_of.job_id) if retry_of else services.ids.job(to_us(now)),
            pipeline=pipeline.name,
            workflow_version=target.version,
            mode=pipeline.mode,
            nodes=tuple((node.name, node.op) for node in pipeline.nodes),
            params=run_params(submission, pipeline),
            origin=submission.origin,
            session=submission.session.isoformat() if submission.session else None,
            retry_of=retry_of.run_id if retry_of else None,
            idempotency_key=submission.idempotency_key,
            dry_run=submission.dry_run,
            trace_id=parent.trace_id if parent else new_trace_id(services.random_bits),
            parent_span_id=parent.span_id if parent else "",
        )
        try:
            await services.journal.record(event)
        except DuplicateSubmissionError as duplicate:
            return await self.find(duplicate.run_id)
        run = await self.find(run_id)
        await target.tell(Enqueue(run))
        return run

    async def find(self, run_or_job_id: str) -> RunRecord:
        """Return a run by its id, or the newest run of a submission; raises UnknownRunError."""
        history = self._services.history
        run = await history.run(run_or_job_id)
        if run is None:
            found = await history.runs(RunFilter(job_id=run_or_job_id, limit=1))
            run = found[0] if found else None
        if run is None:
            raise UnknownRunError(run_or_job_id)
        return run

    async def cancel(self, run_or_job_id: str, *, by: str) -> RunRecord:
        """Ask a run to end; finished work is kept."""
        run = await self.find(run_or_job_id)
        if run.state.is_final:
            raise ConflictError(f"run {run.run_id} has ended already ({run.state})")
        await self._services.journal.record(
            RunCancelRequested(
                at=self._services.clock.now(), run_id=run.run_id, pipeline=run.pipeline, by=by
            )
        )
        await self._pipelines.tell(run.pipeline, CancelRun(run.run_id))
        return await self.find(run.run_id)

    async def retry(self, run_or_job_id: str, *, by: str) -> RunRecord:
        """Submit an ended run again, with the same parameters."""
        run = await self.find(run_or_job_id)
        if not run.state.is_final:
            raise ConflictError(f"run {run.run_id} is {run.state}; only an ended run is retried")
        again = Submission(pipeline=run.pipeline, params=run.params, dry_run=run.dry_run, origin=by)
        return await self._accept(again, retry_of=run)


def run_params(submission: Submission, pipeline: Pipeline) -> dict[str, object]:
    """Return a run's parameters: the definition's, the request's over them, and its span."""
    params: dict[str, object] = {**pipeline.params, **submission.params}
    if submission.session is None:
        spans = (("from", submission.start, pipeline.start), ("to", submission.end, pipeline.end))
        for key, asked, configured in spans:
            if asked is not None:
                params[key] = asked.isoformat()
            elif configured is not None:
                params.setdefault(key, configured.isoformat())
    if submission.stop_after_s is not None:
        params["for_s"] = submission.stop_after_s
    return params
