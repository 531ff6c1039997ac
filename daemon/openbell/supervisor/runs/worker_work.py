"""A unit that works in a worker, a chain or a task: attempt after attempt, until it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType

from msgspec import structs

from openbell.execution.chains import Unit, below, is_open
from openbell.execution.graph import Ended
from openbell.execution.protocol import ChainTask, Done, Failed, NodeCall, NodeEnd
from openbell.execution.retry import delay_s, failures_so_far, is_retried
from openbell.model.events import Event
from openbell.model.pipelines import Node
from openbell.model.runs import Checkpoint, NodeState, RunRecord, RunState, Totals
from openbell.model.traces import node_traceparent
from openbell.sdk.errors import FatalError, TransientError
from openbell.sdk.values import to_us
from openbell.supervisor.attempts import Attempt, AttemptResult
from openbell.supervisor.desk import Ask, GiveBack, leases_of
from openbell.supervisor.dispatch import Frame
from openbell.supervisor.runs.context import Completion, RunContext


class WorkerWork:
    """Works on one unit. How often it was tried and how far it came is kept here meanwhile."""

    def __init__(self, context: RunContext, unit: Unit) -> None:
        self._context = context
        self._unit = unit
        known = context.before.of(node.name for node in unit.nodes)
        self._attempts = len(known)
        self._known = known
        self._failures = 0
        self._checkpoint: Checkpoint | None = None
        self._is_taken_up = False
        self._retry_at: datetime | None = None
        self._begun: tuple[Attempt, GiveBack] | None = None

    def begin(self) -> Sequence[Event]:
        """Begin the first attempt if that waits for nothing; return what says so, else nothing.

        It must be on record before `run`; where it cannot be, `drop` what was begun.
        """
        context, unit = self._context, self._unit
        if unit.kind != "task" or self._known or context.run.retry_of is not None:
            return ()
        try:
            call = context.dispatch.call(context.run, unit.head, self._frame(1))
        except FatalError:
            return ()  # `run` comes to the same, and tells
        give_back = context.services.desk.turn_now(self._ask(call))
        if give_back is None:
            return ()
        attempt = self._made(call)
        self._begun = attempt, give_back
        return self._opening(attempt, 1)

    def drop(self) -> None:
        """Give up what was begun: its turn is somebody else's."""
        if self._begun is not None:
            _, give_back = self._begun
            self._begun = None
            give_back(None, None, None)

    async def run(self) -> Completion:
        """Return how the chain ended; only that is left to record.

        An attempt that has begun is ended by itself, also where the run is interrupted by now.
        """
        context, head = self._context, self._unit.head
        await self._wait_as_before()
        while True:
            if context.is_interrupted and self._begun is None:
                return self._interrupted()
            try:
                await self._take_up()
                result = await self._attempt()
                if result is None:
                    return self._interrupted()
            except FatalError as error:
                return self._failed(head.name, str(error), kind=error.kind)
            except TransientError as error:
                result = _not_begun(head.name, error)
            if result.done is not None:
                if result.done.is_interrupted:
                    return self._interrupted(*result.unrecorded)
                return self._ended(result.done, result)
            assert result.failed is not None
            ended = await self._retry(result.failed, result)
            if ended is not None:
                return ended

    async def _wait_as_before(self) -> None:
        """Wait for the instant at which an earlier process was going to try again."""
        node = self._context.before.nodes.get(self._unit.name)
        if node is not None and node.state is NodeState.RETRYING and node.retry_at is not None:
            self._retry_at = node.retry_at
            left = node.retry_at - self._context.services.clock.now()
            await self._context.sleep_or_stop(left.total_seconds())

    async def _take_up(self) -> None:
        """Find out where the chain goes on, once."""
        if not self._is_taken_up:
            self._checkpoint = await self._stored_checkpoint()
            progress_at = self._checkpoint.at if self._checkpoint else None
            self._failures = failures_so_far(self._known, progress_at)
            self._is_taken_up = True

    async def _stored_checkpoint(self) -> Checkpoint | None:
        """Return where the run goes on: after its own last chunk, or that of the run it retries.

        Only what ended without success and was asked for alike is gone on with: a unit that is done
        again although it succeeded begins at the beginning.
        """
        context, source = self._context, self._unit.name
        history, run = context.services.history, context.run
        if not self._known and run.retry_of is None:
            return None
        while True:
            found = await history.checkpoint(run.run_id, source)
            if found is not None:
                is_own = run.run_id == context.run.run_id
                own = replace(found, totals={}, at=None)
                return found if is_own else own
            before = await history.run(run.retry_of) if run.retry_of else None
            if before is None or not _goes_on(before, context.run):
                return None
            if await self._had_success(before):
                return None
            run = before

    async def _had_success(self, run: RunRecord) -> bool:
        nodes = {
            node.node: node.state for node in await self._context.services.history.nodes(run.run_id)
        }
        members = [nodes.get(node.name) for node in self._unit.nodes]
        return all(state in {NodeState.SUCCESS, NodeState.SKIPPED} for state in members)

    async def _attempt(self) -> AttemptResult | None:
        """Return how an attempt ended, None when the run was interrupted before it began."""
        context, unit = self._context, self._unit
        async with AsyncExitStack() as held:
            attempt = await self._begin(held)
            if attempt is None:
                return None
            self._attempts += 1
            result = await attempt.run(context.stop, strictest(unit.nodes))
        self._checkpoint = attempt.checkpoint
        return result

    async def _begin(self, held: AsyncExitStack) -> Attempt | None:
        """Return the next attempt, its beginning on record and its turn in `held`."""
        if self._begun is not None:
            attempt, give_back = self._begun
            self._begun = None
            held.push(give_back)
            return attempt
        number = self._attempts + 1
        task = await self._task(number)
        ask = self._ask(task)
        waits = self._changes(NodeState.QUEUED) if ask.leases else ()
        if not await self._context.has_turn(held, ask, waits=waits):
            return None
        attempt = self._made(task)
        await self._context.open(self._opening(attempt, number))
        return attempt

    def _made(self, task: ChainTask | NodeCall) -> Attempt:
        context = self._context
        return Attempt(
            context.services,
            task,
            job=context.job,
            policy=self._unit.head.retry,
            checkpoint=self._checkpoint,
        )

    def _opening(self, attempt: Attempt, number: int) -> Sequence[Event]:
        return (attempt.opening(), *self._changes(NodeState.RUNNING, attempt=number))

    def _frame(self, number: int) -> Frame:
        context, services, run = self._context, self._context.services, self._context.run
        return Frame(
            attempt=number,
            attempt_id=services.ids.attempt(to_us(services.clock.now())),
            traceparent=node_traceparent(run.trace_id, run.run_id, self._unit.name, number),
            params=context.params,
            environment=context.environment,
            outputs=context.outputs,
        )

    async def _task(self, number: int) -> ChainTask | NodeCall:
        """Return the task of attempt `number`; raises FatalError for what is not there."""
        context, unit, run = self._context, self._unit, self._context.run
        frame = self._frame(number)
        if unit.kind == "task":
            return context.dispatch.call(run, unit.head, frame)
        dataset = context.dispatch.dataset(unit, context.pipeline)
        context.provider = dataset.provider
        covered = await context.dispatch.coverage(run, dataset)
        return context.dispatch.task(
            run, unit, covered, self._checkpoint, dataset=dataset, frame=frame
        )

    def _ask(self, task: ChainTask | NodeCall) -> Ask:
        """Return what asks for the unit's turn."""
        context, head = self._context, self._unit.head
        is_live = isinstance(task, ChainTask) and task.live
        return Ask(
            run_id=context.run.run_id,
            node=head.name,
            pipeline=context.run.pipeline,
            priority=context.priority,
            pool=pool_of(self._unit),
            leases=leases_of(task) if isinstance(task, ChainTask) else (),
            owns_worker=is_live,
            kind=kind_of(context.run, head) if self._unit.kind == "task" else "",
        )

    async def _retry(self, failed: Failed, result: AttemptResult) -> Completion | None:
        """Wait for the next attempt; return how the chain ended if there is none."""
        context = self._context
        self._failures = 1 if result.made_progress else self._failures + 1
        policy = context.pipeline.node(failed.node).retry
        wait_s = None
        if is_retried(policy, failed.kind, is_retryable=failed.is_retryable):
            wait_s = delay_s(
                policy,
                self._failures,
                retry_after_s=failed.retry_after_s,
                jitter=context.services.jitter(),
            )
        if wait_s is None:
            return self._failed(
                failed.node,
                failed.message,
                kind=failed.kind,
                totals=result.totals,
                events=result.unrecorded,
            )
        retry_at = context.services.clock.now() + timedelta(seconds=wait_s)
        changes = [
            context.change(
                node.name,
                NodeState.RETRYING,
                attempt=result.number,
                retry_at=retry_at,
                error=failed.message if node.name == failed.node else "",
                error_kind=failed.kind if node.name == failed.node else "",
            )
            for node in self._unit.nodes
        ]
        await context.record(*result.unrecorded, *changes)
        self._retry_at = retry_at
        await context.sleep_or_stop(wait_s)
        return None

    def _interrupted(self, *events: Event) -> Completion:
        """Return that the unit goes on later: queued, or at the instant of its retry."""
        now = self._context.services.clock.now()
        is_early = self._retry_at is not None and now < self._retry_at
        changes = [] if is_early else self._changes(NodeState.QUEUED)
        return Completion(unit=self._unit, events=(*events, *changes), is_interrupted=True)

    def _failed(
        self,
        node: str,
        message: str,
        *,
        kind: str,
        totals: Mapping[str, Totals] = MappingProxyType({}),
        events: Sequence[Event] = (),
    ) -> Completion:
        after = below(self._unit, node)
        changes: list[Event] = []
        ends: dict[str, Ended] = {}
        for member in self._unit.nodes:
            state = NodeState.UPSTREAM_FAILED if member.name in after else NodeState.CANCELLED
            state = NodeState.FAILED if member.name == node else state
            change = self._context.change(member.name, state, totals=totals.get(member.name))
            if member.name == node:
                change = replace(change, error=message, error_kind=kind)
            changes.append(change)
            ends[member.name] = Ended(state)
        return Completion(
            unit=self._unit,
            events=(*events, *changes),
            ends=ends,
            errors={node: message},
        )

    def _ended(self, done: Done, result: AttemptResult) -> Completion:
        """Return how the nodes ended, over all attempts: the last one may have had nothing to do."""
        reached = {name: _over_all(end, result.totals[name]) for name, end in done.ends.items()}
        changes: list[Event] = []
        ends: dict[str, Ended] = {}
        for node in self._unit.nodes:
            had_way = _had_way(node.name, self._unit, reached)
            outcome = reached[node.name].outcome if had_way else None
            state = NodeState.SUCCESS if had_way else NodeState.SKIPPED
            change = self._context.change(
                node.name,
                state,
                attempt=result.number if had_way else 0,
                totals=result.totals[node.name],
                outcome=outcome,
                output=done.outputs.get(node.name),
            )
            changes.append(change)
            ends[node.name] = Ended(state, outcome or "success")
        return Completion(
            unit=self._unit,
            events=(*result.unrecorded, *changes),
            ends=ends,
            outputs=done.outputs,
        )

    def _changes(self, state: NodeState, *, attempt: int = 0) -> list[Event]:
        return [
            self._context.change(node.name, state, attempt=attempt) for node in self._unit.nodes
        ]


