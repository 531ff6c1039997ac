"""The desk: who waits, why, and that every turn comes back."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from doubles.worker_nodes import chain_task

from openbell.execution.turns import Lease
from openbell.supervisor.desk import Ask, Desk, leases_of
from openbell.testing import START, ManualClock

pytestmark = pytest.mark.unit


def desk(*, workers: int = 1, **pools: int) -> Desk:
    return Desk(ManualClock(START), max_workers=workers, pools=pools)


async def sit(at: Desk, ask: Ask, order: list[str], until: anyio.Event | None = None) -> None:
    async with at.turn(ask):
        order.append(ask.node)
        if until is not None:
            await until.wait()


async def test_the_highest_priority_goes_first_and_says_why_the_others_wait() -> None:
    at, order, over = desk(), list[str](), anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sit, at, Ask(run_id="r0", node="first"), order, over)
        await anyio.wait_all_tasks_blocked()
        for node, priority in (("low", 1), ("high", 9), ("middle", 5)):
            tasks.start_soon(sit, at, Ask(run_id=node, node=node, priority=priority), order)
        await anyio.wait_all_tasks_blocked()
        assert [(w.node, w.position) for w in at.waiting()] == [
            ("high", 1),
            ("middle", 2),
            ("low", 3),
        ]
        assert at.reason("low", "low") == "all workers are busy (1 of 1)"
        assert at.reason("r0", "first") == ""
        assert at.reason("nobody", "nothing") == ""
        assert at.prioritise("low", 9) == 1
        assert at.prioritise("r0", 9) == 0
        over.set()
    assert order == ["first", "low", "high", "middle"]
    assert at.waiting() == []


async def test_a_full_pool_keeps_only_its_own_waiting() -> None:
    at, order, over = desk(workers=3, vendor=1), list[str](), anyio.Event()
    async with anyio.create_task_group() as tasks:
        for node, pool in (("a", "vendor"), ("b", "vendor"), ("c", None)):
            tasks.start_soon(sit, at, Ask(run_id=node, node=node, pool=pool), order, over)
            await anyio.wait_all_tasks_blocked()
        assert order == ["a", "c"]
        assert at.reason("b", "b") == "pool vendor is full (1 of 1)"
        at.resize(max_workers=3, pools={"vendor": 2})
        await anyio.wait_all_tasks_blocked()
        assert order == ["a", "c", "b"]
        over.set()


async def test_one_writer_at_a_time_writes_an_interval() -> None:
    at, order, over = desk(workers=3), list[str](), anyio.Event()
    lease = Lease(storage="primary", dataset="bars", start_us=0, end_us=10)
    async with anyio.create_task_group() as tasks:
        for node in ("a", "b"):
            ask = Ask(run_id=f"run_{node}", node=node, leases=(lease,))
            tasks.start_soon(sit, at, ask, order, over)
            await anyio.wait_all_tasks_blocked()
        reason = "dataset bars in primary is being written by run run_a"
        assert [w.reason for w in at.waiting()] == [reason]
        over.set()
    assert order == ["a", "b"]


async def test_a_turn_comes_back_however_it_ends() -> None:
    at, order = desk(), list[str]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sit, at, Ask(run_id="r", node="held"), order, anyio.Event())
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(sit, at, Ask(run_id="r", node="waits"), order)
        tasks.start_soon(sit, at, Ask(run_id="r", node="live", owns_worker=True), order)
        await anyio.wait_all_tasks_blocked()
        assert order == ["held", "live"]
        tasks.cancel_scope.cancel()
    with pytest.raises(ValueError, match="too bad"):
        async with at.turn(Ask(run_id="r", node="fails")):
            raise ValueError("too bad")
    await sit(at, Ask(run_id="r", node="again"), order)
    assert order[-1] == "again"
    assert at.waiting() == []


def test_a_priority_is_one_of_ten() -> None:
    with pytest.raises(ValueError, match="from 0 to 9"):
        desk().prioritise("r", 10)


def test_a_chain_leases_what_it_writes() -> None:
    task = chain_task(Path("unused"))
    assert leases_of(task) == ()
    write = task.nodes[1]
    maker = type(write.maker)(name="w", factory="f", model="m", settings={"to": "lake"})
    node = type(write)(name="w", op="write", maker=maker, needs={})
    task = chain_task(Path("unused"), nodes=(task.nodes[0], node))
    (lease,) = leases_of(task)
    assert (lease.storage, lease.dataset) == ("lake", "bars")
    assert leases_of(chain_task(Path("unused"), nodes=task.nodes, dry_run=True)) == ()
    assert leases_of(chain_task(Path("unused"), nodes=task.nodes, live=True)) == ()
