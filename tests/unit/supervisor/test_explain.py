"""Why did it not run? What is told about runs, nodes and pipelines."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import anyio
import pytest
from doubles.scripted import REGISTRY, World, fail, spec_of, world

from openbell.model.control import Submission, UnknownPipelineError, UnknownRunError
from openbell.model.explanations import Explanation
from openbell.model.pipelines import Node, Pipeline
from openbell.operators.control import CONTROL
from openbell.sdk import SessionTable
from openbell.supervisor.explain.explainer import Explainer, UnknownNodeError
from openbell.supervisor.explain.waits import LOOK_S, Waits

pytestmark = pytest.mark.unit

WITH_CONTROL = replace(
    REGISTRY,
    operators={**REGISTRY.operators, **{spec.name: spec for spec in CONTROL}},
)
SLOW = Node(name="slow", op="noop", settings={"seconds": 60.0})


def flow(*nodes: Node, **more: Any) -> Pipeline:
    return Pipeline(name="flow", nodes=nodes, **more)


def explainer(at: World) -> Explainer:
    return Explainer(at.history, at.clock, present=at.engine)


async def submit(at: World, **more: Any) -> str:
    run = await at.engine.submit(Submission(pipeline="flow", **more))
    await at.settle()
    return run.run_id


def told(found: Explanation) -> dict[str, str]:
    return {sentence.what: sentence.text for sentence in reversed(found.sentences)}


async def test_a_run_in_the_queue_is_told_its_place_and_who_is_before_it() -> None:
    async with world(flow(SLOW), registry=WITH_CONTROL) as at:
        first = await submit(at)
        await submit(at)
        third = await submit(at)
        found = await explainer(at).run(third)
    assert found.sentences[0].what == "max_active_runs"
    assert found.sentences[0].ids == {"run": third, "active": first}
    assert "it is number 2 in the queue" in found.sentences[0].text
    assert told(found)["submitted"] == "it was submitted by api"


async def test_a_run_that_is_taken_up_waits_for_no_other() -> None:
    task = Node(name="work", op="task", settings={"of": "${session}"})
    registry = replace(REGISTRY, operators={"task": spec_of("task", "task")})
    async with world(flow(task), registry=registry) as at:
        at.services.sessions = _Unknown()
        found = await explainer(at).run(
            await submit(at, session=date(2026, 1, 5), calendar="WEEKDAYS")
        )
    assert found.sentences[0].what == "taken_up"


class _Unknown:
    """Sessions that are still being computed."""

    async def between(self, *_: object) -> SessionTable:
        await anyio.sleep_forever()
        raise AssertionError

    async def require(self, *_: object) -> None:
        """Nobody comes as far as this."""


async def test_a_paused_pipeline_is_the_first_reason() -> None:
    async with world(flow(SLOW), registry=WITH_CONTROL) as at:
        await at.engine.pause("flow")
        run_id = await submit(at)
        found = await explainer(at).run(run_id)
        of_pipeline = await explainer(at).pipeline("flow")
    assert found.sentences[0].text == "pipeline 'flow' is paused; `mdp resume flow` lets it go on"
    assert of_pipeline.state == "paused"
    assert told(of_pipeline)["queued"] == f"1 run waits; `mdp explain {run_id}` says why"


async def test_a_run_that_needs_other_pipelines_is_told_what_and_until_when() -> None:
    other = Pipeline(name="other", nodes=(SLOW,))
    needing = flow(SLOW, after=("other",), give_up_s=600.0)
    async with world(other, needing, registry=WITH_CONTROL) as at:
        run_id = await submit(at, session=date(2026, 1, 6))
        found = await explainer(at).run(run_id)
    assert "it waits for a successful run of 'other'" in found.sentences[0].text
    assert told(found)["gives_up"] == "it gives up 600 s after it was submitted"


async def test_a_closed_edge_is_named_with_its_outcome_and_the_trigger_rule() -> None:
    choose = Node(name="choose", op="noop", settings={"outcome": "red"})
    blue = Node(name="blue", op="noop", needs={"choose": ("blue",)})
    async with world(flow(choose, blue), registry=WITH_CONTROL) as at:
        run_id = await submit(at)
        of_node = await explainer(at).node(run_id, "blue")
        of_run = await explainer(at).run(run_id)
    assert of_node.state == "skipped"
    assert of_node.sentences[0].text == (
        "it was skipped: 'choose' ended with 'red', and this edge is open for 'blue' alone "
        "(trigger all_success)"
    )
    assert "node 'blue': it was skipped" in told(of_run)["skipped"]


async def test_a_node_behind_a_running_one_waits_for_it() -> None:
    behind = Node(name="behind", op="noop", needs={"slow": ()})
    async with world(flow(SLOW, behind), registry=WITH_CONTROL) as at:
        run_id = await submit(at)
        waiting = await explainer(at).node(run_id, "behind")
        running = await explainer(at).run(run_id)
        with pytest.raises(UnknownNodeError, match="has no node 'x'; there are: slow, behind"):
            await explainer(at).node(run_id, "x")
    assert waiting.sentences[0].text == "it waits: 'slow' is running"
    assert running.sentences[0].text == "node 'slow': it is running, attempt 1"


async def test_a_failed_run_names_node_attempts_and_letter() -> None:
    async with world(scripts=[fail()]) as at:
        run = await at.engine.submit(Submission(pipeline="job"))
        await at.settle(1)
        retrying = await explainer(at).run(run.run_id)
        await at.settle(3600)
        found = await explainer(at).run(run.run_id)
    assert told(retrying)["retry_at"].startswith("node 'fetch': it is tried again at ")
    assert [s.what for s in found.sentences[:3]] == ["failed", "attempts_used_up", "letter"]
    assert "transient trouble" in found.sentences[0].text
    assert "1 dead letter waits: `mdp dlq replay let_" in found.sentences[2].text


async def test_what_waits_longer_is_put_on_record_once_and_told_afterwards() -> None:
    async with world(flow(SLOW), registry=WITH_CONTROL) as at:
        await submit(at)
        second = await submit(at)
        waits = Waits(at.engine, at.services.journal, at.clock)
        await at.settle(LOOK_S)
        await waits.look()
        await waits.look()
        decisions = await at.history.decisions(run_id=second)
        assert [(d.what, d.node) for d in decisions] == [("max_active_runs", "")]
        await at.settle(200)
        found = await explainer(at).run(second)
    assert found.state == "success"
    assert "decided_max_active_runs" in told(found)


async def test_a_pipeline_without_a_daemon_is_told_from_what_is_on_record() -> None:
    async with world(flow(SLOW), registry=WITH_CONTROL) as at:
        run_id = await submit(at)
        offline = Explainer(at.history, at.clock)
        found = await offline.pipeline("flow")
        queued = await offline.run(run_id)
        with pytest.raises(UnknownPipelineError):
            await offline.pipeline("nothing")
        with pytest.raises(UnknownRunError):
            await offline.run("run_0")
    assert found.sentences[0].what == "no_daemon"
    assert not found.is_live
    assert queued.state == "running"
