"""A run that is told to stop, or asked something, in the middle of what it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from doubles.items import WITH_TASKS, each, ended, flow, submit
from doubles.scripted import Answer, deployment, node_states, run_state, world
from msgspec import structs
from typing_extensions import override

from openbell.execution.process import WorkerLostError
from openbell.execution.protocol import CallTask, Done, Failed
from openbell.history.errors import HistoryReadError, HistoryWriteError
from openbell.model.events import (
    ActorCrashed,
    Event,
    NodeChanged,
    RunStarted,
    RunSubmitted,
    StoredEvent,
)
from openbell.model.history import RunFilter
from openbell.model.items import ApprovalRecord
from openbell.model.pipelines import Node, Pipeline, RetryPolicy
from openbell.model.runs import NodeState, RunState
from openbell.supervisor.restart import RestartPolicy
from openbell.testing import MemoryHistory

pytestmark = pytest.mark.unit

SECRET = "hunter2"
ONCE = RetryPolicy(max_attempts=1)


class Gated(MemoryHistory):
    """Keeps the beginnings of runs until the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = anyio.Event()

    @override
    async def record(self, *events: Event) -> tuple[StoredEvent, ...]:
        if any(isinstance(event, RunStarted) for event in events):
            await self.gate.wait()
        return await super().record(*events)


async def never(*_: object) -> Answer:
    await anyio.sleep_forever()
    raise AssertionError


async def test_a_drain_waits_for_work_while_what_takes_no_time_has_become_ready() -> None:
    release = anyio.Event()

    async def play(task: Any, listener: Any, stop: Any) -> Answer:
        del listener
        await stop.wait()
        if task.node.name == "quick":
            return ended(task)  # it was done before it heard of the stop
        await release.wait()
        return Done(is_interrupted=True)

    nodes = (
        Node(name="quick", op="work"),
        Node(name="slow", op="work"),
        Node(name="after", op="noop", needs={"quick": ()}),
    )
    async with world(flow(*nodes), registry=WITH_TASKS, scripts=[play]) as at:
        run_id = await submit(at)
        await at.settle()
        at.engine.request_stop(fast=False)
        await at.settle(1)
        assert not at.engine.drained.is_set()
        release.set()
        await at.settle(1)
        assert at.engine.drained.is_set()
        assert await node_states(at, run_id) == {
            "quick": "success",
            "slow": "queued",
            "after": "pending",
        }


async def test_a_drain_while_items_are_read_leaves_the_node_to_the_next_start() -> None:
    history = MemoryHistory()
    listing = anyio.Event()

    async def play(task: Any, listener: Any, stop: Any) -> Answer:
        del listener
        if not isinstance(task, CallTask):
            made = {"kind": "spool", "path": "/nowhere", "rows": 2}
            return structs.replace(ended(task), outputs={task.node.name: made})
        if listing.is_set():
            return Done(result=[1, 2])
        listing.set()
        await stop.wait()
        return Done(is_interrupted=True)

    nodes = (Node(name="first", op="work"), each({"output": "first"}, needs={"first": ()}))
    async with world(flow(*nodes), registry=WITH_TASKS, scripts=[play], history=history) as at:
        run_id = await submit(at)
        await at.settle()
        at.engine.request_stop(fast=False)
        await at.settle(1)
        assert await run_state(at, run_id) is RunState.RUNNING
    async with world(flow(*nodes), registry=WITH_TASKS, scripts=[play], history=history) as at:
        await at.settle(1)
        assert await run_state(at, run_id) is RunState.SUCCESS


async def test_a_request_that_comes_while_a_lone_node_begins_is_obeyed() -> None:
    history = Gated()
    lone = Node(name="lone", op="work")
    async with world(flow(lone), registry=WITH_TASKS, scripts=[never], history=history) as at:
        run_id = await submit(at)
        await at.settle()
        await at.engine.control.cancel_node(run_id, "lone", by="me")
        history.gate.set()
        await at.settle(1)
        assert await node_states(at, run_id) == {"lone": "cancelled"}
        assert [a.state for a in await history.attempts(run_id)] == ["interrupted"]


