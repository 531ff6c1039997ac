"""Beginnings of attempts that one loop puts on record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest
from doubles.scripted import (
    REGISTRY,
    Answer,
    deployment,
    node_states,
    run_state,
    spec_of,
    world,
)
from typing_extensions import override

from openbell.execution.protocol import Done, NodeCall, NodeEnd
from openbell.history.errors import HistoryWriteError
from openbell.model.control import Submission
from openbell.model.events import AttemptStarted, Event, NodeChanged, StoredEvent
from openbell.model.pipelines import Node, Pipeline
from openbell.model.runs import NodeState, RunState, Totals
from openbell.supervisor.desk import Ask, Desk, GiveBack
from openbell.supervisor.runs.openings import Openings
from openbell.testing import MemoryHistory

pytestmark = pytest.mark.unit

TASKS = replace(REGISTRY, operators={**REGISTRY.operators, "task": spec_of("task", "task")})


def beginning(node: str) -> NodeChanged:
    at = datetime(2026, 1, 5, tzinfo=UTC)
    return NodeChanged(at=at, run_id="run_1", pipeline="p", node=node, state=NodeState.RUNNING)


class Hall:
    """Openings, and units that hand theirs in."""

    def __init__(self) -> None:
        self.woken = 0
        self.begun: list[str] = []
        self.openings = Openings(self._wake)

    def _wake(self) -> None:
        self.woken += 1

    async def unit(self, name: str) -> None:
        await self.openings.record([beginning(name)])
        self.begun.append(name)


async def test_what_waits_is_taken_together_and_begins_once_it_is_on_record() -> None:
    hall = Hall()
    async with anyio.create_task_group() as units:
        for name in "ab":
            units.start_soon(hall.unit, name)
        await anyio.wait_all_tasks_blocked()
        assert hall.openings
        assert hall.woken == 2
        opening = hall.openings.take()
        assert not hall.openings
        assert opening.events == [beginning("a"), beginning("b")]
        assert hall.begun == []
        opening.is_recorded = True
        opening.over.set()
    assert hall.begun == ["a", "b"]


async def test_a_unit_cancelled_before_its_beginning_is_taken_leaves_none() -> None:
    hall = Hall()
    async with anyio.create_task_group() as units:
        units.start_soon(hall.unit, "a")
        with anyio.CancelScope() as scope:
            units.start_soon(_cancel_soon, scope)
            await hall.unit("b")
        opening = hall.openings.take()
        assert opening.events == [beginning("a")]
        opening.is_recorded = True
        opening.over.set()
    assert hall.begun == ["a"]


async def _cancel_soon(scope: anyio.CancelScope) -> None:
    await anyio.wait_all_tasks_blocked()
    scope.cancel()


async def test_a_unit_cancelled_while_it_is_recorded_hears_of_it_afterwards() -> None:
    hall = Hall()
    async with anyio.create_task_group() as units:
        units.start_soon(hall.unit, "a")
        await anyio.wait_all_tasks_blocked()
        opening = hall.openings.take()
        units.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.wait_all_tasks_blocked()
            opening.over.set()
    assert hall.begun == []


async def test_what_could_not_be_recorded_does_not_begin() -> None:
    hall = Hall()
    async with anyio.create_task_group() as units:
        units.start_soon(hall.unit, "a")
        await anyio.wait_all_tasks_blocked()
        hall.openings.take().over.set()
        await anyio.wait_all_tasks_blocked()
        units.cancel_scope.cancel()
    assert hall.begun == []


async def work(task: NodeCall, *_: object) -> Answer:
    return Done(
        ends={task.node.name: NodeEnd(outcome="success", was_reached=True, totals=Totals())}
    )


class Transactions(MemoryHistory):
    """Remembers which events were recorded together."""

    def __init__(self) -> None:
        super().__init__()
        self.together: list[list[str]] = []

    @override
    async def record(self, *events: Event) -> tuple[StoredEvent, ...]:
        self.together.append([_told(event) for event in events])
        return await super().record(*events)


def _told(event: Event) -> str:
    match event:
        case NodeChanged():
            return f"{event.node} {event.state}"
        case AttemptStarted():
            return f"{event.node} attempt"
        case _:
            return event.name


def tasks(*needs: tuple[str, Sequence[str]]) -> Pipeline:
    nodes = tuple(Node(name=n, op="task", needs=dict.fromkeys(found, ())) for n, found in needs)
    return Pipeline(name="tasks", nodes=nodes)


async def test_an_end_and_what_begins_after_it_are_one_transaction() -> None:
    history = Transactions()
    flow = tasks(("a", ""), ("b", "a"))
    async with world(flow, scripts=[work], history=history, registry=TASKS) as at:
        run = await at.engine.submit(Submission(pipeline="tasks"))
        await at.settle()
        assert await run_state(at, run.run_id) is RunState.SUCCESS
    found = next(group for group in history.together if "a success" in group)
    assert found[-2:] == ["b attempt", "b running"]


async def test_a_unit_whose_beginning_the_disk_does_not_take_gives_its_turn_back() -> None:
    history = Transactions()
    flow = tasks(("a", ""), ("b", "a"))
    async with world(flow, scripts=[work], history=history, registry=TASKS) as at:
        desk = at.services.desk
        free = desk.room()
        run = await at.engine.submit(Submission(pipeline="tasks"))
        history.failures = [
            HistoryWriteError(Path("history.sqlite"), "disk full") for _ in range(1000)
        ]
        await at.settle()
        assert desk.room() == free - 1
    assert desk.room() == free
    assert at.pool.tasks == []
    history.failures = []
    async with world(flow, scripts=[work], history=history, registry=TASKS) as at:
        await at.settle()
        assert await run_state(at, run.run_id) is RunState.SUCCESS


async def test_what_waits_for_a_slot_of_its_pool_is_queued() -> None:
    release = anyio.Event()

    async def hold(task: NodeCall, *_: object) -> Answer:
        await release.wait()
        return await work(task)

    node = Node(name="a", op="task", pool="vendor")
    flow = Pipeline(name="tasks", nodes=(node, replace(node, name="b")), max_active_runs=2)
    configured = replace(deployment(flow), pools={"vendor": 1})
    async with world(configured=configured, scripts=[hold], registry=TASKS) as at:
        runs = [await at.engine.submit(Submission(pipeline="tasks")) for _ in range(2)]
        await at.settle()
        states = [await node_states(at, run.run_id) for run in runs]
        assert states == [{"a": "running", "b": "queued"}, {"a": "queued", "b": "queued"}]
        release.set()
        await at.settle()
        assert [await run_state(at, run.run_id) for run in runs] == [RunState.SUCCESS] * 2


async def test_nodes_that_find_no_worker_free_ask_for_their_turn_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = Counter[str]()

    async def hold(*_: object) -> Answer:
        await anyio.sleep_forever()
        raise AssertionError

    def turn_now(desk: Desk, ask: Ask) -> GiveBack | None:
        asked[ask.node] += 1
        return take_turn(desk, ask)

    take_turn = Desk.turn_now
    monkeypatch.setattr(Desk, "turn_now", turn_now)
    flow = tasks(*((f"n{number}", "") for number in range(200)))
    async with world(flow, scripts=[hold], registry=TASKS) as at:
        run = await at.engine.submit(Submission(pipeline="tasks"))
        await at.settle()
        states = Counter((await node_states(at, run.run_id)).values())
        assert set(states) == {"running", "queued"}
        assert asked.total() == 200 + 1, "the first that finds none speaks for those like it"