def pool_of(unit: Unit) -> str | None:
    """Return the pool that a unit needs a slot of, if any."""
    return next((node.pool for node in unit.nodes if node.pool), None)


def strictest(nodes: Sequence[Node]) -> Node | None:
    """Return the node with the shortest timeout: a chain is one task, and it limits them all."""
    limited = [node for node in nodes if node.timeout_s is not None]
    return min(limited, key=lambda node: node.timeout_s or 0.0, default=None)


def kind_of(run: RunRecord, node: Node) -> str:
    """Return what attempts that take alike long have in common; a timeout counts from the turn."""
    return "" if node.timeout_s is not None else f"{run.pipeline}/{node.op}"


def _not_begun(source: str, error: TransientError) -> AttemptResult:
    """Return an attempt that failed before it began."""
    failed = Failed(
        node=source,
        kind=error.kind,
        message=str(error),
        traceback="",
        is_retryable=True,
        retry_after_s=error.retry_after_s,
    )
    return AttemptResult(done=None, failed=failed, totals={}, made_progress=False, number=0)


def _over_all(end: NodeEnd, totals: Totals) -> NodeEnd:
    had_rows = bool(totals.rows_in or totals.rows_quarantined)
    return structs.replace(
        end, outcome=totals.verdict or end.outcome, was_reached=end.was_reached or had_rows
    )


def _had_way(name: str, unit: Unit, ends: Mapping[str, NodeEnd]) -> bool:
    """Return whether a node did its work: rows came, or its way was open and there were none."""
    if ends[name].was_reached:
        return True
    node = next(member for member in unit.nodes if member.name == name)
    inside = {member.name for member in unit.nodes}
    return all(
        is_open(outcomes, ends[needed].outcome) and _had_way(needed, unit, ends)
        for needed, outcomes in node.needs.items()
        if needed in inside
    )


def _goes_on(before: RunRecord, run: RunRecord) -> bool:
    """Return whether `run`, which retries `before`, may go on after its last chunk."""
    asked_alike = (before.params, before.session, before.workflow_version) == (
        run.params,
        run.session,
        run.workflow_version,
    )
    return asked_alike and before.state in {RunState.FAILED, RunState.CANCELLED}
