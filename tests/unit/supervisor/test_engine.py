"""The engine on a manual clock: what is accepted ends, once, whatever happens in between."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import anyio
import pytest
from doubles.scripted import (
    World,
    deployment,
    ends,
    fail,
    pipeline,
    succeed,
    until_stopped,
    world,
)

from openbell.execution.process import WorkerLostError
from openbell.model.control import (
    ConflictError,
    NotAcceptedError,
    Submission,
    UnknownPipelineError,
    UnknownRunError,
)
from openbell.model.events import (
    ActorCrashed,
    AttemptFinished,
    ConfigReloaded,
    NodeChanged,
    PipelineParked,
    ReloadRefused,
    WorkflowDefined,
    WorkflowRetired,
)
from openbell.model.pipelines import Node
from openbell.model.runs import NodeState, RunState
from openbell.sdk import Problem, SettingsError
from openbell.supervisor.restart import RestartPolicy
from openbell.testing import MemoryHistory

pytestmark = pytest.mark.unit

JOB = Submission(pipeline="job")


async def state(at: World, run_id: str) -> RunState:
    run = await at.history.run(run_id)
    assert run is not None
    return run.state


async def node_states(at: World, run_id: str) -> dict[str, str]:
    return {n.node: str(n.state) for n in await at.history.nodes(run_id)}


async def test_a_run_goes_from_submission_to_success() -> None:
    async with world() as at:
        run = await at.engine.submit(JOB)
        assert run.state is RunState.QUEUED
        assert run.params == {"from": "2026-01-05", "to": "2026-01-09"}
        await at.settle()
        assert await state(at, run.run_id) is RunState.SUCCESS
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
        assert await state(at, run.run_id) is RunState.SUCCESS
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
        assert await state(at, run.run_id) is RunState.FAILED
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
        assert await state(at, run.run_id) is RunState.SUCCESS
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
        assert await state(at, run.run_id) is RunState.SUCCESS
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


def replace_end(end):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    import msgspec

    return msgspec.structs.replace(end, was_reached=False)


async def test_runs_of_one_pipeline_wait_for_each_other() -> None:
    async with world(scripts=[until_stopped]) as at:
        first, second = await at.engine.submit(JOB), await at.engine.submit(JOB)
        await at.settle()
        assert await state(at, first.run_id) is RunState.RUNNING
        assert await state(at, second.run_id) is RunState.QUEUED
        (status,) = at.engine.pipelines()
        assert (status.active_runs, status.queued_runs) == (1, 1)
        await at.engine.cancel(first.run_id, by="me")
        await at.settle()
        assert await state(at, first.run_id) is RunState.CANCELLED
        assert await state(at, second.run_id) is RunState.RUNNING


async def test_a_queued_run_can_be_cancelled() -> None:
    async with world(scripts=[until_stopped]) as at:
        await at.engine.submit(JOB)
        second = await at.engine.submit(JOB)
        await at.engine.cancel(second.job_id, by="me")
        await at.settle()
        assert await state(at, second.run_id) is RunState.CANCELLED
        assert set((await node_states(at, second.run_id)).values()) == {"cancelled"}
        with pytest.raises(ConflictError, match="ended already"):
            await at.engine.cancel(second.run_id, by="me")


async def test_the_same_idempotency_key_is_the_same_run() -> None:
    async with world() as at:
        one = await at.engine.submit(replace(JOB, idempotency_key="k"))
        await at.settle()
        two = await at.engine.submit(replace(JOB, idempotency_key="k"))
        assert one.run_id == two.run_id
        assert len(at.pool.tasks) == 1


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
        assert await state(at, again.run_id) is RunState.SUCCESS


async def test_what_does_not_exist_is_named() -> None:
    async with world() as at:
        with pytest.raises(UnknownPipelineError, match="there are: job"):
            await at.engine.submit(Submission(pipeline="jib"))
        with pytest.raises(UnknownRunError):
            await at.engine.cancel("run_none", by="me")
        with pytest.raises(UnknownPipelineError):
            await at.engine.pause("jib")


async def test_a_paused_pipeline_starts_nothing_until_it_is_resumed() -> None:
    async with world() as at:
        assert (await at.engine.pause("job")).state == "paused"
        run = await at.engine.submit(JOB)
        await at.settle()
        assert await state(at, run.run_id) is RunState.QUEUED
        assert (await at.engine.resume("job")).state == "active"
        await at.settle()
        assert await state(at, run.run_id) is RunState.SUCCESS


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
        assert await state(at, run.run_id) is RunState.SUCCESS
        assert at.pool.tasks[0].first_chunk == 1
        assert at.pool.tasks[0].attempt == 2


async def test_a_second_signal_stops_at_once_and_nothing_is_lost() -> None:
    async def deaf(*_: object) -> None:
        await anyio.sleep_forever()

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
        assert await state(at, run.run_id) is RunState.SUCCESS


async def test_a_drain_that_takes_too_long_is_cut_short() -> None:
    async def deaf(*_: object) -> None:
        await anyio.sleep_forever()

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
        assert await state(at, run.run_id) is RunState.SUCCESS
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
        assert await state(at, run.run_id) is RunState.SUCCESS


async def test_timeouts_stop_the_attempt_and_count() -> None:
    async def deaf(*_: object) -> None:
        await anyio.sleep_forever()

    slow = pipeline()
    fetch = replace(slow.nodes[0], timeout_s=5.0)
    async with world(replace(slow, nodes=(fetch, *slow.nodes[1:])), scripts=[deaf, succeed]) as at:
        run = await at.engine.submit(JOB)
        await at.settle(20)
        assert await state(at, run.run_id) is RunState.SUCCESS
        first = (await at.history.attempts(run.run_id))[0]
        assert (first.state, first.error_kind) == ("failed", "timeout")


async def test_a_run_that_takes_too_long_fails_with_the_reason() -> None:
    async def deaf(*_: object) -> None:
        await anyio.sleep_forever()

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
        assert await state(at, run.run_id) is RunState.RUNNING
        await at.settle(2)
        assert await state(at, run.run_id) is RunState.SUCCESS


async def test_a_run_of_no_session_fails_with_the_reason() -> None:
    async with world() as at:
        run = await at.engine.submit(replace(JOB, start=date(2026, 1, 3), end=date(2026, 1, 4)))
        await at.settle()
        ended = await at.history.run(run.run_id)
        assert ended is not None
        assert "no session from 2026-01-03 to 2026-01-04" in ended.error


async def test_definitions_get_versions_and_runs_keep_theirs() -> None:
    changed = pipeline(timeout_s=99.0)
    found = deployment()
    async with world(
        configured=found,
        scripts=[until_stopped, succeed],
        reloaded=lambda: replace(found, digest="2", pipelines={"job": changed}),
    ) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        reloaded = await at.engine.reload()
        assert (reloaded.changed, reloaded.added, reloaded.removed) == (["job"], [], [])
        await at.settle()
        assert await state(at, run.run_id) is RunState.RUNNING
        newer = await at.engine.submit(JOB)
        assert (run.workflow_version, newer.workflow_version) == (1, 2)
        assert at.engine.deployment.digest == "2"


async def test_a_reload_without_a_difference_defines_nothing() -> None:
    async with world() as at:
        await at.settle()
        count = len(at.seen.of(WorkflowDefined))
        await at.engine.reload()
        assert len(at.seen.of(WorkflowDefined)) == count
        (event,) = at.seen.of(ConfigReloaded)
        assert (event.added, event.changed, event.removed) == ([], [], [])


async def test_a_removed_pipeline_ends_its_run_and_takes_no_more() -> None:
    found = deployment(pipeline(), pipeline("old"))
    async with world(
        configured=found,
        scripts=[until_stopped],
        reloaded=lambda: replace(found, pipelines={"job": pipeline()}),
    ) as at:
        run = await at.engine.submit(Submission(pipeline="old"))
        await at.settle()
        assert (await at.engine.reload()).removed == ["old"]
        assert [e.pipeline for e in at.seen.of(WorkflowRetired)] == ["old"]
        with pytest.raises(UnknownPipelineError):
            await at.engine.submit(Submission(pipeline="old"))
        await at.engine.cancel(run.run_id, by="me")
        await at.settle()
        assert await state(at, run.run_id) is RunState.CANCELLED
        assert [p.name for p in at.engine.pipelines()] == ["job"]


async def test_a_wrong_configuration_changes_nothing() -> None:
    def wrong() -> object:
        raise SettingsError([Problem(key="jobs.x", message="is wrong")])

    async with world(reloaded=wrong) as at:  # type: ignore[arg-type]
        with pytest.raises(SettingsError):
            await at.engine.reload()
        assert len(at.seen.of(ReloadRefused)) == 1
        assert "jobs.x" in at.engine.status().last_error
        run = await at.engine.submit(JOB)
        await at.settle()
        assert await state(at, run.run_id) is RunState.SUCCESS


async def test_a_pipeline_defined_through_the_api_survives_a_restart() -> None:
    history = MemoryHistory()
    async with world(history=history) as at:
        record = await at.engine.define({"name": "from_api"})
        assert (record.name, record.version) == ("from_api", 1)
        assert (await at.engine.define({"name": "from_api"})).version == 1
        run = await at.engine.submit(Submission(pipeline="from_api"))
        await at.settle()
        assert await state(at, run.run_id) is RunState.SUCCESS
    async with world(history=history) as at:
        assert {p.name for p in at.engine.pipelines()} == {"job", "from_api"}
        await at.engine.reload()
        assert {p.name for p in at.engine.pipelines()} == {"job", "from_api"}


async def test_the_api_cannot_replace_what_the_file_defines() -> None:
    async with world(parse=lambda _: pipeline("job")) as at:
        with pytest.raises(ConflictError, match="configuration file"):
            await at.engine.define({"name": "job"})


async def test_a_graph_that_cannot_run_is_refused_and_nothing_else_is() -> None:
    two = Node(name="second", op="ingest", settings={"dataset": "bars"})
    both = Node(name="both", op="gate", needs={"fetch": (), "second": ()}, settings={"rules": []})
    odd = pipeline("odd")
    async with world(pipeline(), replace(odd, nodes=(*odd.nodes, two, both))) as at:
        refused = {p.name: p for p in at.engine.pipelines()}["odd"]
        assert refused.state == "refused"
        assert "exactly one source" in refused.reason
        with pytest.raises(NotAcceptedError, match="refused"):
            await at.engine.submit(Submission(pipeline="odd"))


async def test_a_source_may_wait_for_another_chain() -> None:
    late = Node(name="late", op="ingest", needs={"publish": ()}, settings={"dataset": "bars"})
    store = Node(name="store", op="write", needs={"late": ()}, settings={"to": "primary"})
    base = pipeline()
    whole = replace(base, nodes=(*base.nodes, late, store))
    async with world(whole) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        assert [t.nodes[0].name for t in at.pool.tasks] == ["fetch", "late"]
        assert await state(at, run.run_id) is RunState.SUCCESS
    async with world(whole, scripts=[fail("auth", is_retryable=False), succeed]) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        states = await node_states(at, run.run_id)
        assert (states["late"], states["store"]) == ("upstream_failed", "upstream_failed")


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
        assert await state(at, run.run_id) is RunState.CANCELLED
        assert at.pool.tasks == []


async def test_subscribers_see_events_in_order_and_a_slow_one_loses_its_stream() -> None:
    async with world() as at:
        with at.engine.subscribe(capacity=1000) as events, at.engine.subscribe(capacity=1) as slow:
            await at.engine.submit(JOB)
            await at.settle()
            names = [events.receive_nowait().name for _ in range(3)]
            assert names[0] == "run.submitted"
            slow.receive_nowait()
            with pytest.raises(anyio.EndOfStream):
                slow.receive_nowait()
        assert at.services.journal.dropped_subscribers == 1


async def test_status_counts_what_is_there() -> None:
    async with world(scripts=[until_stopped]) as at:
        await at.engine.submit(JOB)
        await at.engine.submit(JOB)
        await at.settle()
        status = at.engine.status()
        assert (status.state, status.active_runs, status.queued_runs) == ("running", 1, 1)
        assert at.engine.mailbox_depths() == {"job": 0}
        assert [b.provider for b in at.engine.budgets()] == ["v"]
        assert at.engine.workers() == []


async def test_attempts_of_an_earlier_process_are_closed_as_interrupted() -> None:
    async with world(scripts=[until_stopped]) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        assert any(e.state is NodeState.RUNNING for e in at.seen.of(NodeChanged))
        await at.engine.cancel(run.run_id, by="x")
        await at.settle()
        assert [e.state for e in at.seen.of(AttemptFinished)] == ["interrupted"]
