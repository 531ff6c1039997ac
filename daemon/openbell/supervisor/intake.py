"""The front desk: what is accepted, cancelled and tried again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from openbell.config.substitution import param_names
from openbell.model.bodies import decode_body, encode_plain
from openbell.model.control import ConflictError, Submission, UnknownRunError
from openbell.model.events import (
    ApprovalAnswered,
    DecisionNoted,
    Event,
    RunCancelRequested,
    RunSubmitted,
)
from openbell.model.facts import is_reserved
from openbell.model.history import DuplicateSubmissionError, RecordRefusedError, RunFilter
from openbell.model.ids import JobId
from openbell.model.items import ApprovalRecord
from openbell.model.pipelines import Pipeline
from openbell.model.retries import Retry
from openbell.model.runs import IllegalStepError, RunRecord, RunState
from openbell.model.traces import new_trace_id, parse_traceparent
from openbell.sdk.errors import Problem, SettingsError
from openbell.sdk.values import to_us
from openbell.supervisor.letters import replayed
from openbell.supervisor.services import Services
from openbell.supervisor.takeover import taken_over, version_of
from openbell.supervisor.unfit import unfit

_SPAN = ("from", "to")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A pipeline that takes work."""

    pipeline: Pipeline
    version: int


class Pipelines(Protocol):
    """Hands work to pipelines."""

    async def enqueue(self, run: RunRecord, *, is_new: bool = False) -> None:
        """Let a run that was accepted be worked on; one that `is_new` nobody was told of before."""
        ...

    async def cancel(self, run: RunRecord) -> None:
        """End a run of which history says that it is to end."""
        ...


class Intake:
    """Turns requests into durable runs, then tells the actor."""

    def __init__(
        self, services: Services, pipelines: Pipelines, *, target: Callable[[str], Target]
    ) -> None:
        self._services = services
        self._pipelines = pipelines
        self._target = target

    async def submit(self, submission: Submission) -> RunRecord:
        """Accept a run; it is durable when this returns."""
        return await self._accept(submission, retry_of=None)

    async def _accept(self, submission: Submission, *, retry_of: RunRecord | None) -> RunRecord:
        event = self.prepared(submission, retry_of=retry_of)
        try:
            await self._services.journal.record(event)
        except DuplicateSubmissionError as duplicate:
            return await self.find(duplicate.run_id)
        run = queued(event)
        await self._pipelines.enqueue(run)
        return run

    def prepared(
        self,
        submission: Submission,
        *,
        retry_of: RunRecord | None = None,
        target: Target | None = None,
    ) -> RunSubmitted:
        """Return the event that accepts a request; nobody has heard of it yet."""
        services = self._services
        target = target or self._target(submission.pipeline)
        pipeline = target.pipeline
        now = services.clock.now()
        parent = parse_traceparent(submission.traceparent)
        priority = submission.priority
        return RunSubmitted(
            at=now,
            run_id=services.ids.run(to_us(now)),
            job_id=JobId(retry_of.job_id) if retry_of else services.ids.job(to_us(now)),
            pipeline=pipeline.name,
            workflow_version=target.version,
            mode=pipeline.mode,
            nodes=tuple((node.name, node.op) for node in pipeline.nodes),
            params=self._params(submission, pipeline),
            origin=submission.origin,
            session=submission.session.isoformat() if submission.session else None,
            retry_of=retry_of.run_id if retry_of else None,
            idempotency_key=submission.idempotency_key,
            dry_run=submission.dry_run,
            trace_id=parent.trace_id if parent else new_trace_id(services.random_bits),
            parent_span_id=parent.span_id if parent else "",
            calendar=submission.calendar,
            fire=submission.fire,
            due_at=submission.due_at,
            priority=pipeline.priority if priority is None else priority,
            parent_run_id=submission.parent_run_id,
        )

    def _params(self, submission: Submission, pipeline: Pipeline) -> dict[str, object]:
        """Return the run's parameters; raises SettingsError for what cannot be used."""
        params = run_params(submission, pipeline)
        asked = frozenset(submission.params)
        problems = [*unfit(pipeline, self._services.specs, params, asked=asked)] if asked else []
        if problems:
            raise SettingsError(problems)
        return params

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
        try:
            about: dict[str, Any] = {
                "at": self._services.clock.now(),
                "run_id": run.run_id,
                "pipeline": run.pipeline,
            }
            await self._services.journal.record(
                RunCancelRequested(**about, by=by),
                DecisionNoted(**about, what="cancel_requested", reason=f"{by} asked for its end"),
            )
        except IllegalStepError:
            run = await self.find(run.run_id)
            raise ConflictError(f"run {run.run_id} has ended already ({run.state})") from None
        await self._pipelines.cancel(run)
        return await self.find(run.run_id)

    async def answer(
        self,
        run_or_job_id: str,
        node: str,
        label: str,
        *,
        by: str,
        item: int,
        comment: str = "",
    ) -> ApprovalRecord:
        """Answer what a node asks a person.

        Raises UnknownRunError, and ConflictError where nothing is asked or the label is none of
        the answers.
        """
        services, run = self._services, await self.find(run_or_job_id)
        place = (node, item)
        asked = await services.history.approvals(run.run_id)
        question = next((each for each in asked if (each.node, each.item) == place), None)
        nodes = await services.history.nodes(run.run_id)
        is_over = run.state.is_final or any(n.node == node and n.state.is_final for n in nodes)
        if question is None or (is_over and question.label is None):
            raise ConflictError(f"node {node!r} of run {run.run_id} asks nothing")
        if question.label is not None:
            told = f"{question.label!r} by {question.answered_by}"
            raise ConflictError(f"node {node!r} of run {run.run_id} has its answer: {told}")
        if label not in question.labels:
            known = ", ".join(question.labels)
            raise ConflictError(f"{label!r} is no answer to node {node!r}; there are: {known}")
        event = ApprovalAnswered(
            at=services.clock.now(),
            run_id=run.run_id,
            pipeline=run.pipeline,
            node=node,
            item=item,
            label=label,
            by=by,
            comment=comment,
        )
        try:
            await services.journal.record(event)
        except RecordRefusedError as error:
            raise ConflictError(f"somebody was faster: {error}") from None
        asked = await services.history.approvals(run.run_id)
        return next(each for each in asked if (each.node, each.item) == place)

    async def retry(
        self,
        run_or_job_id: str,
        *,
        by: str,
        how: Retry | None = None,
        letter_id: str = "",
    ) -> RunRecord:
        """Submit an ended run again; see `Engine.retry`. `letter_id` is the letter it replays."""
        how = how or Retry()
        run = await self.find(run_or_job_id)
        if not run.state.is_final:
            raise ConflictError(f"run {run.run_id} is {run.state}; only an ended run is retried")
        again = Submission(
            pipeline=run.pipeline,
            params={**run.params, **how.params},
            session=date.fromisoformat(run.session) if run.session else None,
            dry_run=run.dry_run,
            origin=by,
            priority=run.priority if how.priority is None else how.priority,
            calendar=run.calendar,
            fire=run.fire,
            due_at=run.due_at,
        )
        target = await self._target_of(run, how)
        event = self.prepared(again, retry_of=run, target=target)
        taken = await taken_over(self._services, run, target.pipeline, how)
        events: list[Event] = [event, *taken.events(event, run)]
        events += await replayed(self._services, event, run, by=by, letter_id=letter_id)
        try:
            await self._services.journal.record(*events)
        except RecordRefusedError as error:
            raise ConflictError(error.reason) from None
        accepted = queued(event)
        await self._pipelines.enqueue(accepted)
        return accepted

    async def _target_of(self, run: RunRecord, how: Retry) -> Target:
        """Return the definition that a retry is done by; the pipeline takes work."""
        target = self._target(run.pipeline)
        before = None if how.new_definition else await version_of(self._services, run)
        return target if before is None else Target(pipeline=before, version=run.workflow_version)


