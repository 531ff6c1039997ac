from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from anyio.abc import TaskGroup
from doubles import story

from openbell.history.errors import HistoryClosedError, HistoryReadError
from openbell.history.store import HistoryStore
from openbell.model.history import RecordRefusedError, RunFilter
from openbell.model.runs import RunState

pytestmark = pytest.mark.integration


async def test_one_bad_caller_does_not_fail_those_it_shares_a_transaction_with(
    history: HistoryStore,
) -> None:
    await history.record(story.defined(), story.submitted("run_0"))
    failures: list[str] = []

    async def submit(number: int) -> None:
        if number % 3:
            await history.record(story.submitted(f"run_{number}"), story.started(f"run_{number}"))
            return
        try:
            await history.record(story.submitted(f"run_{number}"), story.started("run_nowhere"))
        except RecordRefusedError as error:
            failures.append(error.reason)

    async with anyio.create_task_group() as tasks:
        for number in range(1, 301):
            tasks.start_soon(submit, number)
    assert len(failures) == 100
    assert len(await history.runs(RunFilter(limit=1000))) == 201
    events = await history.events(limit=10_000)
    assert len(events) == 2 + 400
    assert [event.id for event in events] == sorted(event.id for event in events)


async def test_a_value_that_no_column_takes_fails_its_caller_only(history: HistoryStore) -> None:
    await history.record(story.defined(), story.submitted())
    with pytest.raises((TypeError, OverflowError)):
        await history.record(story.submitted("run_2", params={"x": object()}))
    with pytest.raises(OverflowError):
        await history.record(story.started(), story.committed(1 << 70))
    await history.record(story.started())


async def test_a_writer_that_breaks_takes_the_store_down_and_leaves_nobody_waiting(
    database: Path,
) -> None:
    told: list[str] = []

    async def record(store: HistoryStore, number: int) -> None:
        try:
            await store.record(story.submitted(f"run_{number}"))
        except HistoryClosedError as error:
            told.append(str(error))

    def broken(_: object) -> None:
        raise RuntimeError("a bug")

    async def break_it(callers: TaskGroup) -> None:
        async with HistoryStore(database) as store:
            await store.record(story.defined())
            for number in range(1500):
                callers.start_soon(record, store, number)
            await store._change(broken)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as callers:
            with pytest.raises(ExceptionGroup) as caught:
                await break_it(callers)
    assert caught.group_contains(RuntimeError, match="a bug")
    assert len(told) > 1000


async def test_a_reader_sees_what_record_returned_for(history: HistoryStore) -> None:
    await history.record(story.defined())
    for number in range(50):
        await history.record(story.submitted(f"run_{number}"))
        assert await history.run(f"run_{number}") is not None


async def test_readers_cannot_write(history: HistoryStore) -> None:
    with pytest.raises(HistoryReadError, match="readonly"):
        async with history._readers.connection() as connection:
            await connection.execute("DELETE FROM events")


async def test_a_closed_history_says_so(database: Path) -> None:
    async with HistoryStore(database) as store:
        await store.record(story.defined())
    with pytest.raises(HistoryClosedError, match="is closed"):
        await store.record(story.submitted())
    with pytest.raises(HistoryClosedError, match="is closed"):
        await store.run("run_1")
    never_opened = HistoryStore(database)
    with pytest.raises(HistoryClosedError, match="is closed"):
        await never_opened.record(story.submitted())


async def test_leaving_waits_for_what_is_queued(database: Path) -> None:
    async with anyio.create_task_group() as tasks, HistoryStore(database) as store:
        await store.record(story.defined())
        for number in range(200):
            tasks.start_soon(store.record, story.submitted(f"run_{number}"))
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
    async with HistoryStore(database) as store:
        assert len(await store.runs(RunFilter(limit=1000))) == 200


async def test_a_cancelled_record_is_recorded_whole_or_not_at_all(history: HistoryStore) -> None:
    await history.record(story.defined())
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(
                    history.record,
                    story.submitted(f"run_{number}"),
                    story.started(f"run_{number}"),
                )
            await anyio.lowlevel.checkpoint()
            scope.cancel()
    await history.record(story.submitted("run_last"))
    states = {run.run_id: run.state for run in await history.runs(RunFilter(limit=100))}
    assert states.pop("run_last") is RunState.QUEUED
    assert set(states.values()) <= {RunState.RUNNING}
