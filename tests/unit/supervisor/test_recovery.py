"""A run killed at any instant goes on where history says it was."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from doubles.dying import Dying
from doubles.scripted import (
    JOB,
    REGISTRY,
    RETRY,
    World,
    commit,
    fail,
    node_states,
    pipeline,
    run_state,
    succeed,
    world,
)

from openbell.execution.protocol import CallTask, Done, Failed
from openbell.model.control import Submission
from openbell.model.events import NodeChanged
from openbell.model.pipelines import Node, Pipeline, RetryPolicy
from openbell.model.runs import NodeState, RunState
from openbell.operators.control import CONTROL
from openbell.testing import MemoryHistory

pytestmark = pytest.mark.unit

CONTROLLED = replace(
    REGISTRY, operators={**REGISTRY.operators, **{spec.name: spec for spec in CONTROL}}
)


def graph() -> Pipeline:
    """Return a graph with a chain, a failing branch that is dealt with, items and a wait."""
    base = pipeline()
    once = RetryPolicy(max_attempts=1)
    nodes = (
        *base.nodes,
        Node(name="start", op="noop"),
        Node(
            name="bad", op="noop", needs={"start": ()}, settings={"outcome": "failed"}, retry=once
        ),
        Node(name="mend", op="noop", needs={"bad": ()}, trigger="one_failed"),
        Node(name="each", op="noop", needs={"start": ()}, for_each=[1, 2], settings={"seconds": 5}),
        Node(name="join", op="noop", needs={"each": (), "publish": (), "mend": ()}),
    )
    return replace(base, nodes=nodes)


ENDS = {
    "fetch": "success",
    "check": "success",
    "publish": "success",
    "hold": "skipped",
    "start": "success",
    "bad": "failed",
    "mend": "success",
    "each": "success",
    "join": "success",
}


@pytest.mark.parametrize("instant", range(1, 14))
async def test_killed_at_any_instant_a_run_ends_as_if_nothing_had_happened(instant: int) -> None:
    history = Dying()
    run_id = ""
    with suppress(BaseExceptionGroup):
        async with world(graph(), registry=CONTROLLED, history=history) as at:
            run_id = (await at.engine.submit(JOB)).run_id
            history.left = instant
            await at.settle(60)
    history.left = 1_000_000
    async with world(graph(), registry=CONTROLLED, history=history) as at:
        await at.settle(60)
        assert await node_states(at, run_id) == ENDS
        assert await run_state(at, run_id) is RunState.SUCCESS


async def test_a_retry_waits_for_its_instant_over_a_restart_and_keeps_count() -> None:
    history = MemoryHistory()
    async with world(scripts=[fail()], history=history) as at:
        run_id = (await at.engine.submit(JOB)).run_id
        await at.settle(5)
        assert (await node_states(at, run_id))["fetch"] == "retrying"
    async with world(scripts=[fail()], history=history) as at:
        await at.settle(9)
        assert at.pool.tasks == [], "the clock began anew, and the instant is the same"
        await at.settle(2)
        assert len(at.pool.tasks) == 1
        await at.settle(1000)
        assert await run_state(at, run_id) is RunState.FAILED
        assert len(await history.attempts(run_id)) == 3, "three in all, over both processes"


async def test_attempts_before_a_chunk_do_not_count_after_a_restart() -> None:
    async def chunk_then_fail(task: Any, listener: Any, stop: Any) -> Any:
        await commit(task, listener, number=task.first_chunk, rows=10)
        return await fail()(task, listener, stop)

    history = MemoryHistory()
    async with world(scripts=[fail(), fail(), chunk_then_fail], history=history) as at:
        run_id = (await at.engine.submit(JOB)).run_id
        await at.settle(35)
    async with world(scripts=[fail(), succeed], history=history) as at:
        await at.settle(1000)
        assert await run_state(at, run_id) is RunState.SUCCESS


async def test_units_that_find_no_worker_are_queued() -> None:
    async def slow(task: Any, listener: Any, stop: Any) -> Any:
        await at.clock.sleep(10)
        return await succeed(task, listener, stop)

    sources = tuple(
        Node(name=f"s{n}", op="ingest", settings={"dataset": "bars"}, retry=RETRY) for n in range(4)
    )
    flow = replace(pipeline(), nodes=sources)
    async with world(flow, scripts=[slow]) as at:
        run_id = (await at.engine.submit(JOB)).run_id
        await at.settle(1)
        states = list((await node_states(at, run_id)).values())
        assert states.count("running") == 2
        assert states.count("queued") == 2
        await at.settle(100)
        assert await run_state(at, run_id) is RunState.SUCCESS
        assert any(e.state is NodeState.QUEUED for e in at.seen.of(NodeChanged))


async def test_what_is_queued_when_the_daemon_drains_goes_on_later() -> None:
    async def slow(task: Any, listener: Any, stop: Any) -> Any:
        await stop.wait()
        return Done(is_interrupted=True)

    sources = tuple(
        Node(name=f"s{n}", op="ingest", settings={"dataset": "bars"}, retry=RETRY) for n in range(4)
    )
    flow = replace(pipeline(), nodes=sources)
    history = MemoryHistory()
    async with world(flow, scripts=[slow], history=history) as at:
        run_id = (await at.engine.submit(JOB)).run_id
        await at.settle(1)
        at.engine.request_stop(fast=False)
        await at.settle()
        assert at.engine.drained.is_set()
        assert set((await node_states(at, run_id)).values()) == {"queued"}
    async with world(flow, history=history) as at:
        await at.settle(10)
        assert await run_state(at, run_id) is RunState.SUCCESS


class Calls:
    """Answers what control nodes let a worker do."""

    def __init__(self, at: World, *answers: Any) -> None:
        self.asked: list[CallTask] = []
        self.answers = list(answers)
        at.services.executor = self

    async def submit(self, task: Any, listener: Any, stop: Any) -> tuple[Done | Failed, int]:
        del listener, stop
        self.asked.append(task)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer, 1


def trouble(*, is_retryable: bool) -> Failed:
    return Failed(node="x", kind="k", message="no", traceback="", is_retryable=is_retryable)


async def test_a_url_is_asked_until_it_is_there() -> None:
    from openbell.execution.process import WorkerLostError

    node = Node(name="up", op="wait", settings={"url": "http://x/y", "poll": 10})
    async with world(Pipeline(name="flow", nodes=(node,)), registry=CONTROLLED) as at:
        calls = Calls(
            at,
            Done(result=None),
            WorkerLostError(1, -9, ""),
            trouble(is_retryable=True),
            Done(result={"status": 200}),
        )
        run_id = (await at.engine.submit(Submission(pipeline="flow"))).run_id
        await at.settle(31)
        assert await run_state(at, run_id) is RunState.SUCCESS
        assert [call.arguments["url"] for call in calls.asked] == ["http://x/y"] * 4


async def test_a_wait_for_a_url_that_gives_up_tells_what_the_last_look_found() -> None:
    settings = {"url": "http://x/y", "poll": 4, "deadline": 10}
    node = Node(name="up", op="wait", settings=settings)
    async with world(Pipeline(name="flow", nodes=(node,)), registry=CONTROLLED) as at:
        Calls(at, *[Done(result={"missing": "it answered 404"})] * 3)
        run_id = (await at.engine.submit(Submission(pipeline="flow"))).run_id
        await at.settle(11)
        (found,) = await at.history.nodes(run_id)
        assert found.error == "waited 10 s for http://x/y: it answered 404"


async def test_a_webhook_that_refuses_fails_and_one_that_is_busy_is_tried_again() -> None:
    nodes = (
        Node(
            name="tell",
            op="notify",
            settings={"message": "hi", "webhook": "http://x/hook"},
            retry=RetryPolicy(max_attempts=2, backoff_s=1.0),
        ),
    )
    async with world(Pipeline(name="flow", nodes=nodes), registry=CONTROLLED) as at:
        calls = Calls(at, trouble(is_retryable=True), Done(result=200))
        run_id = (await at.engine.submit(Submission(pipeline="flow"))).run_id
        await at.settle(5)
        assert await run_state(at, run_id) is RunState.SUCCESS
        assert calls.asked[0].arguments["body"]["message"] == "hi"
        told = await at.history.run(run_id)
        assert told is not None
        assert told.trace_id in calls.asked[0].arguments["traceparent"]
        calls.answers = [trouble(is_retryable=False)]
        run_id = (await at.engine.submit(Submission(pipeline="flow"))).run_id
        await at.settle(5)
        assert await run_state(at, run_id) is RunState.FAILED
        calls.answers = []
        dry = Submission(pipeline="flow", dry_run=True)
        run_id = (await at.engine.submit(dry)).run_id
        await at.settle(5)
        assert await run_state(at, run_id) is RunState.SUCCESS
