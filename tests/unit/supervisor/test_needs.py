"""Runs that wait for other pipelines, whatever the clock says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from doubles.scripted import (
    REGISTRY,
    Answer,
    World,
    ends,
    node_states,
    pipeline,
    run_state,
    world,
)
from typing_extensions import override

from openbell.execution.pool import Listener, StopSignal
from openbell.execution.protocol import ChainTask, ChunkDone, Done
from openbell.model.control import Submission
from openbell.model.events import RunFinished, RunHeld
from openbell.model.pipelines import Node, Pipeline, RetryPolicy
from openbell.model.runs import RunState
from openbell.operators.control import CONTROL
from openbell.sdk.values import Interval, Receipt, from_us
from openbell.testing import MemoryHistory

pytestmark = pytest.mark.unit

CONTROLLED = replace(
    REGISTRY, operators={**REGISTRY.operators, **{spec.name: spec for spec in CONTROL}}
)
MONDAY = date(2026, 1, 5)


def producer(**settings: Any) -> Pipeline:
    retry = RetryPolicy(max_attempts=1)
    node = Node(name="make", op="noop", settings=settings, retry=retry)
    return Pipeline(name="producer", nodes=(node,))


def consumer(**more: Any) -> Pipeline:
    return Pipeline(name="consumer", nodes=(Node(name="use", op="noop"),), **more)


async def submit(at: World, name: str, session: date | None = MONDAY, **more: Any) -> str:
    submission = Submission(pipeline=name, session=session, **more)
    return (await at.engine.submit(submission)).run_id


async def commits(task: ChainTask, listener: Listener, stop: StopSignal) -> Answer:
    """Write the whole session."""
    del stop
    table = task.dataset.sessions
    opens, closes = from_us(table.opens_us[0]), from_us(table.closes_us[-1])
    receipt = Receipt(
        key=f"k{task.run_id}",
        dataset="bars",
        interval=Interval(opens, closes),
        row_count=10,
        written_count=10,
        unchanged_count=0,
        size_bytes=1,
        digest="d",
        version=1,
        committed_at=datetime(2026, 1, 5, 12, tzinfo=UTC),
    )
    await listener.hear(
        ChunkDone(
            next_chunk=1,
            cursor="c",
            totals={name: end.totals for name, end in ends(task, 10).items()},
            receipts={"publish": receipt},
            write_duration_s=0.0,
        )
    )
    return Done(ends=ends(task, 10))


async def test_a_run_waits_for_a_successful_run_of_its_session() -> None:
    async with world(producer(), consumer(after=("producer",)), registry=CONTROLLED) as at:
        waiting = await submit(at, "consumer")
        await submit(at, "producer", date(2026, 1, 6))
        await at.settle(3600)
        run = await at.history.run(waiting)
        assert run is not None
        assert run.state is RunState.QUEUED
        assert run.reason == "waits for a successful run of 'producer' for session 2026-01-05"
        assert len(at.seen.of(RunHeld)) == 1
        status = {p.name: p for p in at.engine.pipelines()}
        assert status["consumer"].queued_runs == 1
        await submit(at, "producer")
        await at.settle()
        assert await run_state(at, waiting) is RunState.SUCCESS


async def test_one_that_waits_holds_up_no_other_of_its_pipeline() -> None:
    async with world(producer(), consumer(after=("producer",)), registry=CONTROLLED) as at:
        waiting = await submit(at, "consumer")
        without = await submit(at, "consumer", None)
        await at.settle()
        assert await run_state(at, waiting) is RunState.QUEUED
        assert await run_state(at, without) is RunState.SUCCESS, "it is about no session"


async def test_a_failed_or_dry_run_is_not_enough() -> None:
    fails = producer(outcome="failed")
    async with world(fails, consumer(after=("producer",)), registry=CONTROLLED) as at:
        waiting = await submit(at, "consumer")
        await submit(at, "producer")
        await at.settle()
        assert await run_state(at, waiting) is RunState.QUEUED
    async with world(producer(), consumer(after=("producer",)), registry=CONTROLLED) as at:
        waiting = await submit(at, "consumer")
        await submit(at, "producer", dry_run=True)
        await at.settle()
        assert await run_state(at, waiting) is RunState.QUEUED


async def test_a_run_waits_for_the_session_of_a_dataset() -> None:
    needs = consumer(needs_dataset={"bars": "session"})
    base = pipeline(mode="interval", start=None, end=None)
    async with world(base, needs, registry=CONTROLLED, scripts=[commits]) as at:
        waiting = await submit(at, "consumer")
        other = await submit(at, "consumer", date(2026, 1, 7))
        await at.settle()
        assert await run_state(at, waiting) is RunState.QUEUED
        await submit(at, "job")
        await at.settle()
        assert await run_state(at, waiting) is RunState.SUCCESS
        assert await run_state(at, other) is RunState.QUEUED


async def test_a_node_waits_for_the_session_of_a_dataset() -> None:
    waits = Node(name="wait", op="wait", settings={"dataset": "bars"})
    base = pipeline(mode="interval", start=None, end=None)
    flow = Pipeline(name="consumer", nodes=(waits,))
    async with world(base, flow, registry=CONTROLLED, scripts=[commits]) as at:
        waiting = await submit(at, "consumer")
        await at.settle()
        assert await node_states(at, waiting) == {"wait": "running"}
        await submit(at, "job")
        await at.settle()
        assert await run_state(at, waiting) is RunState.SUCCESS


async def test_a_run_gives_up_at_its_deadline_over_restarts() -> None:
    history = MemoryHistory()
    flows = (producer(), consumer(after=("producer",), give_up_s=600.0))
    async with world(*flows, registry=CONTROLLED, history=history) as at:
        waiting = await submit(at, "consumer")
        await at.settle(300)
        at.engine.request_stop(fast=False)
        await at.settle()
        assert at.engine.drained.is_set()
    async with world(*flows, registry=CONTROLLED, history=history) as at:
        await at.settle(599)
        assert await run_state(at, waiting) is RunState.QUEUED
        assert at.seen.of(RunHeld) == [], "why it waits is known"
        await at.settle(2)
        run = await at.history.run(waiting)
        assert run is not None
        assert (run.state, run.reason) == (RunState.FAILED, "needs_unmet")
        assert run.error.startswith("gave up after 600 s: it waits for a successful run")


async def test_what_came_while_nobody_looked_counts_at_the_next_start() -> None:
    history = MemoryHistory()
    flows = (producer(seconds=60), consumer(after=("producer",)))
    async with world(*flows, registry=CONTROLLED, history=history) as at:
        waiting, made = await submit(at, "consumer"), await submit(at, "producer")
        await at.settle()
    await history.record(
        RunFinished(
            at=datetime(2026, 1, 5, 13, tzinfo=UTC),
            run_id=made,
            pipeline="producer",
            job="producer",
            state=RunState.SUCCESS,
            duration_s=1.0,
        )
    )
    async with world(*flows, registry=CONTROLLED, history=history) as at:
        await at.settle()
        assert await run_state(at, waiting) is RunState.SUCCESS


async def test_a_run_that_waits_can_be_cancelled() -> None:
    async with world(producer(), consumer(after=("producer",)), registry=CONTROLLED) as at:
        waiting = await submit(at, "consumer")
        await at.settle()
        await at.engine.cancel(waiting, by="me")
        await at.settle()
        assert await run_state(at, waiting) is RunState.CANCELLED
        await submit(at, "producer")
        await at.settle()
        assert await run_state(at, waiting) is RunState.CANCELLED


class Looks(MemoryHistory):
    """Counts how often somebody looks whether a session is there."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    @override
    async def has_succeeded(self, pipeline: str, session: str) -> bool:
        self.count += 1
        return await super().has_succeeded(pipeline, session)

    @override
    async def is_committed(self, dataset: str, start: datetime, end: datetime) -> bool:
        self.count += 1
        return await super().is_committed(dataset, start, end)


@pytest.mark.parametrize(
    ("more", "looks"),
    [
        ({"after": ("producer",)}, 5 + 1),  # of its session
        ({"needs_dataset": {"bars": "session"}}, 5 + 5 + 4),  # a commit, and the end that counts it
    ],
)
async def test_who_waits_looks_again_only_for_what_may_matter_and_now_and_then(
    more: dict[str, Any], looks: int
) -> None:
    history = Looks()
    flows = (producer(), consumer(**more), pipeline(mode="interval", start=None, end=None))
    async with world(*flows, registry=CONTROLLED, history=history, scripts=[commits]) as at:
        for day in range(5, 10):
            await submit(at, "consumer", date(2026, 1, day))
        await submit(at, "producer", date(2026, 1, 12))
        await at.settle()
        assert history.count == 5
        await submit(at, "producer")
        await submit(at, "job")
        await at.settle()
        assert history.count == looks
        await at.settle(61)
        assert history.count == looks + 4