@pytest.mark.parametrize(("most", "state"), [(3, RunState.SUCCESS), (2, RunState.FAILED)])
async def test_items_are_read_again_when_the_worker_that_reads_them_is_lost(
    most: int, state: RunState
) -> None:
    lost = iter([WorkerLostError(1, -9, "")] * 2)

    async def play(task: Any, *_: object) -> Answer:
        if isinstance(task, CallTask):
            return next(lost, None) or Done(result=[1, 2])
        made = {"kind": "spool", "path": "/nowhere", "rows": 2}
        return structs.replace(ended(task), outputs={task.node.name: made})

    policy = RetryPolicy(max_attempts=most)
    items = each({"output": "first"}, needs={"first": ()}, retry=policy)
    async with world(
        flow(Node(name="first", op="work"), items), registry=WITH_TASKS, scripts=[play]
    ) as at:
        run_id = await submit(at)
        await at.settle(1)
        assert await run_state(at, run_id) is state


TELL = Node(
    name="tell",
    op="notify",
    settings={"message": "done", "webhook": "http://hooks.test/"},
    retry=RetryPolicy(max_attempts=2, backoff_s=100.0),
    timeout_s=30.0,
)


async def refuse(*_: object) -> Answer:
    message = f"http://hooks.test/?key={SECRET} cannot be reached"
    return Failed(node="tell", kind="transient", message=message, traceback="", is_retryable=True)


async def take(*_: object) -> Answer:
    await anyio.lowlevel.checkpoint()
    return Done()


@pytest.mark.parametrize("for_each", [None, [1]])
async def test_the_time_of_a_second_attempt_counts_from_its_own_beginning_after_a_restart(
    for_each: list[int] | None,
) -> None:
    history, made = MemoryHistory(), flow(replace(TELL, for_each=for_each))
    async with world(made, registry=WITH_TASKS, scripts=[refuse], history=history) as at:
        run_id = await submit(at)
        await at.settle(50)
    async with world(made, registry=WITH_TASKS, scripts=[take], history=history) as at:
        await at.settle(200)
        assert await run_state(at, run_id) is RunState.SUCCESS


async def test_no_secret_is_kept_of_an_error_that_is_tried_again() -> None:
    configured = deployment(flow(TELL))
    async with world(configured=configured, registry=WITH_TASKS, scripts=[refuse]) as at:
        at.services.redact = lambda text: text.replace(SECRET, "***")
        run_id = await submit(at)
        await at.settle(1)
        (node,) = await at.history.nodes(run_id)
        assert (str(node.state), node.error.count("***")) == ("retrying", 1)
        assert SECRET not in node.error


class Full(MemoryHistory):
    """On a disk that is full, or failing, for as long as somebody says."""

    is_full = True

    @override
    async def record(self, *events: Event) -> tuple[StoredEvent, ...]:
        if self.is_full and any(isinstance(e, RunSubmitted) and e.parent_run_id for e in events):
            raise HistoryWriteError(Path("history.sqlite"), "disk full")
        return await super().record(*events)

    @override
    async def approvals(self, run_id: str | None = None) -> Sequence[ApprovalRecord]:
        if self.is_full:
            raise HistoryReadError(Path("history.sqlite"), "disk I/O error")
        return await super().approvals(run_id)


@pytest.mark.parametrize(
    ("op", "settings"),
    [
        ("pipeline", {"pipeline": "child"}),
        ("approve", {"labels": ["yes", "no"], "deadline": 7200, "on_deadline": "yes"}),
    ],
)
@pytest.mark.parametrize("for_each", [None, [1]])
async def test_a_disk_that_refuses_for_a_while_fails_no_node(
    op: str, settings: dict[str, Any], for_each: list[int] | None
) -> None:
    history = Full()
    child = Pipeline(name="child", nodes=(Node(name="c", op="noop"),))
    lone = flow(Node(name="lone", op=op, settings=settings, for_each=for_each))
    async with world(lone, child, registry=WITH_TASKS, history=history) as at:
        run_id = await submit(at)
        await at.settle(3600)
        assert await node_states(at, run_id) == {"lone": "running"}
        history.is_full = False
        await at.settle(7200)
        assert await run_state(at, run_id) is RunState.SUCCESS


