"""The disk fills, things meet at the wrong instant: runs end well or go on, and others live."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from doubles.scripted import (
    JOB,
    RETRY,
    Answer,
    Seen,
    commit,
    deployment,
    ends,
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
from openbell.execution.protocol import ChainTask, ChunkDone, Done
from openbell.history.errors import HistoryWriteError
from openbell.model.control import ConflictError
from openbell.model.events import (
    ActorCrashed,
    Event,
    NodeChanged,
    PipelineParked,
    RunCancelRequested,
    RunFinished,
    StoredEvent,
)
from openbell.model.runs import NodeState, RunState
from openbell.sdk import SettingsError, TransientError
from openbell.testing import MemoryHistory

pytestmark = pytest.mark.unit


def full_disk() -> HistoryWriteError:
    return HistoryWriteError(Path("history.sqlite"), "disk full")


async def deaf(*_: object) -> Answer:
    await anyio.sleep_forever()
    raise AssertionError


class Durable(MemoryHistory):
    """Like the one on disk: a caller that is cancelled while it waits is recorded all the same."""

    @override
    async def record(self, *events: Event) -> tuple[StoredEvent, ...]:
        stored = await super().record(*events)
        await anyio.lowlevel.checkpoint()
        return stored


@pytest.mark.parametrize("failures", [1, 7, 30])
async def test_a_full_disk_pauses_a_run_and_nothing_is_lost(failures: int) -> None:
    async with world(scripts=[succeed]) as at:
        run = await at.engine.submit(JOB)
        at.history.failures = [full_disk() for _ in range(failures)]
        await at.settle(5.0 * failures + 1)
        assert await run_state(at, run.run_id) is RunState.SUCCESS
        assert len(at.pool.tasks) == 1
        assert at.seen.of(ActorCrashed) == []


async def test_a_full_disk_in_the_middle_of_a_run_holds_the_worker_back() -> None:
    async with world(scripts=[until_stopped]) as at:
        run = await at.engine.submit(replace(JOB))
        await at.settle()
        at.history.failures = [full_disk() for _ in range(3)]
        at.engine.request_stop(fast=False)
        await at.settle(30)
        assert at.engine.drained.is_set()
        history = at.history
    async with world(history=history) as at:
        await at.settle()
        assert await run_state(at, run.run_id) is RunState.SUCCESS


async def test_a_daemon_stops_at_once_even_when_the_disk_stays_full() -> None:
    async with world(scripts=[deaf]) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        at.history.failures = [full_disk() for _ in range(1000)]
        at.engine.request_stop(fast=True)
        await at.settle()
        assert at.engine.drained.is_set()
        history = at.history
    history.failures = []
    async with world(history=history) as at:
        await at.settle()
        assert await run_state(at, run.run_id) is RunState.SUCCESS


async def test_a_crash_while_the_disk_is_full_stays_a_crash_of_one_pipeline() -> None:
    async def crash(*_: object) -> Answer:
        at.history.failures = [full_disk() for _ in range(3)]
        return RuntimeError("a bug")

    async with world(pipeline(), pipeline("other"), scripts=[crash, succeed]) as at:
        run = await at.engine.submit(JOB)
        await at.settle(60)
        assert await run_state(at, run.run_id) is RunState.SUCCESS
        assert len(at.seen.of(ActorCrashed)) == 1


async def test_a_request_is_refused_while_the_disk_is_full() -> None:
    async with world() as at:
        at.history.failures = [full_disk()]
        with pytest.raises(HistoryWriteError):
            await at.engine.submit(JOB)
        assert await at.history.runs(_everything()) == []


def _everything() -> Any:
    from openbell.model.history import RunFilter

    return RunFilter()


async def test_a_history_that_cannot_be_read_for_a_while_parks_nothing() -> None:
    class Flaky(MemoryHistory):
        reads = 0

        @override
        async def nodes(self, run_id: str) -> Any:
            self.reads += 1
            if self.reads <= 20:
                raise TransientError("locked", retry_after_s=5.0)
            return await super().nodes(run_id)

    async with world(history=Flaky()) as at:
        run = await at.engine.submit(JOB)
        await at.settle(1000)
        assert at.seen.of(PipelineParked) == []
        assert await run_state(at, run.run_id) is RunState.SUCCESS


async def test_a_reload_that_cannot_be_recorded_changes_nothing() -> None:
    found = deployment()
    newer = replace(found, digest="2", pipelines={"job": pipeline(timeout_s=9.0)})
    async with world(configured=found, reloaded=lambda: newer) as at:
        await at.settle()
        at.history.failures = [full_disk()]
        with pytest.raises(HistoryWriteError):
            await at.engine.reload()
        assert at.engine.deployment.digest == "1"
        assert (await at.engine.reload()).changed == ["job"]


async def test_a_cancel_that_meets_the_end_of_a_run_changes_nothing() -> None:
    class Meeting(Durable):
        @override
        async def record(self, *events: Event) -> tuple[StoredEvent, ...]:
            if any(isinstance(e, RunFinished) for e in events):
                await at.engine.cancel(events[-1].run_id, by="me")  # type: ignore[attr-defined]
            return await super().record(*events)

    async with world(history=Meeting(), scripts=[succeed]) as at:
        run = await at.engine.submit(JOB)
        await at.settle(60)
        assert await run_state(at, run.run_id) is RunState.SUCCESS
        assert at.seen.of(ActorCrashed) == []
        assert len(at.seen.of(RunFinished)) == 1


async def test_a_cancel_that_comes_too_late_is_a_conflict() -> None:
    release = anyio.Event()

    class Late(MemoryHistory):
        @override
        async def record(self, *events: Event) -> tuple[StoredEvent, ...]:
            if any(isinstance(e, RunCancelRequested) for e in events):
                release.set()
                await at.settle(1)
            return await super().record(*events)

    async def until_released(task: ChainTask, listener: Listener, stop: StopSignal) -> Answer:
        await release.wait()
        return await succeed(task, listener, stop)

    async with world(history=Late(), scripts=[until_released]) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        with pytest.raises(ConflictError, match="ended"):
            await at.engine.cancel(run.run_id, by="me")


async def test_a_cancelled_run_leaves_no_attempt_open() -> None:
    history = MemoryHistory()

    async with world(scripts=[deaf], history=history) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        history.failures = [full_disk() for _ in range(100)]
    history.failures = []
    assert [a.state for a in await history.attempts(run.run_id)] == ["running"]
    await history.record(RunCancelRequested(at=run.submitted_at, run_id=run.run_id, pipeline="job"))
    async with world(history=history) as at:
        await at.settle()
        assert await run_state(at, run.run_id) is RunState.CANCELLED
        assert [a.state for a in await history.attempts(run.run_id)] == ["interrupted"]


async def test_a_timed_out_run_that_is_killed_while_it_ends_is_no_success() -> None:
    class Killed(MemoryHistory):
        @override
        async def record(self, *events: Event) -> tuple[StoredEvent, ...]:
            if any(isinstance(e, RunFinished) for e in events) and not is_second:
                raise full_disk()
            return await super().record(*events)

    history = Killed()
    is_second = False
    async with world(pipeline(timeout_s=60.0), scripts=[deaf], history=history) as at:
        run = await at.engine.submit(JOB)
        await at.settle(61)
    is_second = True
    async with world(pipeline(timeout_s=60.0), scripts=[deaf], history=history) as at:
        await at.settle(61)
        assert await run_state(at, run.run_id) is RunState.FAILED


@pytest.mark.parametrize(
    "gone", [{"storage": {}}, {"providers": {}}, {"datasets": {}}], ids=lambda g: str(list(g))
)
async def test_a_run_of_what_is_not_configured_any_more_fails_with_the_reason(gone: Any) -> None:
    history = MemoryHistory()
    found = deployment()
    async with world(scripts=[until_stopped], history=history, configured=found) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
    async with world(history=history, configured=replace(found, **gone)) as at:
        await at.settle(60)
        ended = await at.history.run(run.run_id)
        assert ended is not None
        assert ended.state is RunState.FAILED
        assert "no longer" in ended.error
        assert at.seen.of(ActorCrashed) == []


@pytest.mark.parametrize(
    "params", [{"from": "soon"}, {"to": 7}, {"for_s": "long"}, {"for_s": True}]
)
async def test_wrong_parameters_are_refused_at_the_door(params: dict[str, Any]) -> None:
    async with world(pipeline(mode="live", start=None, end=None)) as at:
        with pytest.raises(SettingsError, match=next(iter(params))):
            await at.engine.submit(replace(JOB, params=params))


async def test_an_observer_that_raises_harms_nothing() -> None:
    class Broken(Seen):
        @override
        def see(self, event: Event) -> None:
            raise ValueError(event.name)

    async with world(observers=[Broken()]) as at:
        with at.engine.subscribe(capacity=100) as events:
            run = await at.engine.submit(JOB)
            await at.settle()
            assert await run_state(at, run.run_id) is RunState.SUCCESS
            assert events.statistics().current_buffer_used > 3
        assert at.services.journal.observer_errors > 3


async def test_what_an_earlier_attempt_held_counts_when_the_last_one_holds_nothing() -> None:
    async def hold_then_fail(task: ChainTask, listener: Listener, stop: StopSignal) -> Answer:
        whole = ends(task, 10, verdict="fail")
        await listener.hear(
            ChunkDone(
                next_chunk=1,
                cursor="a",
                totals={name: end.totals for name, end in whole.items()},
                receipts={},
                write_duration_s=0.0,
            )
        )
        return await fail()(task, listener, stop)

    async def nothing_more(task: ChainTask, listener: Listener, stop: StopSignal) -> Answer:
        del listener, stop
        import msgspec

        from openbell.model.runs import Totals

        none = {
            name: msgspec.structs.replace(end, was_reached=False, totals=Totals())
            for name, end in ends(task, 0).items()
        }
        return Done(ends=none)

    async with world(scripts=[hold_then_fail, nothing_more]) as at:
        run = await at.engine.submit(JOB)
        await at.settle(60)
        nodes = {n.node: n for n in await at.history.nodes(run.run_id)}
        assert nodes["check"].outcome == "fail"
        assert nodes["hold"].state is NodeState.SUCCESS
        assert nodes["publish"].state is NodeState.SKIPPED


async def test_attempts_are_told_with_a_nodes_end_and_a_skipped_node_had_none() -> None:
    async with world(scripts=[fail(), succeed]) as at:
        run = await at.engine.submit(JOB)
        await at.settle(60)
        final = {e.node: e.attempt for e in at.seen.of(NodeChanged) if e.state.is_final}
        assert final == {"fetch": 2, "check": 2, "publish": 2, "hold": 0}
        attempts = {n.node: n.attempts for n in await at.history.nodes(run.run_id)}
        assert attempts == {"fetch": 2, "check": 2, "publish": 2, "hold": 0}


async def test_a_source_that_counts_its_chunks_wrongly_fails_its_run_alone() -> None:
    async def twice(task: ChainTask, listener: Listener, stop: StopSignal) -> Answer:
        del stop
        for _ in range(2):
            await commit(task, listener, number=0, rows=10)
        return Done(ends=ends(task, 20))

    async with world(scripts=[twice]) as at:
        run = await at.engine.submit(JOB)
        await at.settle(60)
        assert await run_state(at, run.run_id) is RunState.FAILED
        assert at.seen.of(ActorCrashed) == []


async def test_the_timeout_of_any_node_limits_its_chain() -> None:
    slow = pipeline()
    nodes = tuple(
        replace(n, timeout_s=5.0, retry=replace(RETRY, max_attempts=1))
        if n.name == "publish"
        else n
        for n in slow.nodes
    )
    async with world(replace(slow, nodes=nodes), scripts=[deaf]) as at:
        run = await at.engine.submit(JOB)
        await at.settle(20)
        assert await run_state(at, run.run_id) is RunState.FAILED
        assert (await node_states(at, run.run_id))["publish"] == "failed"


async def test_a_calendar_that_cannot_be_built_for_now_is_tried_again() -> None:
    async with world() as at:
        sessions, tries = at.services.sessions, []

        class Lame:
            async def between(self, *of: Any) -> Any:
                tries.append(1)
                if len(tries) == 1:
                    raise TransientError("worker process 9 was lost")
                return await sessions.between(*of)

            async def require(self, *of: Any) -> None:
                await sessions.require(*of)

        at.services.sessions = Lame()
        run = await at.engine.submit(JOB)
        await at.settle(60)
        assert await run_state(at, run.run_id) is RunState.SUCCESS
