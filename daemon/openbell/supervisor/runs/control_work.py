"""A control node of a run: answered by the daemon itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from openbell.execution.chains import Unit
from openbell.execution.graph import Ended
from openbell.execution.retry import delay_s, is_retried
from openbell.model.pipelines import Node
from openbell.model.runs import NodeState
from openbell.sdk.errors import FatalError, OpenbellError, RetryableError
from openbell.supervisor.answers.question import FAILED, SKIPPED, Answer, Question
from openbell.supervisor.answers.registry import ANSWERS, answered, answered_at_once
from openbell.supervisor.deadline import deadline
from openbell.supervisor.runs.context import Completion, RunContext

_STATES = {FAILED: NodeState.FAILED, SKIPPED: NodeState.SKIPPED}


class ControlWork:
    """Answers one control node, again and again while its retry policy allows."""

    def __init__(self, context: RunContext, unit: Unit) -> None:
        self._context = context
        self._unit = unit
        self._node = unit.head
        self._known = context.before.nodes.get(unit.name)
        self._attempt = max(1, self._known.attempts) if self._known else 1

    async def run(self) -> Completion:
        """Return how the node ended; only that is left to record."""
        context = self._context
        await self._wait_as_before()
        is_running = self._known is not None and self._known.state is NodeState.RUNNING
        asked_at = self._known.started_at if self._known and self._attempt == 1 else None
        while True:
            if not is_running:
                await context.until_resumed()
            if context.is_interrupted:
                return self._interrupted()
            asked_at = asked_at or context.services.clock.now()
            if not is_running:
                await context.record(
                    context.change(self._node.name, NodeState.RUNNING, attempt=self._attempt)
                )
            is_running = False
            try:
                found = await self._ask(asked_at)
            except OpenbellError as error:
                ended = await self._retry(error)
                if ended is not None:
                    return ended
                self._attempt += 1
                asked_at = None
                continue
            return (
                self._interrupted()
                if found is None
                else completion(context, self._unit, found, attempt=self._attempt)
            )

    async def _wait_as_before(self) -> None:
        """Wait for the instant at which an earlier process was going to try again."""
        node = self._known
        if node is not None and node.state is NodeState.RETRYING and node.retry_at is not None:
            self._attempt = node.attempts + 1
            left = node.retry_at - self._context.services.clock.now()
            await self._context.sleep_or_stop(left.total_seconds())

    async def _ask(self, asked_at: datetime) -> Answer | None:
        """Return the answer, None when the run is to go on later; raises what went wrong."""
        question = question_of(self._context, self._node, asked_at, attempt=self._attempt)
        limit_s = None if self._node.timeout_s is None else question.left_s(self._node.timeout_s)
        clock = self._context.services.clock
        found: list[Answer] = []
        async with deadline(clock, limit_s) as limit:
            with self._context.until_stopped():
                found.append(await answered(question, self._node.op))
        if limit.has_passed and not found:
            abandon = ANSWERS[self._node.op].abandon
            if abandon is not None:
                await abandon(question)
            raise TimedOutError(f"took longer than {self._node.timeout_s:g} s")
        return found[0] if found else None

    async def _retry(self, error: OpenbellError) -> Completion | None:
        """Wait for the next attempt; return how the node ended if there is none."""
        context, policy = self._context, self._node.retry
        wait_s = None
        if is_retried(policy, error.kind, is_retryable=isinstance(error, RetryableError)):
            wait_s = delay_s(
                policy,
                self._attempt,
                retry_after_s=getattr(error, "retry_after_s", None),
                jitter=context.services.jitter(),
            )
        if wait_s is None:
            return failure(context, self._unit, str(error), kind=error.kind, attempt=self._attempt)
        await context.record(
            context.change(
                self._node.name,
                NodeState.RETRYING,
                attempt=self._attempt,
                retry_at=context.services.clock.now() + timedelta(seconds=wait_s),
                error=context.services.redact(str(error)),
                error_kind=error.kind,
            )
        )
        await context.sleep_or_stop(wait_s)
        return None

    def _interrupted(self) -> Completion:
        """Return that the node goes on later, as it stands in history."""
        return Completion(unit=self._unit, events=(), is_interrupted=True)


class TimedOutError(RetryableError):
    """An attempt took longer than the node allows."""

    kind = "timeout"


def settings_of(context: RunContext, node: Node) -> Mapping[str, Any]:
    """Return a node's settings, filled in and validated."""
    return context.dispatch.settings(node, context.params)


def question_of(context: RunContext, node: Node, asked_at: datetime, *, attempt: int) -> Question:
    """Return what a node asks; raises FatalError for settings that do not fit their parameters."""
    if node.op not in ANSWERS:
        raise FatalError(f"op {node.op!r} is a control operator that this daemon cannot answer")
    return Question(
        context=context,
        node=node.name,
        settings=settings_of(context, node),
        asked_at=asked_at,
        attempt=attempt,
    )


def answer_at_once(context: RunContext, unit: Unit) -> Completion | None:
    """Return how a node ended that takes no time, None for one that does."""
    node, known = unit.head, context.before.nodes.get(unit.name)
    answers = ANSWERS.get(node.op)
    if answers is None or answers.at_once is None or node.for_each is not None or known:
        return None
    try:
        question = question_of(context, node, context.services.clock.now(), attempt=1)
        answer = answered_at_once(question, node.op)
        return None if answer is None else completion(context, unit, answer, attempt=1)
    except FatalError as error:
        return failure(context, unit, str(error), kind=error.kind, attempt=1)


def completion(context: RunContext, unit: Unit, answer: Answer, *, attempt: int) -> Completion:
    """Return how a node ended that got its answer."""
    name = unit.name
    state = _STATES.get(answer.outcome, NodeState.SUCCESS)
    if state is NodeState.FAILED:
        return failure(context, unit, "it was told to fail", kind="fatal", attempt=attempt)
    is_success = state is NodeState.SUCCESS
    change = context.change(
        name,
        state,
        attempt=attempt,
        outcome=answer.outcome if is_success else None,
        output=answer.output,
    )
    return Completion(
        unit=unit,
        events=(change,),
        ends={name: Ended(state, answer.outcome)},
        outputs={name: answer.output} if answer.output is not None else {},
    )


def failure(
    context: RunContext, unit: Unit, message: str, *, kind: str, attempt: int
) -> Completion:
    """Return how a node ended that nobody could answer."""
    redacted = context.services.redact(message)
    change = context.change(
        unit.name, NodeState.FAILED, attempt=attempt, error=redacted, error_kind=kind
    )
    return Completion(
        unit=unit,
        events=(change,),
        ends={unit.name: Ended(NodeState.FAILED)},
        errors={unit.name: redacted},
    )
