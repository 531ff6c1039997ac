"""Definitions leave and come back while runs are under way, and pipelines are parked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio
import pytest
from doubles.scripted import (
    JOB,
    Answer,
    commit,
    deployment,
    fail,
    node_states,
    pipeline,
    run_state,
    succeed,
    until_stopped,
    world,
)
from typing_extensions import override

from openbell.execution.pool import Listener, StopSignal
from openbell.execution.protocol import Ask, ChainTask
from openbell.model.control import Submission
from openbell.model.events import (
    ActorCrashed,
    Event,
    StoredEvent,
)
from openbell.model.pipelines import Node
from openbell.model.runs import RunState
from openbell.supervisor.restart import RestartPolicy
from openbell.testing import MemoryHistory

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("what", ["storage", "provider", "dataset"])
async def test_a_reload_does_not_touch_a_run_that_uses_what_is_gone(what: str) -> None:
    found = deployment()
    gone: dict[str, Any] = {
        "storage": {"storage": {}},
        "provider": {"providers": {}},
        "dataset": {"datasets": {}},
    }[what]
    answers: list[tuple[bool, int]] = []

    async def ask_then_fail(task: ChainTask, listener: Listener, stop: StopSignal) -> Answer:
        await commit(task, listener, number=task.first_chunk, rows=10)
        await at.engine.reload()
        answers.append(
            await listener.answer(
                Ask(ask_id=1, what="pace", provider="v", request_count=1), StopSignal()
            )
        )
        return await fail()(task, listener, stop)

    async with world(
        configured=found,
        scripts=[ask_then_fail, succeed],
        reloaded=lambda: replace(found, **gone, pipelines=found.pipelines),
    ) as at:
        run = await at.engine.submit(JOB)
        await at.settle(60)
        assert at.seen.of(ActorCrashed) == []
        assert answers[0][0]
        assert await run_state(at, run.run_id) is RunState.SUCCESS


async def test_a_run_of_an_operator_that_is_not_installed_any_more_fails_with_the_reason() -> None:
    history = MemoryHistory()
    odd = replace(
        pipeline(), nodes=(*pipeline().nodes, Node(name="x", op="odd", needs={"check": ()}))
    )
    from doubles import scripted

    with_odd = replace(
        scripted.REGISTRY,
        operators={**scripted.REGISTRY.operators, "odd": scripted.spec_of("odd", "sink")},
    )
    async with world(odd, scripts=[until_stopped], history=history, registry=with_odd) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
    async with world(pipeline(), history=history) as at:
        await at.settle(60)
        ended = await at.history.run(run.run_id)
        assert ended is not None
        assert ended.state is RunState.FAILED
        assert "odd" in ended.error
        assert at.seen.of(ActorCrashed) == []


async def test_a_retry_of_one_session_is_of_the_same_session() -> None:
    from datetime import date

    async with world(scripts=[fail("auth", is_retryable=False), succeed]) as at:
        run = await at.engine.submit(replace(JOB, session=date(2026, 1, 7)))
        await at.settle()
        again = await at.engine.retry(run.run_id, by="me")
        assert again.session == "2026-01-07"


async def test_a_crash_of_a_removed_pipeline_ends_its_run_and_nothing_else() -> None:
    async def remove_and_crash(*_: object) -> Answer:
        await at.engine.reload()
        return RuntimeError("a bug")

    found = deployment(pipeline(), pipeline("old"))
    async with world(
        configured=found,
        scripts=[remove_and_crash, succeed],
        reloaded=lambda: replace(found, pipelines={"job": pipeline()}),
    ) as at:
        run = await at.engine.submit(Submission(pipeline="old"))
        await at.settle(60)
        assert await run_state(at, run.run_id) is RunState.SUCCESS
        assert [p.name for p in at.engine.pipelines()] == ["job"]


async def test_a_parked_pipeline_that_is_removed_goes_and_its_runs_end() -> None:
    async def crash(*_: object) -> Answer:
        return RuntimeError("a bug")

    found = deployment(pipeline(), pipeline("old"))
    async with world(
        configured=found,
        scripts=[crash],
        policy=RestartPolicy(limit=0),
        reloaded=lambda: replace(found, pipelines={"job": pipeline()}),
    ) as at:
        run = await at.engine.submit(Submission(pipeline="old"))
        await at.settle()
        assert at.engine.status().parked == 1
        await at.engine.reload()
        await at.settle()
        assert [p.name for p in at.engine.pipelines()] == ["job"]
        ended = await at.history.run(run.run_id)
        assert ended is not None
        assert (ended.state, ended.reason) == (RunState.FAILED, "pipeline_removed")
        assert set((await node_states(at, run.run_id)).values()) == {"cancelled"}
        assert [a.state for a in await at.history.attempts(run.run_id)] == ["interrupted"]


async def test_a_parked_pipeline_drains_at_once() -> None:
    async def crash(*_: object) -> Answer:
        return RuntimeError("a bug")

    async with world(scripts=[crash], policy=RestartPolicy(limit=0)) as at:
        await at.engine.submit(JOB)
        await at.settle()
        at.engine.request_stop(fast=False)
        await at.settle()
        assert at.engine.drained.is_set()


async def test_a_pipeline_that_waits_for_its_restart_drains_at_once() -> None:
    async def crash(*_: object) -> Answer:
        return RuntimeError("a bug")

    async with world(scripts=[crash], policy=RestartPolicy(base_s=20.0)) as at:
        await at.engine.submit(JOB)
        await at.settle(1)
        at.engine.request_stop(fast=False)
        await at.settle()
        assert at.engine.drained.is_set()


async def test_a_crashed_or_parked_pipeline_can_be_paused() -> None:
    async def crash(*_: object) -> Answer:
        return RuntimeError("a bug")

    async with world(scripts=[crash, succeed], policy=RestartPolicy(limit=0)) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        await at.engine.pause("job")
        await at.engine.resume("job")
        await at.settle()
        assert await run_state(at, run.run_id) is RunState.SUCCESS


async def test_a_pipeline_removed_and_brought_back_at_once_works() -> None:
    found = deployment(pipeline(), pipeline("old"))
    without = replace(found, pipelines={"job": pipeline()})
    turns = [without, found, without, found]
    async with world(configured=found, reloaded=lambda: turns.pop(0)) as at:
        await at.settle()
        for _ in range(4):
            await at.engine.reload()
        await at.settle()
        run = await at.engine.submit(Submission(pipeline="old"))
        await at.settle()
        assert await run_state(at, run.run_id) is RunState.SUCCESS
        assert [p.state for p in at.engine.pipelines()] == ["active", "active"]


async def test_a_run_accepted_while_its_pipeline_leaves_ends_with_the_reason() -> None:
    found = deployment(pipeline(), pipeline("old"))

    class Slow(MemoryHistory):
        @override
        async def record(self, *events: Event) -> tuple[StoredEvent, ...]:
            if any(e.name == "run.submitted" for e in events):
                await at.engine.reload()
                await anyio.wait_all_tasks_blocked()
            return await super().record(*events)

    async with world(
        configured=found,
        history=Slow(),
        reloaded=lambda: replace(found, pipelines={"job": pipeline()}),
    ) as at:
        run = await at.engine.submit(Submission(pipeline="old"))
        await at.settle()
        ended = await at.history.run(run.run_id)
        assert ended is not None
        assert (ended.state, ended.reason) == (RunState.FAILED, "pipeline_removed")
