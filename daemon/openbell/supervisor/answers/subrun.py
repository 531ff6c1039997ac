"""`op: pipeline`: a run of another pipeline, and its end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import date

import anyio

from openbell.model.control import (
    ConflictError,
    NotAcceptedError,
    StoppingError,
    Submission,
    UnknownPipelineError,
    UnknownRunError,
)
from openbell.model.runs import RunRecord, RunState
from openbell.model.traces import node_traceparent
from openbell.sdk.errors import FatalError, RetryableError, SettingsError
from openbell.supervisor.answers.question import Answer, Question, value

_CANCEL_S = 10.0
_DEEPEST = 16


async def answer(question: Question) -> Answer:
    """Return once the other run succeeded; raises when it did not.

    Asked again after a restart it follows the run that it began before. Cancelled together with
    its own run, not with a restart, it cancels the other.
    """
    services = question.context.services
    run = await _submitted(question)
    try:
        with services.signals.listening(("run", run.run_id)) as signal:
            while True:
                found = await services.history.run(run.run_id)
                if found is None:
                    raise FatalError(f"run {run.run_id} is not in history any more")
                if found.state.is_final:
                    return _ended(found)
                await signal.wait()
    except anyio.get_cancelled_exc_class():
        with anyio.move_on_after(_CANCEL_S, shield=True):
            await _cancel_too(question, run.run_id)
        raise


def _ended(run: RunRecord) -> Answer:
    if run.state is RunState.SUCCESS:
        return Answer(output=value({"run_id": run.run_id}))
    told = f": {run.error}" if run.error else ""
    raise FatalError(f"run {run.run_id} of {run.pipeline!r} is {run.state}{told}")


async def _submitted(question: Question) -> RunRecord:
    """Return the other run; the one that this attempt began before, whatever takes work by now."""
    context, settings = question.context, question.settings
    run, name = context.run, settings["pipeline"]
    known = await context.services.history.submission(_key(question))
    if known is not None:
        return known
    if name in await _ancestors(question):
        raise FatalError(f"pipeline {name!r} would run inside itself, without end")
    session = settings["session"] or run.session
    submission = Submission(
        pipeline=name,
        params=settings["params"],
        session=date.fromisoformat(session) if session else None,
        dry_run=run.dry_run,
        origin=f"run {run.run_id}",
        idempotency_key=_key(question),
        traceparent=node_traceparent(run.trace_id, run.run_id, question.node, question.attempt),
        priority=context.priority,
        parent_run_id=run.run_id,
        calendar=run.calendar,
    )
    try:
        return await context.services.doors.submit(submission)
    except StoppingError:
        await anyio.sleep_forever()  # this run is about to be interrupted too
        raise
    except (UnknownPipelineError, SettingsError) as error:
        raise FatalError(f"pipeline {name!r} cannot run: {error}") from error
    except NotAcceptedError as error:
        raise RetryableError(f"pipeline {name!r} takes no run now: {error}") from error


async def _ancestors(question: Question) -> Sequence[str]:
    """Return the pipelines that this run runs inside of, its own first."""
    history, run = question.context.services.history, question.context.run
    names = [run.pipeline]
    while run.parent_run_id is not None:
        if len(names) > _DEEPEST:
            raise FatalError(f"runs inside runs go {_DEEPEST} deep and no deeper")
        parent = await history.run(run.parent_run_id)
        if parent is None:
            break
        run = parent
        names.append(run.pipeline)
    return names


async def abandon(question: Question) -> None:
    """Cancel the other run: its time is up."""
    services = question.context.services
    run = await services.history.submission(_key(question))
    if run is not None and not run.state.is_final:
        with suppress(ConflictError, UnknownRunError):
            await services.doors.cancel(run.run_id, by=f"run {question.context.run.run_id}")


def _key(question: Question) -> str:
    run_id = question.context.run.run_id
    return submission_key(run_id, question.node, question.attempt, item=question.item)


def submission_key(run_id: str, node: str, attempt: int, *, item: int = -1) -> str:
    """Return the key under which a node submits the run that it follows."""
    return f"{run_id}/{node}/{item}/{attempt}"


async def _cancel_too(question: Question, run_id: str) -> None:
    """Cancel the other run if this one is to end for good."""
    context = question.context
    run = await context.services.history.run(context.run.run_id)
    is_asked = question.node in context.steering.requests
    is_over = run is not None and (run.cancel_requested or run.state.is_final)
    if context.is_ending or is_asked or is_over:
        with suppress(ConflictError, UnknownRunError):
            await context.services.doors.cancel(run_id, by=f"run {context.run.run_id}")
