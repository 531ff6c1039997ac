"""Whatever stops the engine or an actor, what was accepted goes on, once."""

from __future__ import annotations

import anyio
import pytest
from doubles.scripted import (
    JOB,
    Answer,
    pipeline,
    run_state,
    succeed,
    until_stopped,
    world,
)

from openbell.model.control import (
    NotAcceptedError,
    Submission,
)
from openbell.model.events import (
    ActorCrashed,
    AttemptFinished,
    NodeChanged,
    PipelineParked,
)
from openbell.model.runs import NodeState, RunState
from openbell.supervisor.restart import RestartPolicy
from openbell.testing import MemoryHistory

pytestmark = pytest.mark.unit


async def test_drain_interrupts_after_the_chunk_in_hand_and_the_next_start_goes_on() -> None:
    history = MemoryHistory()
    async with world(scripts=[until_stopped], history=history) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        at.engine.request_stop(fast=False)
        await at.settle()
        assert at.engine.drained.is_set()
        with pytest.raises(NotAcceptedError, match="draining"):
            await at.engine.submit(JOB)
    assert (await history.attempts(run.run_id))[0].state == "interrupted"
    async with world(history=history) as at:
        await at.settle()
        assert await run_state(at, run.run_id) is RunState.SUCCESS
        assert at.pool.tasks[0].first_chunk == 1
        assert at.pool.tasks[0].attempt == 2


async def test_a_second_signal_stops_at_once_and_nothing_is_lost() -> None:
    async def deaf(*_: object) -> Answer:
        await anyio.sleep_forever()
        raise AssertionError

    history = MemoryHistory()
    async with world(scripts=[deaf], history=history) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        at.engine.request_stop(fast=False)
        await at.settle()
        assert not at.engine.drained.is_set()
        at.engine.request_stop(fast=True)
        await at.settle()
        assert at.engine.drained.is_set()
    assert (await history.attempts(run.run_id))[0].state == "interrupted"
    async with world(history=history) as at:
        await at.settle()
        assert await run_state(at, run.run_id) is RunState.SUCCESS


async def test_a_drain_that_takes_too_long_is_cut_short() -> None:
    async def deaf(*_: object) -> Answer:
        await anyio.sleep_forever()
        raise AssertionError

    async with world(scripts=[deaf]) as at:
        await at.engine.submit(JOB)
        await at.settle()
        at.engine.request_stop(fast=False)
        await at.settle(59)
        assert not at.engine.drained.is_set()
        await at.settle(2)
        assert at.engine.drained.is_set()


async def test_a_crashed_actor_starts_again_and_its_run_goes_on() -> None:
    async def crash(*_: object) -> RuntimeError:
        return RuntimeError("a bug")

    async with world(scripts=[crash, succeed]) as at:
        run = await at.engine.submit(JOB)
        await at.settle(1)
        assert await run_state(at, run.run_id) is RunState.SUCCESS
        (crashed,) = at.seen.of(ActorCrashed)
        assert "a bug" in crashed.error
        assert at.engine.pipelines()[0].restarts == 1


async def test_a_pipeline_that_keeps_crashing_is_parked_with_the_reason() -> None:
    async def crash(*_: object) -> RuntimeError:
        return RuntimeError("a bug")

    policy = RestartPolicy(limit=2, base_s=1.0)
    async with world(
        pipeline(), pipeline("other"), scripts=[crash] * 3 + [succeed], policy=policy
    ) as at:
        run = await at.engine.submit(JOB)
        await at.settle(10)
        assert len(at.seen.of(PipelineParked)) == 1
        status = {p.name: p for p in at.engine.pipelines()}
        assert (status["job"].state, status["other"].state) == ("parked", "active")
        assert "a bug" in status["job"].reason
        assert at.engine.status().parked == 1
        with pytest.raises(NotAcceptedError, match="parked"):
            await at.engine.submit(JOB)
        await at.engine.resume("job")
        await at.settle()
        assert await run_state(at, run.run_id) is RunState.SUCCESS


async def test_open_runs_of_a_removed_pipeline_end_at_the_next_start() -> None:
    history = MemoryHistory()
    async with world(pipeline(), pipeline("old"), scripts=[until_stopped], history=history) as at:
        run = await at.engine.submit(Submission(pipeline="old"))
        await at.settle()
        at.engine.request_stop(fast=True)
        await at.settle()
    async with world(history=history) as at:
        await at.settle()
        ended = await at.history.run(run.run_id)
        assert ended is not None
        assert (ended.state, ended.reason) == (RunState.FAILED, "pipeline_removed")


async def test_what_was_cancelled_while_nobody_looked_stays_cancelled() -> None:
    history = MemoryHistory()
    async with world(scripts=[until_stopped], history=history) as at:
        await at.engine.pause("job")
        run = await at.engine.submit(JOB)
        at.engine.request_stop(fast=False)
        await at.settle()
    from openbell.model.events import RunCancelRequested

    await history.record(RunCancelRequested(at=run.submitted_at, run_id=run.run_id, pipeline="job"))
    async with world(history=history) as at:
        await at.settle()
        assert await run_state(at, run.run_id) is RunState.CANCELLED
        assert at.pool.tasks == []


async def test_attempts_of_an_earlier_process_are_closed_as_interrupted() -> None:
    async with world(scripts=[until_stopped]) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        assert any(e.state is NodeState.RUNNING for e in at.seen.of(NodeChanged))
        await at.engine.cancel(run.run_id, by="x")
        await at.settle()
        assert [e.state for e in at.seen.of(AttemptFinished)] == ["interrupted"]
