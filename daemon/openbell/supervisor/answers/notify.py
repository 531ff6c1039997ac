"""`op: notify`: a line in the node's log, and a webhook told from a worker."""

from __future__ import annotations

from openbell.execution.pool import SilentListener
from openbell.execution.process import WorkerLostError
from openbell.execution.protocol import CallTask, Failed
from openbell.model.events import LogWritten
from openbell.model.runs import LogLine
from openbell.model.traces import node_traceparent
from openbell.sdk.errors import FatalError, RetryableError
from openbell.sdk.values import to_us
from openbell.supervisor.answers.question import Answer, Question

_POST = "openbell.execution.worker.probe:post_json"


async def answer(question: Question) -> Answer:
    """Return once it is told; raises RetryableError for a webhook that does not take it."""
    context, settings = question.context, question.settings
    services, run = context.services, context.run
    now = services.clock.now()
    text = services.redact(settings["message"])
    await context.record(
        LogWritten(
            at=now,
            run_id=run.run_id,
            pipeline=run.pipeline,
            node=question.node,
            attempt=question.attempt,
            lines=(LogLine(at=now, stream="log", level=settings["level"], text=text),),
        )
    )
    if settings["webhook"] is not None and not run.dry_run:
        await _post(question)
    return Answer()


async def _post(question: Question) -> None:
    context, settings = question.context, question.settings
    services, run = context.services, context.run
    body = {
        "message": settings["message"],
        "level": settings["level"],
        "pipeline": run.pipeline,
        "run_id": run.run_id,
        "node": question.node,
        "session": run.session,
    }
    task = CallTask(
        attempt_id=services.ids.attempt(to_us(services.clock.now())),
        function=_POST,
        arguments={
            "url": settings["webhook"],
            "body": body,
            "timeout_s": settings["timeout_seconds"],
            "traceparent": node_traceparent(
                run.trace_id, run.run_id, question.node, question.attempt
            ),
        },
    )
    try:
        done, _ = await services.executor.submit(task, SilentListener(), context.stop)
    except WorkerLostError as error:
        raise RetryableError(f"the webhook was not told: {error}") from error
    if isinstance(done, Failed):
        message = f"the webhook was not told: {done.message}"
        raise RetryableError(message) if done.is_retryable else FatalError(message)
