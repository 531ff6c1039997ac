"""`op: approve`: a person answers; question, deadline and answer are in history."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import ClassVar

from openbell.model.events import ApprovalAnswered, ApprovalAsked
from openbell.model.history import RecordRefusedError
from openbell.model.items import ApprovalRecord
from openbell.sdk.errors import FatalError
from openbell.supervisor.answers.question import Answer, Question, value
from openbell.supervisor.deadline import deadline
from openbell.supervisor.signals import Signal


class NobodyAnsweredError(FatalError):
    """The deadline of a question passed."""

    kind: ClassVar[str] = "timeout"


async def answer(question: Question) -> Answer:
    """Return what a person answered; raises NobodyAnsweredError at the deadline without a default."""
    context = question.context
    services, run = context.services, context.run
    if run.dry_run:
        return _of_nobody(question)
    with services.signals.listening(("approval", run.run_id)) as signal:
        asked = await _found(question) or await _ask(question)
        limit_s = None
        if asked.deadline_at is not None:
            limit_s = max(0.0, (asked.deadline_at - services.clock.now()).total_seconds())
        answers: list[ApprovalRecord] = []
        async with deadline(services.clock, limit_s):
            answers.append(await _answered(question, asked, signal))
    answered = answers[0] if answers else await _give_default(question)
    return Answer(
        outcome=str(answered.label),
        output=value({"label": answered.label, "by": answered.answered_by}),
    )


def _of_nobody(question: Question) -> Answer:
    """Return what a dry run goes on with, which asks nobody: the default, or the first label."""
    settings = question.settings
    label = str(settings["on_deadline"] or settings["labels"][0])
    return Answer(outcome=label, output=value({"label": label, "by": "dry run"}))


async def _answered(question: Question, asked: ApprovalRecord, signal: Signal) -> ApprovalRecord:
    while asked.label is None:
        await signal.wait()
        asked = await _found(question) or asked
    return asked


async def _found(question: Question) -> ApprovalRecord | None:
    history, run_id = question.context.services.history, question.context.run.run_id
    for asked in await history.approvals(run_id):
        if (asked.node, asked.item) == (question.node, question.item):
            return asked
    return None


async def _ask(question: Question) -> ApprovalRecord:
    context, settings = question.context, question.settings
    wait_s = settings["deadline"]
    event = ApprovalAsked(
        at=context.services.clock.now(),
        run_id=context.run.run_id,
        pipeline=context.run.pipeline,
        node=question.node,
        item=question.item,
        question=settings["question"],
        labels=tuple(settings["labels"]),
        deadline_at=None if wait_s is None else question.asked_at + timedelta(seconds=wait_s),
    )
    await context.record(event)
    asked = await _found(question)
    assert asked is not None
    return asked


async def _give_default(question: Question) -> ApprovalRecord:
    """Answer for whoever did not; a person's answer in the last moment counts."""
    context, label = question.context, question.settings["on_deadline"]
    if label is None:
        raise NobodyAnsweredError("nobody answered before the deadline")
    answered = ApprovalAnswered(
        at=context.services.clock.now(),
        run_id=context.run.run_id,
        pipeline=context.run.pipeline,
        node=question.node,
        item=question.item,
        label=label,
        by="deadline",
    )
    with suppress(RecordRefusedError):
        await context.record(answered)
    asked = await _found(question)
    assert asked is not None
    return asked
