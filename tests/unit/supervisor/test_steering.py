"""People change runs that are under way: pause, cancel, mark, retry, priority. On a manual clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from doubles.scripted import (
    JOB,
    REGISTRY,
    World,
    deployment,
    fail,
    node_states,
    pipeline,
    run_state,
    spec_of,
    succeed,
    until_stopped,
    world,
)

from openbell.execution.protocol import Done, NodeEnd
from openbell.model.control import ConflictError, Submission, UnknownRunError
from openbell.model.events import NodeChanged, RunStarted
from openbell.model.pipelines import Node, Pipeline, RetryPolicy
from openbell.model.retries import Retry
from openbell.model.runs import RunState, Totals
from openbell.operators.control import CONTROL
from openbell.testing import MemoryHistory

pytestmark = pytest.mark.unit

KNOWN = replace(
    REGISTRY,
    operators={
        **REGISTRY.operators,
        **{spec.name: spec for spec in CONTROL},
        "work": spec_of("work", "task"),
    },
)
ONCE = RetryPolicy(max_attempts=1)


def node(name: str, needs: tuple[str, ...] = (), *, op: str = "noop", **more: Any) -> Node:
    needed: Mapping[str, tuple[str, ...]] = dict.fromkeys(needs, ())
    settings = more.pop("settings", {})
    return Node(name=name, op=op, needs=needed, settings=settings, retry=ONCE, **more)


def slow(name: str, needs: tuple[str, ...] = (), seconds: float = 10, **more: Any) -> Node:
    return node(name, needs, settings={"seconds": seconds}, **more)


def flow(*nodes: Node, **changes: Any) -> Pipeline:
    return Pipeline(name="flow", nodes=nodes, **changes)


async def submit(at: World, **more: Any) -> str:
    return (await at.engine.submit(Submission(pipeline="flow", **more))).run_id


async def states(at: World, run_id: str) -> str:
    return " ".join(state for _, state in sorted((await node_states(at, run_id)).items()))


async def work(task: Any, listener: Any, stop: Any) -> Done:
    del listener, stop
    name = task.node.name
    return Done(
        ends={name: NodeEnd(outcome="success", was_reached=True, totals=Totals())},
        outputs={name: {"kind": "value", "value": [1, 2]}},
    )


async def test_a_paused_run_begins_nothing_and_what_runs_ends() -> None:
    async with world(flow(slow("a"), slow("b", ("a",))), registry=KNOWN) as at:
        run_id = await submit(at)
        await at.settle(1)
        assert (await at.engine.control.pause(run_id, paused=True, by="me")).paused
        await at.settle(100)
        assert await states(at, run_id) == "success pending"
        await at.engine.control.pause(run_id, paused=True, by="me")
        await at.engine.control.pause(run_id, paused=False, by="me")
        await at.settle(11)
        assert await run_state(at, run_id) is RunState.SUCCESS


async def test_a_pause_outlasts_a_restart() -> None:
    history = MemoryHistory()
    made = flow(slow("a"), slow("b", ("a",)))
    async with world(made, registry=KNOWN, history=history) as at:
        begun, waiting = await submit(at), await submit(at)
        await at.settle(1)
        for run_id in (begun, waiting):
            await at.engine.control.pause(run_id, paused=True, by="me")
    async with world(made, registry=KNOWN, history=history) as at:
        await at.settle(100)
        assert await states(at, begun) == "success pending", "what was begun goes on"
        assert await states(at, waiting) == "pending pending"
        for run_id in (begun, waiting):
            await at.engine.control.pause(run_id, paused=False, by="me")
        await at.settle(100)
        assert await run_state(at, begun) is RunState.SUCCESS
        assert await run_state(at, waiting) is RunState.SUCCESS


async def test_a_retry_of_a_node_waits_while_its_run_is_paused() -> None:
    scripts = [fail(), succeed]
    async with world(scripts=scripts) as at:
        run = await at.engine.submit(JOB)
        await at.settle(1)
        await at.engine.control.pause(run.run_id, paused=True, by="me")
        await at.settle(3600)
        assert len(at.pool.tasks) == 1
        await at.engine.control.pause(run.run_id, paused=False, by="me")
        await at.settle()
        assert await run_state(at, run.run_id) is RunState.SUCCESS


async def test_a_paused_run_drains_and_is_cancelled_like_any_other() -> None:
    async with world(flow(slow("a"), slow("b", ("a",))), registry=KNOWN) as at:
        run_id = await submit(at)
        await at.settle(1)
        await at.engine.control.pause(run_id, paused=True, by="me")
        await at.settle(20)
        await at.engine.cancel(run_id, by="me")
        await at.settle()
        assert await run_state(at, run_id) is RunState.CANCELLED
        other = await submit(at)
        await at.settle(11)
        await at.engine.control.pause(other, paused=True, by="me")
        await at.settle(20)
        at.engine.request_stop(fast=False)
        await at.settle(1)
        assert at.engine.drained.is_set()


async def test_a_cancelled_node_counts_as_failed_for_those_after_it() -> None:
    made = flow(
        slow("a", seconds=3600),
        slow("b", ("a",)),
        slow("c", ("b",), trigger="all_done"),
        slow("other"),
    )
    async with world(made, registry=KNOWN) as at:
        run_id = await submit(at)
        await at.settle(1)
        await at.engine.control.cancel_node(run_id, "a", by="ann")
        await at.settle(30)
        assert await states(at, run_id) == "cancelled upstream_failed success success"
        assert await run_state(at, run_id) is RunState.SUCCESS
        (found,) = [n for n in await at.history.nodes(run_id) if n.node == "a"]
        assert found.reason == "cancelled by ann"
        with pytest.raises(ConflictError, match="has ended already"):
            await at.engine.control.cancel_node(run_id, "a", by="ann")


async def test_a_node_that_waits_is_cancelled_and_marked_too() -> None:
    made = flow(slow("a"), slow("b", ("a",)), slow("c", ("a",)), slow("d", ("c",)))
    async with world(made, registry=KNOWN) as at:
        run_id = await submit(at)
        await at.settle(1)
        await at.engine.control.cancel_node(run_id, "b", by="me")
        await at.engine.control.mark(
            run_id, "c", "success", by="me", reason="was done by hand", outcome="success"
        )
        await at.settle()
        assert await states(at, run_id) == "running cancelled success running"
        await at.settle(30)
        assert await states(at, run_id) == "success cancelled success success"
        reasons = {n.node: n.reason for n in await at.history.nodes(run_id)}
        assert reasons["c"] == "marked success by me: was done by hand"


async def test_a_chain_is_stopped_as_a_whole_and_its_attempt_does_not_count() -> None:
    async with world(scripts=[until_stopped]) as at:
        run = await at.engine.submit(JOB)
        await at.settle(1)
        await at.engine.control.cancel_node(run.run_id, "check", by="me")
        await at.settle(1)
        assert set((await node_states(at, run.run_id)).values()) == {"cancelled"}
        assert [a.state for a in await at.history.attempts(run.run_id)] == ["interrupted"]
        assert await run_state(at, run.run_id) is RunState.FAILED


async def test_a_node_marked_as_failed_fails_what_follows() -> None:
    async with world(scripts=[until_stopped]) as at:
        run = await at.engine.submit(JOB)
        await at.settle(1)
        await at.engine.control.mark(
            run.run_id, "check", "failed", by="me", reason="nonsense", outcome="success"
        )
        await at.settle(1)
        assert await node_states(at, run.run_id) == {
            "fetch": "cancelled",
            "check": "failed",
            "publish": "upstream_failed",
            "hold": "upstream_failed",
        }
        found = await at.history.run(run.run_id)
        assert found is not None
        assert "marked failed by me: nonsense" in found.error


async def test_requests_of_a_restart_are_obeyed_and_contradictions_refused() -> None:
    history = MemoryHistory()
    made = flow(slow("a"), slow("b", ("a",)))
    async with world(made, registry=KNOWN, history=history) as at:
        run_id = await submit(at)
        waiting = await submit(at)
        await at.settle(1)
        control = at.engine.control
        await control.cancel_node(waiting, "b", by="me")
        await control.cancel_node(waiting, "b", by="me")
        with pytest.raises(ConflictError, match="in another way"):
            await control.mark(waiting, "b", "success", by="x", reason="", outcome="success")
        with pytest.raises(UnknownRunError, match="has no node"):
            await control.cancel_node(waiting, "z", by="me")
    async with world(made, registry=KNOWN, history=history) as at:
        await at.settle(100)
        assert await states(at, run_id) == "success success"
        assert await states(at, waiting) == "success cancelled"


async def test_the_most_urgent_run_goes_first_and_waiting_makes_urgent() -> None:
    async with world(flow(slow("a", seconds=30)), registry=KNOWN) as at:
        first = await submit(at)
        low, high, raised = await submit(at, priority=2), await submit(at, priority=7), None
        raised = await submit(at, priority=0)
        await at.settle(1)
        await at.engine.control.prioritize(raised, 9, by="me")
        await at.settle(29)
        late = await submit(at, priority=3)
        await at.settle(400)
        begun = [e.run_id for e in at.seen.of(RunStarted)]
        assert begun == [first, raised, high, late, low]


async def test_everything_is_paused_also_over_a_restart_and_names_are_kept() -> None:
    history = MemoryHistory()
    made = (flow(slow("a")), replace(flow(slow("a")), name="named"))
    async with world(*made, registry=KNOWN, history=history) as at:
        await at.engine.pause("named", by="me")
        shown = await at.engine.pause_all(by="me")
        assert {p.state for p in shown} == {"paused"}
        run_id = await submit(at)
        await at.settle(100)
        assert await run_state(at, run_id) is RunState.QUEUED
        assert (await at.engine.resume("named", by="me")).state == "paused"
        await at.engine.pause("named", by="me")
    async with world(*made, registry=KNOWN, history=history) as at:
        await at.settle(100)
        assert at.engine.status().paused
        assert await run_state(at, run_id) is RunState.QUEUED
        await at.engine.resume_all(by="me")
        await at.settle(100)
        assert await run_state(at, run_id) is RunState.SUCCESS
        assert {p.name: p.state for p in at.engine.pipelines()} == {
            "flow": "active",
            "named": "paused",
        }


async def test_a_retry_takes_over_what_is_finished() -> None:
    made = flow(
        node("a", op="work"),
        node("bad", ("a",), settings={"outcome": "${how}"}),
        node("c", ("bad",)),
        node("d", ("a",)),
        params={"how": "failed"},
    )
    async with world(made, registry=KNOWN, scripts=[work]) as at:
        run_id = await submit(at)
        await at.settle()
        assert await states(at, run_id) == "success failed upstream_failed success"
        again = await at.engine.retry(run_id, by="me", how=Retry(params={"how": "success"}))
        await at.settle()
        assert (again.retry_of, again.params["how"]) == (run_id, "success")
        assert await states(at, again.run_id) == "success success success success"
        assert len(at.pool.tasks) == 1, "what succeeded is not done again"
        found = {n.node: n for n in await at.history.nodes(again.run_id)}
        assert found["a"].reason == f"taken over from run {run_id}"
        assert found["a"].output == {"kind": "value", "value": [1, 2]}
        changed = {e.node for e in at.seen.of(NodeChanged) if e.run_id == again.run_id}
        assert changed == {"bad", "c"}
        whole = await at.engine.retry(again.run_id, by="me", how=Retry(from_node="a"))
        await at.settle()
        assert await run_state(at, whole.run_id) is RunState.SUCCESS
        assert len(at.pool.tasks) == 2
        with pytest.raises(UnknownRunError, match="no node"):
            await at.engine.retry(run_id, by="me", how=Retry(from_node="z"))


async def test_a_retry_keeps_the_definition_unless_told_otherwise() -> None:
    before = flow(node("a", settings={"outcome": "failed"}))
    after = deployment(flow(node("a")))
    async with world(before, registry=KNOWN, reloaded=lambda: after) as at:
        run_id = await submit(at)
        await at.settle()
        await at.engine.reload()
        same = await at.engine.retry(run_id, by="me")
        new = await at.engine.retry(run_id, by="me", how=Retry(new_definition=True))
        await at.settle()
        assert await run_state(at, same.run_id) is RunState.FAILED
        assert await run_state(at, new.run_id) is RunState.SUCCESS
        assert (same.workflow_version, new.workflow_version) == (1, 2)


async def test_a_cancelled_fan_out_ends_its_items() -> None:
    made = flow(slow("each", seconds=60, for_each=[1, 2, 3], max_parallel=2))
    async with world(made, registry=KNOWN) as at:
        run_id = await submit(at)
        await at.settle(1)
        await at.engine.control.cancel_node(run_id, "each", by="me")
        await at.settle(1)
        assert {str(i.state) for i in await at.history.items(run_id, "each")} == {"cancelled"}
        assert await run_state(at, run_id) is RunState.FAILED


async def test_a_paused_fan_out_begins_no_more_items() -> None:
    made = flow(slow("each", seconds=10, for_each=[1, 2, 3], max_parallel=1))
    async with world(made, registry=KNOWN) as at:
        run_id = await submit(at)
        await at.settle(1)
        await at.engine.control.pause(run_id, paused=True, by="me")
        await at.settle(100)
        found = [str(i.state) for i in await at.history.items(run_id, "each")]
        assert found == ["success", "pending", "pending"]
        await at.engine.control.pause(run_id, paused=False, by="me")
        await at.settle(100)
        assert await run_state(at, run_id) is RunState.SUCCESS


async def test_a_cancelled_sub_run_goes_with_its_node() -> None:
    outer = flow(node("inner", op="pipeline", settings={"pipeline": "under"}))
    under = replace(flow(slow("a", seconds=600)), name="under")
    async with world(outer, under, registry=KNOWN) as at:
        run_id = await submit(at)
        await at.settle(1)
        await at.engine.control.cancel_node(run_id, "inner", by="me")
        await at.settle(1)
        runs = {r.pipeline: r.state for r in at.history._tables.runs.values()}
        assert runs == {"flow": RunState.FAILED, "under": RunState.CANCELLED}


async def test_nothing_is_asked_of_an_ended_run() -> None:
    async with world(pipeline()) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        control = at.engine.control
        with pytest.raises(ConflictError, match="an ended run is retried"):
            await control.pause(run.run_id, paused=True, by="me")
        with pytest.raises(ConflictError, match="an ended run is retried"):
            await control.prioritize(run.run_id, 9, by="me")
        with pytest.raises(ConflictError, match="an ended run is retried"):
            await control.mark(
                run.run_id, "fetch", "success", by="me", reason="", outcome="success"
            )
