"""Nodes with `for_each`: each item by itself, all of them one node."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from doubles.items import WITH_TASKS, each, ended, failed, flow, items_of, submit
from doubles.scripted import World, run_state, world

from openbell.execution.protocol import Done
from openbell.model.events import ItemsChanged, ItemsListed
from openbell.model.pipelines import Node, RetryPolicy
from openbell.model.runs import NodeState, RunState
from openbell.testing import MemoryHistory

pytestmark = pytest.mark.unit


async def test_every_item_has_its_own_state_and_the_node_collects_what_they_made() -> None:
    after = Node(name="after", op="branch", needs={"each": ()}, settings={"of": "each"})
    node = each([{"symbol": "AAPL"}, {"symbol": "MSFT"}], value="got ${item.symbol}")
    async with world(flow(node, after), registry=WITH_TASKS) as at:
        run_id = await submit(at)
        await at.settle()
        assert await run_state(at, run_id) is RunState.SUCCESS
        found = await items_of(at, run_id)
        assert [(i.number, i.item, str(i.state), i.attempts) for i in found] == [
            (0, {"symbol": "AAPL"}, "success", 1),
            (1, {"symbol": "MSFT"}, "success", 1),
        ]
        made = {n.node: n.output for n in await at.history.nodes(run_id)}["each"]
        assert made is not None
        assert made["kind"] == "value"
        assert [line["value"] for line in made["value"]] == ["got AAPL", "got MSFT"]
        assert len(at.seen.of(ItemsChanged)) == 1, "what takes no time is one transaction"


async def test_items_come_from_a_parameter_a_file_or_another_node(tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text('{"a": 1}\nplain words\n7\n', encoding="utf-8")
    whole = tmp_path / "whole.json"
    whole.write_text("[1, 2]", encoding="utf-8")
    first = Node(name="first", op="noop", settings={"value": ["x", "y", "z"]})
    wanted: dict[str, tuple[Node, list[Any]]] = {
        "param": (each({"param": "universe"}), ["A", "B"]),
        "lines": (each({"file": str(lines)}), [{"a": 1}, "plain words", 7]),
        "whole": (each({"file": "${folder}/whole.json"}), [1, 2]),
        "output": (each({"output": "first"}, needs={"first": ()}), ["x", "y", "z"]),
    }
    for node, items in wanted.values():
        params = {"universe": ["A", "B"], "folder": str(tmp_path)}
        async with world(flow(first, node, **params), registry=WITH_TASKS) as at:
            run_id = await submit(at)
            await wait_for_files(at)
            assert await run_state(at, run_id) is RunState.SUCCESS
            assert [item.item for item in await items_of(at, run_id)] == items


async def wait_for_files(at: World) -> None:
    import anyio

    for _ in range(50):
        await at.settle()
        await anyio.sleep(0.01)
        if not any(status.active_runs for status in at.engine.pipelines()):
            return


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ({"param": "nothing"}, "no list"),
        ({"file": "/nowhere/at/all"}, "cannot be read"),
        ({"output": "first"}, "made nothing"),
    ],
)
async def test_what_is_no_list_fails_the_node(items: Any, message: str) -> None:
    first = Node(name="first", op="noop")
    async with world(
        flow(first, each(items, needs={"first": ()}), nothing=3), registry=WITH_TASKS
    ) as at:
        run_id = await submit(at)
        await wait_for_files(at)
        ended = await at.history.run(run_id)
        assert ended is not None
        assert ended.state is RunState.FAILED
        assert message in ended.error


async def test_no_more_than_asked_run_at_once() -> None:
    node = each(list(range(7)), seconds=10, max_parallel=3)
    async with world(flow(node), registry=WITH_TASKS) as at:
        run_id = await submit(at)
        await at.settle(1)
        states = Counter(str(item.state) for item in await items_of(at, run_id))
        assert states == {"running": 3, "pending": 4}
        await at.settle(10)
        states = Counter(str(item.state) for item in await items_of(at, run_id))
        assert states == {"success": 3, "running": 3, "pending": 1}
        await at.settle(30)
        assert await run_state(at, run_id) is RunState.SUCCESS


async def test_one_item_is_tried_again_and_the_others_are_not() -> None:
    tries: Counter[int] = Counter()

    async def play(task: Any, listener: Any, stop: Any) -> Any:
        del listener, stop
        tries[task.item] += 1
        return failed(task) if task.item == 2 and tries[2] < 3 else ended(task, value=task.item)

    node = each([1, 2, 3], "work", retry=RetryPolicy(max_attempts=3, backoff_s=10))
    async with world(flow(node), registry=WITH_TASKS, scripts=[play]) as at:
        run_id = await submit(at)
        await at.settle(5)
        assert [str(item.state) for item in await items_of(at, run_id)] == [
            "success",
            "retrying",
            "success",
        ]
        await at.settle(60)
        assert await run_state(at, run_id) is RunState.SUCCESS
        assert tries == {1: 1, 2: 3, 3: 1}
        assert [item.attempts for item in await items_of(at, run_id)] == [1, 3, 1]


async def test_a_failed_item_fails_the_node_after_all_were_tried() -> None:
    async def play(task: Any, listener: Any, stop: Any) -> Any:
        del listener, stop
        return failed(task, "auth") if task.item == "bad" else ended(task)

    node = each(["bad", "good", "fine"], "work")
    async with world(flow(node), registry=WITH_TASKS, scripts=[play]) as at:
        run_id = await submit(at)
        await at.settle()
        found = await at.history.run(run_id)
        assert found is not None
        assert found.error == "each: 1 of 3 items failed: [0] trouble"
        (node_now,) = await at.history.nodes(run_id)
        assert node_now.output is not None, "whoever deals with it finds what the others made"
        made = [(line["outcome"], line.get("error")) for line in node_now.output["value"]]
        assert made == [("failed", "trouble"), ("success", None), ("success", None)]
        assert [str(item.state) for item in await items_of(at, run_id)] == [
            "failed",
            "success",
            "success",
        ]


async def test_after_a_restart_only_what_did_not_end_is_done() -> None:
    history = MemoryHistory()
    done: list[int] = []

    async def play(task: Any, listener: Any, stop: Any) -> Any:
        del listener
        if task.item >= 3:
            await stop.wait()
            return Done(is_interrupted=True)
        done.append(task.item)
        return ended(task)

    async def finish(task: Any, listener: Any, stop: Any) -> Any:
        del listener, stop
        done.append(task.item)
        return ended(task)

    node = each(list(range(6)), "work", max_parallel=2)
    async with world(flow(node), registry=WITH_TASKS, scripts=[play], history=history) as at:
        run_id = await submit(at)
        await at.settle()
        at.engine.request_stop(fast=False)
        await at.settle()
        assert at.engine.drained.is_set()
    async with world(flow(node), registry=WITH_TASKS, scripts=[finish], history=history) as at:
        await at.settle()
        assert await run_state(at, run_id) is RunState.SUCCESS
        assert done == [0, 1, 2, 3, 4, 5]
        assert at.seen.of(ItemsListed) == []
        tries = [
            [(a.number, a.state) for a in await at.history.attempts(run_id, "each", item=number)]
            for number in range(6)
        ]
        again = [[(1, "interrupted"), (2, "success")]] * 2
        assert tries == [[(1, "success")]] * 3 + again + [[(1, "success")]]


async def test_a_waiting_item_keeps_its_time_over_a_restart() -> None:
    history = MemoryHistory()
    node = each(["a", "b"], seconds=100)
    async with world(flow(node), registry=WITH_TASKS, history=history) as at:
        run_id = await submit(at)
        await at.settle(60)
    async with world(flow(node), registry=WITH_TASKS, history=history) as at:
        await at.settle(101)
        assert await run_state(at, run_id) is RunState.SUCCESS
        assert all(item.state is NodeState.SUCCESS for item in await items_of(at, run_id))


async def test_people_answer_each_item() -> None:
    node = each(["a", "b"], "approve")
    async with world(flow(node), registry=WITH_TASKS) as at:
        run_id = await submit(at)
        await at.settle()
        assert [asked.item for asked in await at.history.approvals(run_id)] == [0, 1]
        for number in (0, 1):
            await at.engine.answer(run_id, "each", "approved", by="me", item=number)
        await at.settle()
        assert await run_state(at, run_id) is RunState.SUCCESS


async def test_an_item_without_a_key_that_is_asked_for_fails_alone() -> None:
    node = each([{"symbol": "A"}, {"name": "B"}], value="${item.symbol}")
    async with world(flow(node), registry=WITH_TASKS) as at:
        run_id = await submit(at)
        await at.settle()
        good, bad = await items_of(at, run_id)
        assert (good.state, bad.state) == (NodeState.SUCCESS, NodeState.FAILED)
        assert "the item has no 'symbol'" in bad.error


async def test_a_long_result_is_a_file_of_lines(tmp_path: Path) -> None:
    node = each(list(range(2500)), value="x" * 100)
    async with world(flow(node), registry=WITH_TASKS) as at:
        at.services.state_dir = tmp_path
        run_id = await submit(at)
        await wait_for_files(at)
        assert await run_state(at, run_id) is RunState.SUCCESS
        (record,) = await at.history.nodes(run_id)
        assert record.output is not None
        assert (record.output["kind"], record.output["rows"]) == ("spool", 2500)
        lines = Path(record.output["path"]).read_text(encoding="utf-8").splitlines()
        assert json.loads(lines[-1])["item"] == 2499