PARENT = flow(Node(name="run", op="pipeline", settings={"pipeline": "child"}, retry=ONCE))
CHILD = Pipeline(name="child", nodes=(Node(name="c", op="noop", settings={"seconds": 60}),))


async def test_a_restart_follows_the_run_inside_also_while_its_pipeline_takes_no_work() -> None:
    history = MemoryHistory()
    async with world(PARENT, CHILD, registry=WITH_TASKS, history=history) as at:
        run_id = await submit(at)
        await at.settle(1)
    refused = deployment(PARENT, refused={"child": "a plugin is missing"})
    async with world(configured=refused, registry=WITH_TASKS, history=history) as at:
        await at.settle(3600)
        assert await node_states(at, run_id) == {"run": "running"}
    async with world(PARENT, CHILD, registry=WITH_TASKS, history=history) as at:
        await at.settle(100)
        assert await run_state(at, run_id) is RunState.SUCCESS
    assert len(await history.runs(RunFilter(pipeline="child"))) == 1


class StopsThen:
    """Asks the engine to drain at the instant at which a node begins."""

    def __init__(self) -> None:
        self.stop = lambda: None

    def see(self, event: Event) -> None:
        if isinstance(event, NodeChanged) and event.state is NodeState.RUNNING:
            self.stop()


async def test_a_drain_fails_no_node_that_is_about_to_begin_a_run_inside() -> None:
    history, observer = MemoryHistory(), StopsThen()
    async with world(
        PARENT, CHILD, registry=WITH_TASKS, history=history, observers=[observer]
    ) as at:
        observer.stop = lambda: at.engine.request_stop(fast=False)
        run_id = await submit(at)
        await at.settle(1)
        assert at.engine.drained.is_set()
        assert await node_states(at, run_id) == {"run": "running"}
    async with world(PARENT, CHILD, registry=WITH_TASKS, history=history) as at:
        await at.settle(100)
        assert await run_state(at, run_id) is RunState.SUCCESS


class Unhurried(MemoryHistory):
    """Takes its time to record, as a disk does."""

    @override
    async def record(self, *events: Event) -> tuple[StoredEvent, ...]:
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        return await super().record(*events)


async def crash(*_: object) -> Answer:
    raise RuntimeError(f"the key {SECRET} is wrong")


async def test_two_people_cancel_a_run_of_a_parked_pipeline_at_once() -> None:
    lone, once = flow(Node(name="lone", op="work")), RestartPolicy(limit=0)
    async with world(
        lone, registry=WITH_TASKS, scripts=[crash], history=Unhurried(), policy=once
    ) as at:
        run_id = await submit(at)
        await at.settle(1)
        async with anyio.create_task_group() as people:
            for name in ("ann", "ben"):
                people.start_soon(lambda by: at.engine.cancel(run_id, by=by), name)
        assert await run_state(at, run_id) is RunState.CANCELLED


async def test_no_secret_is_kept_of_a_crash() -> None:
    lone, once = flow(Node(name="lone", op="work")), RestartPolicy(limit=0)
    async with world(lone, registry=WITH_TASKS, scripts=[crash], policy=once) as at:
        at.services.redact = lambda text: text.replace(SECRET, "***")
        await submit(at)
        await at.settle(1)
        (parked,) = at.engine.pipelines()
        (crashed,) = at.seen.of(ActorCrashed)
        assert (parked.state, parked.reason.count("***")) == ("parked", 1)
        assert SECRET not in parked.reason + crashed.error
