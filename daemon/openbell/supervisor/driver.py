"""Drives one run from where history says it stands to its end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import anyio

from openbell.execution.chains import Chain, chains, is_open
from openbell.execution.pool import StopSignal
from openbell.execution.protocol import Done, Failed, NodeEnd
from openbell.model.events import (
    AttemptFinished,
    Event,
    NodeChanged,
    RunFinished,
    RunStarted,
)
from openbell.model.pipelines import Pipeline, retry_delay_s
from openbell.model.runs import NodeRecord, NodeState, RunRecord, RunState, Totals
from openbell.model.traces import node_traceparent
from openbell.sdk.errors import FatalError
from openbell.sdk.values import to_us
from openbell.supervisor.attempts import Attempt, AttemptResult
from openbell.supervisor.deadline import deadline
from openbell.supervisor.dispatch import Dispatcher
from openbell.supervisor.services import Services


class Interrupted(Exception):  # noqa: N818 - not an error: the run goes on later
    """The run stopped for now; history knows where it goes on."""


class _ChainFailedError(Exception):
    """A chain is over without success."""

    def __init__(self, node: str, message: str) -> None:
        super().__init__(f"{node}: {message}")


class RunDriver:
    """One run under way. `stop` asks it to end early; cancelling it stops at once."""

    def __init__(
        self, services: Services, pipeline: Pipeline, run: RunRecord, stop: StopSignal
    ) -> None:
        self._services = services
        self._pipeline = pipeline
        self._run = run
        self._stop = stop
        self._dispatch = Dispatcher(services)
        self._provider = ""

    async def drive(self) -> RunState:
        """Return how the run ended; everything is in history then. Raises Interrupted."""
        clock = self._services.clock
        if self._run.state is RunState.QUEUED:
            await self._record(
                RunStarted(at=clock.now(), run_id=self._run.run_id, pipeline=self._run.pipeline)
            )
        await self._close_lost_attempts()
        errors: list[str] = []
        async with deadline(clock, self._pipeline.timeout_s) as limit:
            errors = await self._chains()
        if limit.has_passed:
            seconds = self._pipeline.timeout_s or 0.0
            errors = [f"the run took longer than {seconds:g} s"]
            await self._cancel_open_nodes("timeout")
        state = RunState.FAILED if errors else RunState.SUCCESS
        await self.finish(state, error="; ".join(errors), reason="timeout" * limit.has_passed)
        return state

    async def cancelled(self) -> None:
        """Put on record that somebody cancelled the run."""
        await self._cancel_open_nodes("cancelled")
        await self.finish(RunState.CANCELLED, reason="cancelled")

    async def finish(self, state: RunState, *, error: str = "", reason: str = "") -> None:
        """Put the run's end on record."""
        now = self._services.clock.now()
        history = await self._services.history.run(self._run.run_id)
        started = history.started_at if history and history.started_at else now
        await self._record(
            RunFinished(
                at=now,
                run_id=self._run.run_id,
                pipeline=self._run.pipeline,
                job=self._pipeline.job or self._pipeline.name,
                state=state,
                duration_s=(now - started).total_seconds(),
                reason=reason,
                error=error,
                provider=self._provider,
            )
        )

    async def _close_lost_attempts(self) -> None:
        """Record attempts that an earlier process left open as interrupted: they do not count."""
        now = self._services.clock.now()
        left = [
            AttemptFinished(
                at=now,
                attempt_id=attempt.attempt_id,
                run_id=attempt.run_id,
                pipeline=self._run.pipeline,
                node=attempt.node,
                number=attempt.number,
                state="interrupted",
                duration_s=(now - attempt.started_at).total_seconds(),
            )
            for attempt in await self._services.history.attempts(self._run.run_id)
            if attempt.state == "running"
        ]
        await self._record(*left)

    async def _chains(self) -> list[str]:
        """Run every chain once what it waits for is there; return what went wrong."""
        roles = {name: str(spec.role) for name, spec in self._services.specs.operators.items()}
        errors: list[str] = []
        for chain in chains(self._pipeline, roles):
            states = {n.node: n for n in await self._services.history.nodes(self._run.run_id)}
            if all(states[node.name].state.is_final for node in chain.nodes):
                errors += [n.error for n in states.values() if n.state is NodeState.FAILED]
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
            try:
                result = await self._attempt(chain)
            except FatalError as error:
                await self._fail(chain, source.name, str(error), kind=error.kind, result=None)
                raise _ChainFailedError(source.name, str(error)) from error
            if result.done is not None:
                if result.done.is_interrupted:
                    await self._record(*self._changes(chain, NodeState.QUEUED))
                    raise Interrupted
                await self._record(*self._ends(chain, result.done, result))
                return
            assert result.failed is not None
            failures = 1 if result.made_progress else failures + 1
            await self._retry_or_fail(chain, result.failed, result, failures)

    async def _attempt(self, chain: Chain) -> AttemptResult:
        services, run, source = self._services, self._run, chain.source
        dataset = self._dispatch.dataset(chain)
        self._provider = dataset.provider
        covered = await self._dispatch.coverage(run, dataset)
        checkpoint = await services.history.checkpoint(run.run_id, source.name)
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
        return await attempt.run(self._stop, source.timeout_s)

    async def _retry_or_fail(
        self, chain: Chain, failed: Failed, result: AttemptResult, failures: int
    ) -> None:
        """Wait for the next attempt, or put the failure on record and raise."""
        policy = self._pipeline.node(failed.node).retry
        if not failed.is_retryable or failures >= policy.max_attempts:
            await self._fail(chain, failed.node, failed.message, kind=failed.kind, result=result)
            raise _ChainFailedError(failed.node, failed.message)
        delay_s = failed.retry_after_s
        if delay_s is None:
            delay_s = retry_delay_s(policy, failures, jitter=self._services.jitter())
        retry_at = self._services.clock.now() + timedelta(seconds=delay_s)
        await self._record(
            *(
                NodeChanged(
                    at=self._services.clock.now(),
                    run_id=self._run.run_id,
                    pipeline=self._run.pipeline,
                    node=node.name,
                    state=NodeState.RETRYING,
                    error=failed.message if node.name == failed.node else "",
                    error_kind=failed.kind if node.name == failed.node else "",
                    retry_at=retry_at,
                )
                for node in chain.nodes
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
        self, chain: Chain, node: str, message: str, *, kind: str, result: AttemptResult | None
    ) -> None:
        below = _below(chain, node)
        events = []
        for member in chain.nodes:
            state = NodeState.CANCELLED
            if member.name == node:
                state = NodeState.FAILED
            elif member.name in below:
                state = NodeState.UPSTREAM_FAILED
            totals = result.totals.get(member.name) if result else None
            change = self._change(member.name, state, totals=totals)
            if member.name == node:
                change = NodeChanged(
                    at=change.at,
                    run_id=change.run_id,
                    pipeline=change.pipeline,
                    node=node,
                    state=state,
                    error=message,
                    error_kind=kind,
                    totals=totals,
                )
            events.append(change)
        await self._record(*events)

    def _ends(self, chain: Chain, done: Done, result: AttemptResult) -> list[Event]:
        events: list[Event] = []
        for node in chain.nodes:
            end = done.ends[node.name]
            state = (
                NodeState.SUCCESS if _had_way(node.name, chain, done.ends) else NodeState.SKIPPED
            )
            events.append(
                NodeChanged(
                    at=self._services.clock.now(),
                    run_id=self._run.run_id,
                    pipeline=self._run.pipeline,
                    node=node.name,
                    state=state,
                    outcome=end.outcome if state is NodeState.SUCCESS else None,
                    totals=result.totals[node.name],
                )
            )
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

    async def _cancel_open_nodes(self, kind: str) -> None:
        nodes = await self._services.history.nodes(self._run.run_id)
        now = self._services.clock.now()
        await self._record(
            *(
                NodeChanged(
                    at=now,
                    run_id=self._run.run_id,
                    pipeline=self._run.pipeline,
                    node=node.node,
                    state=NodeState.CANCELLED,
                    error_kind=kind,
                )
                for node in nodes
                if not node.state.is_final
            )
        )

    async def _record(self, *events: Event) -> None:
        if events:
            await self._services.journal.record(*events)


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
