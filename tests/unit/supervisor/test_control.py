"""Nodes that the daemon answers itself, on a manual clock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from doubles.scripted import REGISTRY, World, node_states, run_state, world

from openbell.execution.protocol import Done
from openbell.model.control import ConflictError, Submission
from openbell.model.events import NodeChanged, RunFinished
from openbell.model.history import RunFilter
from openbell.model.pipelines import Node, Pipeline, RetryPolicy, TriggerRule
from openbell.model.runs import NodeState, RunState
from openbell.operators.control import CONTROL
from openbell.sdk.errors import SettingsError
from openbell.supervisor.answers.branch import fits
from openbell.testing import MemoryHistory

pytestmark = pytest.mark.unit

CONTROLLED = replace(
    REGISTRY, operators={**REGISTRY.operators, **{spec.name: spec for spec in CONTROL}}
)
ONCE = RetryPolicy(max_attempts=1)


def node(
    name: str,
    op: str = "noop",
    needs: Mapping[str, tuple[str, ...]] | None = None,
    *,
    trigger: TriggerRule = "all_success",
    **settings: Any,
) -> Node:
    return Node(name=name, op=op, needs=needs or {}, settings=settings, trigger=trigger, retry=ONCE)


def flow(*nodes: Node, name: str = "flow", **changes: Any) -> Pipeline:
    return Pipeline(name=name, nodes=nodes, **changes)


async def submit(at: World, name: str = "flow", **more: Any) -> str:
    return (await at.engine.submit(Submission(pipeline=name, **more))).run_id


async def test_nodes_that_take_no_time_end_a_layer_at_a_time() -> None:
    nodes = (node("a"), node("b", needs={"a": ()}), node("c", needs={"a": ()}))
    async with world(flow(*nodes), registry=CONTROLLED) as at:
        run_id = await submit(at)
        await at.settle()
        assert await run_state(at, run_id) is RunState.SUCCESS
        changes = [(e.node, str(e.state), e.attempt) for e in at.seen.of(NodeChanged)]
        assert changes == [("a", "success", 1), ("b", "success", 1), ("c", "success", 1)]
        nodes_now = await at.history.nodes(run_id)
        assert all(n.started_at is not None for n in nodes_now)


async def test_branches_run_side_by_side() -> None:
    nodes = (
        node("slow", seconds=30),
        node("fast", seconds=10),
        node("after", needs={"fast": ()}, seconds=10),
    )
    async with world(flow(*nodes), registry=CONTROLLED) as at:
        run_id = await submit(at)
        await at.settle(11)
        states = await node_states(at, run_id)
        assert states == {"slow": "running", "fast": "success", "after": "running"}
        await at.settle(20)
        assert await run_state(at, run_id) is RunState.SUCCESS


async def test_a_failure_stops_its_branch_and_no_other() -> None:
    nodes = (
        node("bad", outcome="failed"),
        node("below", needs={"bad": ()}),
        node("other", seconds=5),
        node("always", needs={"below": ()}, trigger="all_done"),
    )
    async with world(flow(*nodes), registry=CONTROLLED) as at:
        run_id = await submit(at)
        await at.settle(10)
        assert await node_states(at, run_id) == {
            "bad": "failed",
            "below": "upstream_failed",
            "other": "success",
            "always": "success",
        }
        assert await run_state(at, run_id) is RunState.SUCCESS, "every leaf is well"


async def test_a_branch_opens_one_way() -> None:
    nodes = (
        node("route", "branch", value="${size}", cases={"big": ">= 100", "small": "< 100"}),
        node("left", needs={"route": ("big",)}),
        node("right", needs={"route": ("small",)}),
        node("join", needs={"left": (), "right": ()}, trigger="none_failed_min_one_success"),
    )
    async with world(flow(*nodes, params={"size": 5}), registry=CONTROLLED) as at:
        small, big = await submit(at), await submit(at, params={"size": 100})
        await at.settle()
        assert (await node_states(at, small))["left"] == "skipped"
        assert (await node_states(at, big))["right"] == "skipped"
        for run_id in (small, big):
            assert (await node_states(at, run_id))["join"] == "success"


async def test_a_branch_looks_at_what_a_node_made_or_how_it_ended() -> None:
    nodes = (
        node("made", outcome="left"),
        node("by_outcome", "branch", {"made": ()}, of="made"),
        node("lost", "branch", of="made"),
    )
    async with world(flow(*nodes), registry=CONTROLLED) as at:
        run_id = await submit(at)
        await at.settle()
        found = {n.node: n for n in await at.history.nodes(run_id)}
        assert found["by_outcome"].outcome == "left"
        assert found["by_outcome"].output == {
            "kind": "value",
            "value": {"value": "left", "label": "left"},
        }
        assert "does not need" in found["lost"].error


@pytest.mark.parametrize(
    ("given", "case", "wanted"),
    [
        (5, ">= 5", True),
        (5, "< 5", False),
        ("5", "> 4.5", True),
        ("b", "> a", True),
        ("XNYS", "in XLON, XNYS", True),
        (3, "in 1, 3", True),
        (3, "3.0", True),
        (None, "", True),
        (True, "true", True),
        (True, 1, False),
        (7, 7, True),
        ("x", "!= y", True),
        ("x", "== x", True),
    ],
)
def test_cases_are_simple_comparisons(given: Any, case: Any, wanted: bool) -> None:
    assert fits(given, case) is wanted


async def test_settings_that_do_not_fit_the_parameters_of_a_definition_fail_the_node() -> None:
    nodes = (node("a", seconds="${length}"),)
    async with world(flow(*nodes, params={"length": "long"}), registry=CONTROLLED) as at:
        run_id = await submit(at)
        await at.settle()
        ended = await at.history.run(run_id)
        assert ended is not None
        assert ended.error.startswith("a: its settings do not fit: seconds: must be a time such as")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"length": "long"}, "seconds: must be a time such as 0, 30s, 45m or 1h30m, not 'long'"),
        ({"length": [1]}, "not [1] (node 'a', op noop)"),
        ({"length": "1s", "label": [7]}, "params.label: outcome: must be text, not a list"),
    ],
)
async def test_parameters_that_do_not_fit_their_settings_begin_no_run(
    params: dict[str, object], words: str
) -> None:
    definition = flow(
        node("a", seconds="${length}", outcome="${label}"),
        params={"length": "1s", "label": "success"},
    )
    async with world(definition, registry=CONTROLLED) as at:
        with pytest.raises(SettingsError, match=re.escape(words)):
            await at.engine.submit(Submission(pipeline="flow", params=params))
        run_id = await submit(at, params={"length": "2s"})
        await at.settle(2)
        assert await run_state(at, run_id) is RunState.SUCCESS
        assert len(await at.history.runs(RunFilter())) == 1


async def test_a_wait_goes_on_after_a_restart_until_its_own_deadline() -> None:
    history = MemoryHistory()
    nodes = (node("pause", "wait", seconds=60), node("next", needs={"pause": ()}))
    async with world(flow(*nodes), registry=CONTROLLED, history=history) as at:
        run_id = await submit(at)
        await at.settle(40)
        at.engine.request_stop(fast=False)
        await at.settle()
        assert at.engine.drained.is_set(), "a wait does not hold up the end"
    assert {n.node: str(n.state) for n in await history.nodes(run_id)}["pause"] == "running"
    async with world(flow(*nodes), registry=CONTROLLED, history=history) as at:
        await at.settle(59)
        assert await run_state(at, run_id) is RunState.RUNNING
        await at.settle(2)
        assert await run_state(at, run_id) is RunState.SUCCESS
        assert at.seen.of(NodeChanged)[0].state is NodeState.SUCCESS, "it never began anew"


async def test_a_wait_for_an_instant_and_one_that_takes_too_long() -> None:
    nodes = (
        node("until", "wait", until="2026-01-05T12:00:30Z"),
        node("never", "wait", file="/nowhere/at/all", deadline=10, poll=1),
    )
    async with world(flow(*nodes), registry=CONTROLLED) as at:
        at.services.jitter = lambda: 0.5
        run_id = await submit(at)
        await at.settle(1)
        states = await node_states(at, run_id)
        assert set(states.values()) <= {"running", "success"}
        await at.settle(3600)
        never = {n.node: n for n in await at.history.nodes(run_id)}["never"]
        assert (never.state, never.error_kind) == (NodeState.FAILED, "timeout")
        assert "waited 10 s for file /nowhere/at/all" in never.error


async def test_a_person_answers_and_the_edges_open_by_it() -> None:
    nodes = (
        node("ask", "approve", question="publish?"),
        node("go", needs={"ask": ()}),
        node("stop", needs={"ask": ("rejected",)}),
    )
    async with world(flow(*nodes), registry=CONTROLLED) as at:
        run_id = await submit(at)
        await at.settle()
        (asked,) = await at.history.approvals()
        assert (asked.node, asked.question, asked.labels) == (
            "ask",
            "publish?",
            ("approved", "rejected"),
        )
        with pytest.raises(ConflictError, match="no answer"):
            await at.engine.answer(run_id, "ask", "maybe", by="me")
        with pytest.raises(ConflictError, match="asks nothing"):
            await at.engine.answer(run_id, "go", "approved", by="me")
        answered = await at.engine.answer(run_id, "ask", "rejected", by="me")
        assert (answered.label, answered.answered_by) == ("rejected", "me")
        with pytest.raises(ConflictError, match=r"has its answer|asks nothing"):
            await at.engine.answer(run_id, "ask", "approved", by="you")
        await at.settle()
        assert await node_states(at, run_id) == {
            "ask": "success",
            "go": "skipped",
            "stop": "success",
        }


async def test_a_question_keeps_its_deadline_over_a_restart_and_then_has_its_default() -> None:
    history = MemoryHistory()
    nodes = (node("ask", "approve", deadline=100, on_deadline="rejected"),)
    async with world(flow(*nodes), registry=CONTROLLED, history=history) as at:
        run_id = await submit(at)
        await at.settle(50)
    async with world(flow(*nodes), registry=CONTROLLED, history=history) as at:
        await at.settle(99)
        assert len(await history.approvals()) == 1
        await at.settle(2)
        assert await run_state(at, run_id) is RunState.SUCCESS
        (asked,) = await history.approvals(run_id)
        assert (asked.label, asked.answered_by) == ("rejected", "deadline")


async def test_a_question_that_nobody_answers_fails() -> None:
    nodes = (node("ask", "approve", deadline=100),)
    async with world(flow(*nodes), registry=CONTROLLED) as at:
        run_id = await submit(at)
        await at.settle(101)
        assert await node_states(at, run_id) == {"ask": "failed"}


async def test_a_notice_stands_in_the_log_of_its_node() -> None:
    nodes = (node("tell", "notify", message="done with ${what}", level="warning"),)
    async with world(flow(*nodes, params={"what": "it"}), registry=CONTROLLED) as at:
        run_id = await submit(at)
        await at.settle()
        (line,) = await at.history.logs(run_id)
        assert (line.node, line.line.text, line.line.level) == ("tell", "done with it", "warning")


async def test_a_pipeline_inside_a_pipeline_ends_its_node() -> None:
    outer = flow(
        node("inner", "pipeline", pipeline="other", params={"n": 3}),
        node("after", needs={"inner": ()}),
    )
    other = flow(node("work", seconds=20), name="other", params={"n": 1})
    async with world(outer, other, registry=CONTROLLED) as at:
        run_id = await submit(at)
        await at.settle(10)
        assert (await node_states(at, run_id))["inner"] == "running"
        await at.settle(11)
        assert await run_state(at, run_id) is RunState.SUCCESS
        inner = next(e for e in at.seen.of(RunFinished) if e.pipeline == "other")
        found = await at.history.run(inner.run_id)
        assert found is not None
        assert (found.parent_run_id, found.params["n"]) == (run_id, 3)


async def test_a_pipeline_inside_is_cancelled_with_its_run_and_followed_after_a_restart() -> None:
    history = MemoryHistory()
    outer = flow(node("inner", "pipeline", pipeline="other"))
    other = flow(node("work", seconds=500), name="other")
    async with world(outer, other, registry=CONTROLLED, history=history) as at:
        run_id = await submit(at)
        await at.settle(10)
        at.engine.request_stop(fast=True)
        await at.settle()
    async with world(outer, other, registry=CONTROLLED, history=history) as at:
        await at.settle(10)
        assert (at.engine.status().active_runs, await run_state(at, run_id)) == (
            2,
            RunState.RUNNING,
        )
        await at.engine.cancel(run_id, by="me")
        await at.settle(5)
        states = {run.pipeline: run.state for run in history._tables.runs.values()}
        assert states == {"flow": RunState.CANCELLED, "other": RunState.CANCELLED}


async def test_a_pipeline_inside_that_fails_takes_too_long_or_goes_in_circles_fails_the_node() -> (
    None
):
    circle = flow(node("again", "pipeline", pipeline="flow"))
    bad = flow(node("x", outcome="failed"), name="bad")
    calls_bad = flow(node("inner", "pipeline", pipeline="bad"), name="calls_bad")
    unknown = flow(node("inner", "pipeline", pipeline="nowhere"), name="unknown")
    slow = flow(node("x", seconds=999), name="slow")
    late = flow(replace(node("inner", "pipeline", pipeline="slow"), timeout_s=5.0), name="late")
    async with world(circle, bad, calls_bad, unknown, slow, late, registry=CONTROLLED) as at:
        runs = {name: await submit(at, name) for name in ("flow", "calls_bad", "unknown", "late")}
        await at.settle(60)
        errors = {}
        for name, run_id in runs.items():
            ended = await at.history.run(run_id)
            assert ended is not None
            assert ended.state is RunState.FAILED
            errors[name] = ended.error
        assert "inside itself" in errors["flow"]
        assert "is failed" in errors["calls_bad"]
        assert "cannot run" in errors["unknown"]
        assert "longer than 5 s" in errors["late"]
        slow_run = next(e for e in at.seen.of(RunFinished) if e.pipeline == "slow")
        assert slow_run.state is RunState.CANCELLED


async def test_a_task_gets_what_the_nodes_before_it_made() -> None:
    from doubles.scripted import spec_of

    registry = replace(
        CONTROLLED, operators={**CONTROLLED.operators, "sql": spec_of("sql", "task")}
    )
    seen = []

    async def play(task: Any, listener: Any, stop: Any) -> Done:
        del listener, stop
        from openbell.execution.protocol import NodeEnd
        from openbell.model.runs import Totals

        seen.append(task)
        return Done(
            ends={task.node.name: NodeEnd(outcome="success", was_reached=True, totals=Totals())},
            outputs={task.node.name: {"kind": "value", "value": 7}},
        )

    nodes = (
        node("first", value=[1, 2]),
        node("make", "sql", {"first": ()}),
        node("use", "sql", {"make": ()}),
    )
    async with world(flow(*nodes), registry=registry, scripts=[play]) as at:
        run_id = await submit(at)
        await at.settle()
        assert await run_state(at, run_id) is RunState.SUCCESS
        assert [dict(task.inputs) for task in seen] == [
            {"first": {"kind": "value", "value": [1, 2]}},
            {"make": {"kind": "value", "value": 7}},
        ]
        attempts = await at.history.attempts(run_id)
        assert [(a.node, a.state) for a in attempts] == [("make", "success"), ("use", "success")]
