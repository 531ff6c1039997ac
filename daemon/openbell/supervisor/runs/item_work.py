"""One instance of a node with `for_each`: attempt after attempt, until it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from openbell.execution.retry import delay_s, failures_so_far, is_retried
from openbell.model.events import Event
from openbell.model.items import ItemChange, ItemRecord
from openbell.model.pipelines import Node
from openbell.model.runs import NodeState
from openbell.model.traces import node_traceparent
from openbell.sdk.errors import FatalError, OpenbellError, RetryableError
from openbell.sdk.values import to_us
from openbell.supervisor.answers.question import FAILED, SKIPPED, Answer, Question
from openbell.supervisor.answers.registry import ANSWERS, answered, answered_at_once
from openbell.supervisor.attempts import Attempt
from openbell.supervisor.deadline import deadline
from openbell.supervisor.desk import Ask
from openbell.supervisor.dispatch import Frame
from openbell.supervisor.runs.context import RunContext
from openbell.supervisor.runs.item_params import ItemParams
from openbell.supervisor.runs.letters import letter_of_item
from openbell.supervisor.runs.worker_work import kind_of


class Note(Protocol):
    """Puts a change on record, with what belongs to it and together with others."""

    async def __call__(self, change: ItemChange, *events: Event) -> None:
        """Return once it is durable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why an attempt failed."""

    kind: str
    message: str
    is_retryable: bool
    retry_after_s: float | None = None
    traceback: str = ""


Tried = Answer | Trouble | None
"""How an attempt ended; None when the run goes on later."""


class ItemWork:
    """Works on one instance."""

    def __init__(self, context: RunContext, node: Node, item: ItemRecord, note: Note) -> None:
        self._context = context
        self._node = node
        self._item = item
        self._note = note
        self._params = ItemParams(context.params, item.item)
        self._attempt = item.attempts + (item.state is not NodeState.RUNNING)
        self._failures = self._attempt - 1
        self._asked_at = item.started_at if self._attempt == 1 else None
        self._traceback = ""
        self._unrecorded: tuple[Event, ...] = ()

    def at_once(self) -> ItemChange | None:
        """Return how the instance ended if it takes no time, else None."""
        answers = ANSWERS.get(self._node.op)
        if answers is None or answers.at_once is None or self._item.attempts:
            return None
        try:
            question = self._question(self._context.services.clock.now())
            answer = answered_at_once(question, self._node.op)
            return None if answer is None else self._ended(answer)
        except OpenbellError as error:
            return self._failed(_trouble(error))

    async def run(self) -> ItemChange | None:
        """Return how the instance ended, None when the run goes on later."""
        await self._take_up()
        await self._wait_as_before()
        while not self._context.is_interrupted:
            try:
                tried = await self._try()
            except OpenbellError as error:
                tried = _trouble(error)
            if tried is None:
                return None
            if isinstance(tried, Answer):
                return self._ended(tried)
            self._failures += 1
            wait_s = self._wait_s(tried)
            if wait_s is None:
                return self._failed(tried)
            retry_at = self._context.services.clock.now() + timedelta(seconds=wait_s)
            change = self._change(NodeState.RETRYING, tried, retry_at=retry_at)
            await self._note(change, *self._unrecorded)
            await self._context.sleep_or_stop(wait_s)
            await self._context.until_resumed()
            self._attempt += 1
            self._asked_at = None
        return None

    def closing(self, change: ItemChange) -> Sequence[Event]:
        """Return what belongs to `change`, the instance's end: its last attempt's, and a letter."""
        item = self._item.item
        letters = letter_of_item(
            self._context, self._node.name, item, change, traceback=self._traceback
        )
        return (*self._unrecorded, *letters)

    async def _take_up(self) -> None:
        """Go on with the attempts of an earlier process; those that were interrupted do not count."""
        run_id, item = self._context.run.run_id, self._item
        if not item.attempts or self._node.op in ANSWERS:
            return
        history = self._context.services.history
        known = await history.attempts(run_id, self._node.name, item=item.number)
        self._failures = failures_so_far(known, None)
        if item.state is NodeState.RUNNING:
            await self._note(self._change(NodeState.QUEUED))
        self._attempt = item.attempts + 1

    async def _wait_as_before(self) -> None:
        item = self._item
        if item.state is NodeState.RETRYING and item.retry_at is not None:
            left = item.retry_at - self._context.services.clock.now()
            await self._context.sleep_or_stop(left.total_seconds())

    async def _try(self) -> Tried:
        self._unrecorded = ()
        is_control = self._node.op in ANSWERS
        return await (self._ask() if is_control else self._work())

    async def _ask(self) -> Tried:
        """Let the daemon answer."""
        self._asked_at = self._asked_at or self._context.services.clock.now()
        question = self._question(self._asked_at)
        if self._item.state is not NodeState.RUNNING or self._attempt > self._item.attempts:
            await self._note(self._change(NodeState.RUNNING))
        timeout_s = self._node.timeout_s
        found: list[Answer] = []
        limit_s = None if timeout_s is None else question.left_s(timeout_s)
        async with deadline(self._context.services.clock, limit_s) as limit:
            with self._context.until_stopped():
                found.append(await answered(question, self._node.op))
        if limit.has_passed and not found:
            abandon = ANSWERS[self._node.op].abandon
            if abandon is not None:
                await abandon(question)
            message = f"took longer than {timeout_s:g} s"
            return Trouble(kind="timeout", message=message, is_retryable=True)
        return found[0] if found else None

    def _question(self, asked_at: datetime) -> Question:
        return Question(
            context=self._context,
            node=self._node.name,
            settings=self._context.dispatch.settings(self._node, self._params),
            asked_at=asked_at,
            attempt=self._attempt,
            item=self._item.number,
        )

    async def _work(self) -> Tried:
        """Let a worker do it."""
        context, services, run = self._context, self._context.services, self._context.run
        name = self._node.name
        frame = Frame(
            attempt=self._attempt,
            attempt_id=services.ids.attempt(to_us(services.clock.now())),
            traceparent=node_traceparent(run.trace_id, run.run_id, name, self._attempt),
            params=self._params,
            environment=context.environment,
            outputs=context.outputs,
            item=self._item.item,
            item_number=self._item.number,
        )
        call = context.dispatch.call(run, self._node, frame)
        ask = Ask(
            run_id=run.run_id,
            node=name,
            pipeline=run.pipeline,
            priority=context.priority,
            pool=self._node.pool,
            kind=kind_of(run, self._node),
        )
        async with AsyncExitStack() as held:
            if not await context.has_turn(held, ask):
                return None
            attempt = Attempt(
                services,
                call,
                job=context.job,
                policy=self._node.retry,
                checkpoint=None,
            )
            await self._note(self._change(NodeState.RUNNING), attempt.opening())
            result = await attempt.run(context.stop, self._node)
        self._unrecorded = result.unrecorded
        if result.done is not None:
            if result.done.is_interrupted:
                await self._note(self._change(NodeState.QUEUED), *result.unrecorded)
                return None
            end = result.done.ends.get(name)
            outcome = end.outcome if end is not None else "success"
            return Answer(outcome=outcome, output=result.done.outputs.get(name))
        failed = result.failed
        assert failed is not None
        return Trouble(
            kind=failed.kind,
            message=failed.message,
            is_retryable=failed.is_retryable,
            retry_after_s=failed.retry_after_s,
            traceback=failed.traceback,
        )

    def _wait_s(self, trouble: Trouble) -> float | None:
        policy = self._node.retry
        if not is_retried(policy, trouble.kind, is_retryable=trouble.is_retryable):
            return None
        return delay_s(
            policy,
            self._failures,
            retry_after_s=trouble.retry_after_s,
            jitter=self._context.services.jitter(),
        )

    def _change(
        self,
        state: NodeState,
        trouble: Trouble | None = None,
        *,
        retry_at: datetime | None = None,
        outcome: str | None = None,
        output: Mapping[str, Any] | None = None,
    ) -> ItemChange:
        return ItemChange(
            number=self._item.number,
            state=state,
            attempt=self._attempt,
            outcome=outcome,
            error=self._context.services.redact(trouble.message) if trouble else "",
            error_kind=trouble.kind if trouble else "",
            retry_at=retry_at,
            output=output,
        )

    def _failed(self, trouble: Trouble) -> ItemChange:
        self._traceback = trouble.traceback
        return self._change(NodeState.FAILED, trouble)

    def _ended(self, answer: Answer) -> ItemChange:
        if answer.outcome == FAILED:
            told = Trouble(kind=FatalError.kind, message="it was told to fail", is_retryable=False)
            return self._failed(told)
        if answer.outcome == SKIPPED:
            return self._change(NodeState.SKIPPED)
        return self._change(NodeState.SUCCESS, outcome=answer.outcome, output=answer.output)


def _trouble(error: OpenbellError) -> Trouble:
    return Trouble(
        kind=error.kind,
        message=str(error),
        is_retryable=isinstance(error, RetryableError),
        retry_after_s=getattr(error, "retry_after_s", None),
    )
