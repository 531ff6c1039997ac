"""Attempts at items of a node with `for_each` are attempts like those at nodes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from doubles.dying import Dying
from doubles.items import WITH_TASKS, each, ended, failed, flow, items_of, submit
from doubles.scripted import World, run_state, world
from msgspec import structs

from openbell.execution.protocol import Logged
from openbell.model.events import AttemptStarted, ItemsChanged
from openbell.model.pipelines import RetryPolicy
from openbell.model.runs import MAX_ITEM_LOG_BYTES, AttemptRecord, LogLine, NodeState, RunState
from openbell.testing import MemoryHistory

pytestmark = pytest.mark.unit


async def tries_at(at: World, run_id: str, item: int) -> list[AttemptRecord]:
    return list(await at.history.attempts(run_id, "each", item=item))


async def test_each_try_of_an_item_is_on_record_with_what_it_cost() -> None:
    async def play(task: Any, listener: Any, stop: Any) -> Any:
        del listener, stop
        if task.item == "b" and task.attempt == 1:
            return structs.replace(failed(task), traceback="line 1", cpu_s=0.25)
        costs = {"cpu_s": 0.5, "peak_memory_bytes": 7, "io_read_bytes": 8, "io_written_bytes": 9}
        return structs.replace(ended(task), **costs)

    node = each(["a", "b"], "work", retry=RetryPolicy(max_attempts=2, backoff_s=1))
    async with world(flow(node), registry=WITH_TASKS, scripts=[play]) as at:
        run_id = await submit(at)
        await at.settle(10)
        assert await run_state(at, run_id) is RunState.SUCCESS
        (of_a,) = await tries_at(at, run_id, 0)
        assert (of_a.item, of_a.number, of_a.state) == (0, 1, "success")
        assert (of_a.cpu_s, of_a.peak_memory_bytes) == (0.5, 7)
        assert (of_a.io_read_bytes, of_a.io_written_bytes) == (8, 9)
        bad, good = await tries_at(at, run_id, 1)
        assert (bad.number, bad.state, bad.error_kind) == (1, "failed", "transient")
        assert (bad.error, bad.traceback, bad.cpu_s) == ("trouble", "line 1", 0.25)
        assert (good.number, good.state) == (2, "success")
        assert await at.history.attempts(run_id) == [], "none of them is at the node as a whole"
        (record,) = await at.history.nodes(run_id)
        assert record.attempts == 1


async def test_an_attempt_is_on_record_before_a_worker_has_its_item() -> None:
    had: list[list[str]] = []
    history = MemoryHistory()

    async def play(task: Any, listener: Any, stop: Any) -> Any:
        del listener, stop
        known = await history.attempts(task.run_id, "each", item=task.item_number)
        states = [attempt.state for attempt in known]
        had.append([*states, *(str(i.state) for i in await history.items(task.run_id, "each"))])
        return ended(task)

    node = each(["a", "b"], "work", max_parallel=1)
    async with world(flow(node), registry=WITH_TASKS, scripts=[play], history=history) as at:
        await submit(at)
        await at.settle()
    assert had == [["running", "running", "pending"], ["running", "success", "running"]]


async def test_attempts_at_several_items_share_transactions() -> None:
    node = each(list(range(4)), "work")

    async def play(task: Any, listener: Any, stop: Any) -> Any:
        del listener, stop
        return ended(task)

    async with world(flow(node), registry=WITH_TASKS, scripts=[play]) as at:
        await submit(at)
        await at.settle()
        changes = [change for event in at.seen.of(ItemsChanged) for change in event.changes]
        assert len(changes) == 8
        assert len(at.seen.of(ItemsChanged)) < len(changes)
        assert sorted(event.item for event in at.seen.of(AttemptStarted)) == [0, 1, 2, 3]


async def test_a_kill_closes_tries_of_items_as_interrupted_and_consumes_none() -> None:
    history = Dying()

    async def hang(task: Any, listener: Any, stop: Any) -> Any:
        del listener
        if task.item_number == 0 and task.attempt == 1:
            return failed(task)
        await stop.wait()
        raise AssertionError("killed before it ended")

    async def fail(task: Any, listener: Any, stop: Any) -> Any:
        del listener, stop
        return failed(task)

    node = each(["a", "b"], "work", retry=RetryPolicy(max_attempts=2, backoff_s=1))
    run_id = ""
    with suppress(BaseExceptionGroup):
        async with world(flow(node), registry=WITH_TASKS, scripts=[hang], history=history) as at:
            run_id = await submit(at)
            await at.settle(5)
            history.left = 0
    history.left = 1_000_000
    running = await history.attempts(run_id)
    assert [(a.item, a.number, a.state) for a in running] == [(1, 1, "running"), (0, 2, "running")]
    async with world(flow(node), registry=WITH_TASKS, scripts=[fail], history=history) as at:
        await at.settle(60)
        assert await run_state(at, run_id) is RunState.FAILED
        found = [[(a.number, a.state) for a in await tries_at(at, run_id, n)] for n in (0, 1)]
        assert found == [
            [(1, "failed"), (2, "interrupted"), (3, "failed")],
            [(1, "interrupted"), (2, "failed"), (3, "failed")],
        ]
        assert {item.state for item in await items_of(at, run_id)} == {NodeState.FAILED}


async def test_a_tidy_stop_closes_tries_of_items_by_itself() -> None:
    async def hang(task: Any, listener: Any, stop: Any) -> Any:
        del task, listener
        await stop.wait()
        raise AssertionError("stopped before it ended")

    history = MemoryHistory()
    node = each(["a", "b"], "work")
    async with world(flow(node), registry=WITH_TASKS, scripts=[hang], history=history) as at:
        run_id = await submit(at)
        await at.settle(5)
        assert [a.state for a in await history.attempts(run_id)] == ["running", "running"]
    assert await history.attempts(run_id) == []
    assert [a.state for a in await tries_at(at, run_id, 0)] == ["interrupted"]


async def test_a_node_that_is_cancelled_closes_the_tries_of_its_items() -> None:
    async def hang(task: Any, listener: Any, stop: Any) -> Any:
        del task, listener
        await stop.wait()
        raise AssertionError("cancelled before it ended")

    node = each(["a", "b", "c"], "work")
    async with world(flow(node), registry=WITH_TASKS, scripts=[hang]) as at:
        run_id = await submit(at)
        await at.settle(5)
        await at.engine.control.cancel_node(run_id, "each", by="me")
        await at.settle()
        assert await at.history.attempts(run_id) == []
        tries = [[a.state for a in await tries_at(at, run_id, number)] for number in range(3)]
        assert tries == [["interrupted"], ["interrupted"], []]
        assert {item.state for item in await items_of(at, run_id)} == {NodeState.CANCELLED}


async def test_log_lines_belong_to_an_attempt_at_an_item_and_have_a_bound_of_their_own() -> None:
    async def talk(task: Any, listener: Any, stop: Any) -> Any:
        del stop
        text = "x" * (MAX_ITEM_LOG_BYTES + 1) if task.item_number == 0 else "hello"
        line = LogLine(at=at.clock.now(), stream="stdout", level="INFO", text=text)
        await listener.hear(Logged(node="each", lines=(line,)))
        return ended(task)

    node = each(["a", "b"], "work", max_parallel=1)
    async with world(flow(node), registry=WITH_TASKS, scripts=[talk]) as at:
        run_id = await submit(at)
        await at.settle()
        lines = await at.history.logs(run_id, node="each")
        assert [(kept.item, kept.attempt) for kept in lines] == [(0, 1), (1, 1)]
        assert lines[0].line.text.startswith("truncated: this attempt logged more than 65536 bytes")
        assert [kept.line.text for kept in await at.history.logs(run_id, node="each", item=1)] == [
            "hello"
        ]
