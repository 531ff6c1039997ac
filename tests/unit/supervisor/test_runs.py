"""One run on a manual clock: its attempts, its retries, its end."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import anyio
import pytest
from doubles.scripted import (
    JOB,
    Answer,
    commit,
    ends,
    fail,
    node_states,
    pipeline,
    run_state,
    succeed,
    until_stopped,
    world,
)

from openbell.execution.pool import Listener, StopSignal
from openbell.execution.process import WorkerLostError
from openbell.execution.protocol import ChainTask, NodeEnd
from openbell.model.control import (
    ConflictError,
)
from openbell.model.events import AttemptStarted
from openbell.model.pipelines import Node
from openbell.model.runs import RunState

pytestmark = pytest.mark.unit


async def test_a_run_goes_from_submission_to_success() -> None:
    async with world() as at:
        run = await at.engine.submit(JOB)
        assert run.state is RunState.QUEUED
        assert run.params == {"from": "2026-01-05", "to": "2026-01-09"}
        await at.settle()
        assert await run_state(at, run.run_id) is RunState.SUCCESS
        assert await node_states(at, run.run_id) == {
            "fetch": "success",
            "check": "success",
            "publish": "success",
            "hold": "skipped",
        }
        (task,) = at.pool.tasks
        assert [node.name for node in task.nodes] == ["fetch", "check", "publish", "hold"]
        assert task.dataset.batch_rows == 10
        assert len(task.dataset.sessions) == 5
        assert task.traceparent.split("-")[1] == run.trace_id
        (started,) = at.seen.of(AttemptStarted)
        assert started.calendar == task.dataset.sessions.calendar
        assert started.calendar_digest == task.dataset.sessions.digest != ""


async def test_a_transient_failure_is_tried_again_after_a_delay_that_grows() -> None:
    async with world(scripts=[fail(), fail(), succeed]) as at:
        run = await at.engine.submit(JOB)
        await at.settle(9)
        assert len(at.pool.tasks) == 1
        states = await node_states(at, run.run_id)
        assert states["fetch"] == "retrying"
        await at.settle(1)
        assert len(at.pool.tasks) == 2
        await at.settle(20)
        assert await run_state(at, run.run_id) is RunState.SUCCESS
        assert [a.state for a in await at.history.attempts(run.run_id)] == [
            "failed",
            "failed",
            "success",
        ]


async def test_attempts_used_up_fail_the_node_and_the_run() -> None:
    async with world(scripts=[fail()]) as at:
        run = await at.engine.submit(JOB)
        await at.settle(1000)
        ended = await at.history.run(run.run_id)
        assert ended is not None
        assert (ended.state, ended.error) == (RunState.FAILED, "fetch: transient trouble")
        assert len(at.pool.tasks) == 3
        assert await node_states(at, run.run_id) == {
            "fetch": "failed",
            "check": "upstream_failed",
            "publish": "upstream_failed",
            "hold": "upstream_failed",
        }


async def test_fatal_failures_are_not_tried_again() -> None:
    async with world(scripts=[fail("auth", is_retryable=False)]) as at:
        run = await at.engine.submit(JOB)
        await at.settle(1000)
        assert await run_state(at, run.run_id) is RunState.FAILED
        assert len(at.pool.tasks) == 1


async def test_a_failing_sink_leaves_the_nodes_before_it_cancelled() -> None:
    async with world(scripts=[fail("data", node="publish", is_retryable=False)]) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        assert await node_states(at, run.run_id) == {
            "fetch": "cancelled",
            "check": "cancelled",
            "publish": "failed",
            "hold": "cancelled",
        }


async def test_a_lost_worker_fails_its_attempt_alone() -> None:
    async def lost(*_: object) -> WorkerLostError:
        return WorkerLostError(7, -11, "Segmentation fault")

    async with world(scripts=[lost, succeed]) as at:
        run = await at.engine.submit(JOB)
        await at.settle(20)
        assert await run_state(at, run.run_id) is RunState.SUCCESS
        first, second = await at.history.attempts(run.run_id)
        assert (first.error_kind, second.state) == ("worker_lost", "success")
        assert "SIGSEGV" in first.error
        assert first.traceback == "Segmentation fault"


async def test_a_retry_goes_on_after_the_last_chunk_and_progress_earns_new_attempts() -> None:
    from doubles.scripted import commit

    async def one_chunk_then_fail(task, listener, stop):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        await commit(task, listener, number=task.first_chunk, rows=10)
        return await fail()(task, listener, stop)

    async with world(scripts=[*[one_chunk_then_fail] * 5, succeed]) as at:
        run = await at.engine.submit(JOB)
        await at.settle(1000)
        assert await run_state(at, run.run_id) is RunState.SUCCESS
        assert [t.first_chunk for t in at.pool.tasks] == [0, 1, 2, 3, 4, 5]
        assert at.pool.tasks[3].cursor == "after 2"
        nodes = {n.node: n.totals for n in await at.history.nodes(run.run_id)}
        assert nodes["publish"].rows_written == 60
        assert nodes["fetch"].rows_in == 60


async def test_a_gate_that_refuses_everything_skips_publishing() -> None:
    async def refused(task, listener, stop):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        from openbell.execution.protocol import Done

        found = ends(task, 10, verdict="fail")
        found["publish"] = replace_end(found["publish"])
        return Done(ends=found)

    async with world(scripts=[refused]) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        assert await node_states(at, run.run_id) == {
            "fetch": "success",
            "check": "success",
            "publish": "skipped",
            "hold": "success",
        }


def replace_end(end: NodeEnd) -> NodeEnd:
    import msgspec

    return msgspec.structs.replace(end, was_reached=False)


async def test_runs_of_one_pipeline_wait_for_each_other() -> None:
    async with world(scripts=[until_stopped]) as at:
        first, second = await at.engine.submit(JOB), await at.engine.submit(JOB)
        await at.settle()
        assert await run_state(at, first.run_id) is RunState.RUNNING
        assert await run_state(at, second.run_id) is RunState.QUEUED
        (status,) = at.engine.pipelines()
        assert (status.active_runs, status.queued_runs) == (1, 1)
        await at.engine.cancel(first.run_id, by="me")
        await at.settle()
        assert await run_state(at, first.run_id) is RunState.CANCELLED
        assert await run_state(at, second.run_id) is RunState.RUNNING


async def test_a_queued_run_can_be_cancelled() -> None:
    async with world(scripts=[until_stopped]) as at:
        await at.engine.submit(JOB)
        second = await at.engine.submit(JOB)
        await at.engine.cancel(second.job_id, by="me")
        await at.settle()
        assert await run_state(at, second.run_id) is RunState.CANCELLED
        assert set((await node_states(at, second.run_id)).values()) == {"cancelled"}
        with pytest.raises(ConflictError, match="ended already"):
            await at.engine.cancel(second.run_id, by="me")


async def test_an_ended_run_is_retried_under_the_same_submission() -> None:
    async with world(scripts=[fail("auth", is_retryable=False), succeed]) as at:
        run = await at.engine.submit(replace(JOB, start=date(2026, 1, 6)))
        with pytest.raises(ConflictError, match="only an ended run"):
            await at.engine.retry(run.run_id, by="me")
        await at.settle()
        again = await at.engine.retry(run.run_id, by="me")
        await at.settle()
        assert (again.job_id, again.retry_of) == (run.job_id, run.run_id)
        assert again.params == run.params
        assert await run_state(at, again.run_id) is RunState.SUCCESS


async def commits_then(task: ChainTask, listener: Listener, stop: StopSignal) -> Answer:
    await commit(task, listener, number=task.first_chunk, rows=10)
    return await fail("auth", is_retryable=False)(task, listener, stop)


async def test_a_retried_run_goes_on_after_the_last_batch_of_the_one_that_failed() -> None:
    async with world(
        scripts=[commits_then, commits_then, fail("auth", is_retryable=False), succeed]
    ) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        for _ in range(3):
            run = await at.engine.retry(run.run_id, by="me")
            await at.settle()
        assert await run_state(at, run.run_id) is RunState.SUCCESS
        assert [t.first_chunk for t in at.pool.tasks] == [0, 1, 2, 2]
        assert at.pool.tasks[3].cursor == "after 1"
        nodes = {n.node: n.totals for n in await at.history.nodes(run.run_id)}
        assert nodes["publish"].rows_written == 10, "its own rows alone"
        again = await at.engine.retry(run.run_id, by="me")
        await at.settle()
        assert at.pool.tasks[-1].first_chunk == 0, "a run that succeeded is done anew"
        assert await run_state(at, again.run_id) is RunState.SUCCESS


async def test_timeouts_stop_the_attempt_and_count() -> None:
    async def deaf(*_: object) -> Answer:
        await anyio.sleep_forever()
        raise AssertionError

    slow = pipeline()
    fetch = replace(slow.nodes[0], timeout_s=5.0)
    async with world(replace(slow, nodes=(fetch, *slow.nodes[1:])), scripts=[deaf, succeed]) as at:
        run = await at.engine.submit(JOB)
        await at.settle(20)
        assert await run_state(at, run.run_id) is RunState.SUCCESS
        first = (await at.history.attempts(run.run_id))[0]
        assert (first.state, first.error_kind) == ("failed", "timeout")


async def test_a_run_that_takes_too_long_fails_with_the_reason() -> None:
    async def deaf(*_: object) -> Answer:
        await anyio.sleep_forever()
        raise AssertionError

    async with world(pipeline(timeout_s=60.0), scripts=[deaf]) as at:
        run = await at.engine.submit(JOB)
        await at.settle(61)
        ended = await at.history.run(run.run_id)
        assert ended is not None
        assert (ended.state, ended.reason) == (RunState.FAILED, "timeout")
        assert set((await node_states(at, run.run_id)).values()) == {"cancelled"}


async def test_a_live_run_ends_well_when_its_time_is_over() -> None:
    async with world(pipeline(mode="live", start=None, end=None), scripts=[until_stopped]) as at:
        run = await at.engine.submit(replace(JOB, stop_after_s=600.0))
        await at.settle(599)
        assert await run_state(at, run.run_id) is RunState.RUNNING
        await at.settle(2)
        assert await run_state(at, run.run_id) is RunState.SUCCESS


async def test_a_run_of_no_session_fails_with_the_reason() -> None:
    async with world() as at:
        run = await at.engine.submit(replace(JOB, start=date(2026, 1, 3), end=date(2026, 1, 4)))
        await at.settle()
        ended = await at.history.run(run.run_id)
        assert ended is not None
        assert "no session from 2026-01-03 to 2026-01-04" in ended.error


async def test_a_source_may_wait_for_another_chain() -> None:
    late = Node(name="late", op="ingest", needs={"publish": ()}, settings={"dataset": "bars"})
    store = Node(name="store", op="write", needs={"late": ()}, settings={"to": "primary"})
    base = pipeline()
    whole = replace(base, nodes=(*base.nodes, late, store))
    async with world(whole) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        assert [t.nodes[0].name for t in at.pool.tasks] == ["fetch", "late"]
        assert await run_state(at, run.run_id) is RunState.SUCCESS
    async with world(whole, scripts=[fail("auth", is_retryable=False), succeed]) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        states = await node_states(at, run.run_id)
        assert (states["late"], states["store"]) == ("upstream_failed", "upstream_failed")
