"""What is told of nodes that run, of what people asked, and of failures that others dealt with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from doubles.scripted import REGISTRY, World, pipeline, world

from openbell.execution.protocol import Done
from openbell.model.control import Submission
from openbell.model.pipelines import Node, Pipeline, RetryPolicy
from openbell.operators.control import CONTROL
from openbell.supervisor.explain.explainer import Explainer

pytestmark = pytest.mark.unit

WITH_CONTROL = replace(
    REGISTRY, operators={**REGISTRY.operators, **{spec.name: spec for spec in CONTROL}}
)


def node(name: str, op: str = "noop", **more: Any) -> Node:
    settings = more.pop("settings", {})
    return Node(name=name, op=op, settings=settings, retry=RetryPolicy(max_attempts=1), **more)


def flow(*nodes: Node, **more: Any) -> Pipeline:
    return Pipeline(name="flow", nodes=nodes, **more)


async def submit(at: World) -> str:
    run = await at.engine.submit(Submission(pipeline="flow"))
    await at.settle()
    return run.run_id


async def of_node(at: World, run_id: str, name: str) -> str:
    return (await Explainer(at.history, at.clock).node(run_id, name)).sentences[0].text


async def of_run(at: World, run_id: str) -> list[str]:
    found = await Explainer(at.history, at.clock).run(run_id)
    return [sentence.text for sentence in found.sentences]


async def test_what_runs_says_what_it_waits_for_and_until_when() -> None:
    nodes = (
        node("ask", "approve", settings={"question": "publish?", "deadline": "1h30m"}),
        node("file", "wait", settings={"file": "${place}", "deadline": 60}),
        node("hour", "wait", settings={"seconds": 3600}),
        node("inner", "pipeline", settings={"pipeline": "other"}),
        node("each", settings={"seconds": "${item}"}, for_each=[0, 99, 99]),
        node("plain", settings={"seconds": 99}),
    )
    other = Pipeline(name="other", nodes=(node("slow", settings={"seconds": 99}),))
    async with world(
        flow(*nodes, params={"place": "/in/a.csv"}), other, registry=WITH_CONTROL
    ) as at:
        run_id = await submit(at)
        told = {each.name: await of_node(at, run_id, each.name) for each in nodes}
    assert told["ask"] == (
        f"it asks people 'publish?': `mdp approve {run_id} ask LABEL` answers (approved, rejected); "
        "it gives up at 2026-01-05 13:30:00 UTC"
    )
    assert told["file"] == "it waits for file /in/a.csv; it gives up at 2026-01-05 12:01:00 UTC"
    assert told["hour"] == "it waits for 3600 s to pass"
    assert told["inner"].endswith("of 'other', which is running")
    assert told["each"] == "1 of its 3 items have ended"
    assert told["plain"] == "it is running, attempt 1"


async def test_what_waits_for_another_writer_is_queued_and_says_whom_for() -> None:
    async def play(task: Any, listener: Any, stop: Any) -> Any:
        del task, listener
        await stop.wait()
        return Done(is_interrupted=True)

    async with world(pipeline("one"), pipeline("two"), scripts=[play]) as at:
        first = await at.engine.submit(Submission(pipeline="one"))
        await at.settle()
        second = await at.engine.submit(Submission(pipeline="two"))
        await at.settle()
        states = {each.node: str(each.state) for each in await at.history.nodes(second.run_id)}
        assert set(states.values()) == {"queued"}
        told = await Explainer(at.history, at.clock, present=at.engine).run(second.run_id)
    assert f"dataset bars in primary is being written by run {first.run_id}" in (
        told.sentences[0].text
    )


async def test_a_deadline_that_passed_is_told_apart_from_errors_that_no_policy_is_about() -> None:
    waits = Node(name="a", op="wait", settings={"seconds": 99, "deadline": 5})
    async with world(flow(waits), registry=WITH_CONTROL) as at:
        run_id = await submit(at)
        await at.settle(6)
        assert "its deadline has passed, and that does not come back" in await of_run(at, run_id)
    fatal = Node(name="a", op="noop", settings={"outcome": "failed"})
    async with world(flow(fatal), registry=WITH_CONTROL) as at:
        assert "what failed like this is never tried again" in await of_run(at, await submit(at))


async def test_a_node_of_a_paused_run_says_so() -> None:
    nodes = (node("a", settings={"seconds": 5}), node("b", needs={"a": ()}))
    async with world(flow(*nodes), registry=WITH_CONTROL) as at:
        run_id = await submit(at)
        await at.engine.control.pause(run_id, paused=True, by="me")
        await at.settle(6)
        assert await of_node(at, run_id, "b") == (
            f"its run is paused; `mdp resume {run_id}` lets it go on"
        )
        assert "on record: me paused it" in await of_run(at, run_id)


async def test_who_asked_for_an_end_is_told() -> None:
    nodes = (node("a", settings={"seconds": 5}), node("b", needs={"a": ()}))
    async with world(flow(*nodes), registry=WITH_CONTROL) as at:
        run_id = await submit(at)
        await at.engine.cancel(run_id, by="me")
        await at.settle()
        told = await of_run(at, run_id)
        assert told[0] == "it was cancelled"
        assert "on record: me asked for its end" in told
        run_id = await submit(at)
        await at.engine.control.cancel_node(run_id, "a", by="me")
        await at.settle()
        ended = await at.history.run(run_id)
        assert ended is not None
        assert (str(ended.state), ended.error) == ("failed", "a: cancelled by me")
        assert (await of_run(at, run_id))[0] == "it failed: a: cancelled by me"


async def test_a_failure_that_others_dealt_with_is_not_forgotten() -> None:
    nodes = (
        node("bad", settings={"outcome": "failed"}),
        node("after", needs={"bad": ()}, trigger="all_done"),
    )
    async with world(flow(*nodes), registry=WITH_CONTROL) as at:
        told = await of_run(at, await submit(at))
    assert told[:2] == [
        "it succeeded",
        "node 'bad', which others dealt with: it failed (fatal): it was told to fail",
    ]
