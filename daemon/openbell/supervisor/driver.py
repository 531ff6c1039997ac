"""Drives one run from where history says it stands to its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import anyio
from msgspec import structs

from openbell.execution.chains import Chain, chains, is_open
from openbell.execution.pool import StopSignal
from openbell.execution.protocol import Done, Failed, NodeEnd
from openbell.model.events import Event, NodeChanged
from openbell.model.pipelines import Node, Pipeline, retry_delay_s
from openbell.model.runs import Checkpoint, NodeRecord, NodeState, RunRecord, RunState, Totals
from openbell.model.traces import node_traceparent
from openbell.sdk.errors import FatalError, TransientError
from openbell.sdk.values import to_us
from openbell.supervisor.attempts import Attempt, AttemptResult
from openbell.supervisor.deadline import deadline
from openbell.supervisor.dispatch import Dispatcher
from openbell.supervisor.ledger import RunLedger
from openbell.supervisor.services import Services


class Interrupted(Exception):  # noqa: N818 - not an error: the run goes on later
    """The run stopped for now; history knows where it goes on."""


class _ChainFailedError(Exception):
    """A chain is over without success."""

    def __init__(self, node: str, message: str) -> None:
        super().__init__(f"{node}: {message}")


class RunDriver:
    """One run under way. `stop` asks it to end early; cancelling it stops at once.

    It works by the deployment that was in force when it began: a reload does not touch it.
    """

    def __init__(
        self, services: Services, pipeline: Pipeline, run: RunRecord, stop: StopSignal
    ) -> None:
        self._services = services
        self._pipeline = pipeline
        self._run = run
        self._stop = stop
        self._dispatch = Dispatcher(services, services.deployment)
        self._ledger = RunLedger(services, run, job=pipeline.job or pipeline.name)

    async def drive(self) -> RunState:
        """Return how the run ended; everything is in history then. Raises Interrupted."""
        await self._ledger.begin()
        errors: list[str] = []
        async with deadline(self._services.clock, self._pipeline.timeout_s) as limit:
            errors = await self._chains()
        if limit.has_passed:
            errors = [f"the run took longer than {self._pipeline.timeout_s or 0.0:g} s"]
        state = RunState.FAILED if errors else RunState.SUCCESS
        reason = "timeout" if limit.has_passed else ""
        await self._ledger.end(state, error="; ".join(errors), reason=reason)
        return state

    async def cancelled(self) -> None:
        """Put on record that somebody cancelled the run."""
        await self._ledger.end(RunState.CANCELLED, reason="cancelled")

    async def failed(self, error: str) -> None:
        """Put on record that the run cannot go on."""
        await self._ledger.end(RunState.FAILED, error=error)

    async def _chains(self) -> list[str]:
        """Run every chain once what it waits for is there; return what went wrong."""
        roles = {name: str(spec.role) for name, spec in self._services.specs.operators.items()}
        errors: list[str] = []
        for chain in chains(self._pipeline, roles):
            states = {n.node: n for n in await self._services.history.nodes(self._run.run_id)}
            if all(states[node.name].state.is_final for node in chain.nodes):
                ended = [states[node.name] for node in chain.nodes]
                errors += [f"{n.node}: {n.error}" for n in ended if n.state is NodeState.FAILED]
                continue
            closed = [
                name
                for name, outcomes in chain.after.items()
                if not _lets_pass(states[name], outcomes)
            ]
            if closed:
                state = _blocked_state([states[name] for name in closed])
                await self._record(*(self._change(n.name, state) for n in chain.nodes))
                continue
            try:
                await self._chain(chain)
            except _ChainFailedError as failed:
                errors.append(str(failed))
        return errors

    async def _chain(self, chain: Chain) -> None:
        source = chain.source
        failures = 0
        while True:
            if self._stop.is_asked() and self._stop.is_interrupt:
                await self._record(*self._changes(chain, NodeState.QUEUED))
                raise Interrupted
            try:
                result = await self._attempt(chain)
            except FatalError as error:
                await self._fail(chain, source.name, str(error), kind=error.kind)
                raise _ChainFailedError(source.name, str(error)) from error
            except TransientError as error:
                result = _not_begun(source.name, error)
            if result.done is not None:
                if result.done.is_interrupted:
                    await self._record(*self._changes(chain, NodeState.QUEUED))
                    raise Interrupted
                await self._record(*result.unrecorded, *self._ends(chain, result.done, result))
                return
            assert result.failed is not None
            failures = 1 if result.made_progress else failures + 1
            await self._retry_or_fail(chain, result.failed, result, failures)

    async def _attempt(self, chain: Chain) -> AttemptResult:
        services, run, source = self._services, self._run, chain.source
        dataset = self._dispatch.dataset(chain)
        self._ledger.provider = dataset.provider
        covered = await self._dispatch.coverage(run, dataset)
        checkpoint = await self._checkpoint(source.name)
        known = await services.history.attempts(run.run_id)
        number = 1 + sum(1 for attempt in known if attempt.node in {n.name for n in chain.nodes})
        task = self._dispatch.task(
            run,
            chain,
            covered,
            checkpoint,
            attempt=number,
            attempt_id=services.ids.attempt(to_us(services.clock.now())),
            traceparent=node_traceparent(run.trace_id, run.run_id, source.name, number),
        )
        await self._record(*self._changes(chain, NodeState.RUNNING, attempt=number))
        attempt = Attempt(
            services,
            task,
            job=self._pipeline.job or self._pipeline.name,
            policy=source.retry,
            checkpoint=checkpoint,
        )
        return await attempt.run(self._stop, strictest(chain.nodes))

    async def _checkpoint(self, source: str) -> Checkpoint | None:
        """Return where the run goes on: after its own last chunk, or that of the run it retries.

        Only what ended without success and was asked for alike is gone on with.
        """
        history, run = self._services.history, self._run
        while True:
            found = await history.checkpoint(run.run_id, source)
            if found is not None:
                is_own = run.run_id == self._run.run_id
                return found if is_own else replace(found, run_id=self._run.run_id, totals={})
            before = await history.run(run.retry_of) if run.retry_of else None
            if before is None or not _goes_on(before, self._run):
                return None
            run = before

    async def _retry_or_fail(
        self, chain: Chain, failed: Failed, result: AttemptResult, failures: int
    ) -> None:
        """Wait for the next attempt, or put the failure on record and raise."""
        policy = self._pipeline.node(failed.node).retry
        if not failed.is_retryable or failures >= policy.max_attempts:
            await self._fail(
                chain, failed.node, failed.message, kind=failed.kind, totals=result.totals
            )
            raise _ChainFailedError(failed.node, failed.message)
        delay_s = failed.retry_after_s
        if delay_s is None:
            delay_s = retry_delay_s(policy, failures, jitter=self._services.jitter())
        retry_at = self._services.clock.now() + timedelta(seconds=delay_s)
        retrying = self._change("", NodeState.RETRYING, attempt=result.number)
        changes = [replace(retrying, node=n.name, retry_at=retry_at) for n in chain.nodes]
        await self._record(
            *(
                replace(change, error=failed.message, error_kind=failed.kind)
                if change.node == failed.node
                else change
                for change in changes
            )
        )
        await self._sleep_or_stop(delay_s)

    async def _sleep_or_stop(self, delay_s: float) -> None:
        async with anyio.create_task_group() as group:

            async def stopped() -> None:
                await self._stop.wait()
                group.cancel_scope.cancel()

            group.start_soon(stopped)
            await self._services.clock.sleep(delay_s)
            group.cancel_scope.cancel()
        if self._stop.is_asked() and self._stop.is_interrupt:
            raise Interrupted

    async def _fail(
        self,
        chain: Chain,
        node: str,
        message: str,
        *,
        kind: str,
        totals: Mapping[str, Totals] = MappingProxyType({}),
    ) -> None:
        below = _below(chain, node)
        events = []
        for member in chain.nodes:
            state = NodeState.UPSTREAM_FAILED if member.name in below else NodeState.CANCELLED
            change = self._change(member.name, state, totals=totals.get(member.name))
            if member.name == node:
                change = replace(change, state=NodeState.FAILED, error=message, error_kind=kind)
            events.append(change)
        await self._record(*events)

    def _ends(self, chain: Chain, done: Done, result: AttemptResult) -> list[Event]:
        """Return how the nodes ended, over all attempts: the last one may have had nothing to do."""
        ends = {name: _over_all(end, result.totals[name]) for name, end in done.ends.items()}
        events: list[Event] = []
        for node in chain.nodes:
            had_way = _had_way(node.name, chain, ends)
            state = NodeState.SUCCESS if had_way else NodeState.SKIPPED
            change = self._change(
                node.name,
                state,
                attempt=result.number if had_way else 0,
                totals=result.totals[node.name],
            )
            events.append(replace(change, outcome=ends[node.name].outcome if had_way else None))
        return events

    def _change(
        self, node: str, state: NodeState, *, attempt: int = 0, totals: Totals | None = None
    ) -> NodeChanged:
        return NodeChanged(
            at=self._services.clock.now(),
            run_id=self._run.run_id,
            pipeline=self._run.pipeline,
            node=node,
            state=state,
            attempt=attempt,
            totals=totals,
        )

    def _changes(self, chain: Chain, state: NodeState, *, attempt: int = 0) -> list[Event]:
        return [self._change(node.name, state, attempt=attempt) for node in chain.nodes]

    async def _record(self, *events: Event) -> None:
        if events:
            await self._services.journal.insist(*events)


def strictest(nodes: Sequence[Node]) -> Node | None:
    """Return the node with the shortest timeout: a chain is one task, and it limits them all."""
    limited = [node for node in nodes if node.timeout_s is not None]
    return min(limited, key=lambda node: node.timeout_s or 0.0, default=None)


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


def _lets_pass(node: NodeRecord, outcomes: Sequence[str]) -> bool:
    return node.state is NodeState.SUCCESS and is_open(outcomes, node.outcome or "success")


def _blocked_state(needed: Sequence[NodeRecord]) -> NodeState:
    broken = {NodeState.FAILED, NodeState.UPSTREAM_FAILED, NodeState.CANCELLED}
    is_broken = any(node.state in broken for node in needed)
    return NodeState.UPSTREAM_FAILED if is_broken else NodeState.SKIPPED


def _below(chain: Chain, node: str) -> set[str]:
    """Return the nodes of `chain` that rows reach through `node`."""
    below = {node}
    for member in chain.nodes:
        if below & set(member.needs):
            below.add(member.name)
    return below - {node}


def _had_way(name: str, chain: Chain, ends: dict[str, NodeEnd]) -> bool:
    """Return whether a node did its work: rows came, or its way was open and there were none."""
    if ends[name].was_reached:
        return True
    node = next(member for member in chain.nodes if member.name == name)
    inside = {member.name for member in chain.nodes}
    return all(
        is_open(outcomes, ends[needed].outcome) and _had_way(needed, chain, ends)
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