def queued(event: RunSubmitted) -> RunRecord:
    """Return the run that `event` began, as history answers it, without asking there."""
    return RunRecord(
        run_id=event.run_id,
        job_id=event.job_id,
        pipeline=event.pipeline,
        workflow_version=event.workflow_version,
        mode=event.mode,
        state=RunState.QUEUED,
        params=decode_body(encode_plain(event.params)),
        submitted_at=event.at,
        session=event.session,
        retry_of=event.retry_of,
        origin=event.origin,
        dry_run=event.dry_run,
        trace_id=event.trace_id,
        calendar=event.calendar,
        fire=event.fire,
        due_at=event.due_at,
        priority=event.priority,
        parent_run_id=event.parent_run_id,
    )


def run_params(submission: Submission, pipeline: Pipeline) -> dict[str, object]:
    """Return a run's parameters: the definition's, the request's over them, and its span.

    Raises SettingsError for a span or a time that cannot be read, and for what the pipeline would
    leave unheard.
    """
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
    problems = [
        *_date_problems(params),
        *_time_problems(params),
        *_unheard(params, submission, pipeline),
    ]
    if problems:
        raise SettingsError(problems)
    return params


def _unheard(
    params: Mapping[str, object], submission: Submission, pipeline: Pipeline
) -> Iterator[Problem]:
    for name in sorted(filter(is_reserved, submission.params)):
        message = "every run knows this by itself; it cannot be given"
        yield Problem(key=f"params.{name}", message=message, hint="--session gives the session")
    known = {*pipeline.params, *_SPAN, "for_s"}
    asked = {name for name in submission.params if not is_reserved(name)}
    if not known.issuperset(asked):
        used = set().union(*(param_names(node.settings) for node in pipeline.nodes))
        known.update(name for name in used if not is_reserved(name.partition("(")[0]))
    for name in sorted(asked - known):
        shown = ", ".join(sorted(known - {*_SPAN, "for_s"})) or "none"
        message = f"{pipeline.name!r} has no such parameter; there are: {shown}"
        yield Problem(key=f"params.{name}", message=message)
    if pipeline.mode == "live":
        for key in sorted(set(_SPAN) & set(params)):
            message = f"{pipeline.name!r} is live: it fetches what is new"
            yield Problem(key=f"params.{key}", message=message, hint="a backfill has a span")
    elif "for_s" in params:
        message = f"{pipeline.name!r} is no live job: it ends when its work is done"
        yield Problem(key="params.for_s", message=message, hint="leave --for out")


def _date_problems(params: Mapping[str, object]) -> Iterator[Problem]:
    start, end = (str(params.get(key) or "") for key in _SPAN)
    if start and end and end < start:
        yield Problem(key="params.to", message=f"{end} is before from, {start}")
    for key in _SPAN:
        value = params.get(key)
        try:
            if value is not None:
                date.fromisoformat(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            yield Problem(
                key=f"params.{key}", message=f"{value!r} is no date", hint="write it as 2026-01-31"
            )


def _time_problems(params: Mapping[str, object]) -> Iterator[Problem]:
    value = params.get("for_s")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and 0 < float(str(value)) < float("inf")):
        yield Problem(
            key="params.for_s", message=f"{value!r} is no time", hint="give seconds, such as 600"
        )
