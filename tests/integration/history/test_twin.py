"""The history in memory and the one on disk give the same answers to the same story."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from doubles import story

from openbell.history.store import HistoryStore
from openbell.model import events as ev
from openbell.model.history import History, RecordRefusedError, RunFilter
from openbell.model.runs import IllegalStepError, NodeState, RunState
from openbell.testing import MemoryHistory

pytestmark = pytest.mark.integration

LONG = "x" * 400_000
STORY: tuple[ev.Event, ...] = (
    story.defined(),
    story.defined(pipeline="other"),
    *story.whole_run("run_1"),
    story.submitted("run_2", idempotency_key="k"),
    story.started("run_2"),
    story.attempt_started("run_2"),
    story.node("fetch", NodeState.RETRYING, "run_2", retry_at=story.after(60.0), error="late"),
    story.attempt_finished("run_2", state="failed"),
    story.attempt_started("run_2", 2),
    story.committed(1, "run_2"),
    story.committed(4, "run_2", key="run_1-1"),
    story.logged(LONG, LONG, LONG, run_id="run_2"),
    ev.RunCancelRequested(at=story.START, run_id="run_2", pipeline="eod", by="me"),
    story.submitted("run_3", pipeline="other", job_id="job_2", retry_of="run_2"),
    story.defined(2),
    ev.WorkflowRetired(at=story.START, pipeline="other"),
    ev.PipelineParked(at=story.START, pipeline="eod", reason="kept crashing"),
)

REFUSED: dict[str, Callable[[], ev.Event]] = {
    "start twice": lambda: story.started("run_2"),
    "start after the end": lambda: story.started("run_1"),
    "unknown run": lambda: story.started("run_9"),
    "same run again": lambda: story.submitted("run_1"),
    "same key again": lambda: story.submitted("run_8", idempotency_key="k"),
    "unknown version": lambda: story.submitted("run_8", workflow_version=7),
    "checkpoint back": lambda: story.committed(2, "run_2"),
    "unknown node": lambda: story.node("nowhere", NodeState.RUNNING, "run_2"),
    "ended run": lambda: story.node("fetch", NodeState.RUNNING, "run_1"),
    "attempt ends twice": lambda: story.attempt_finished("run_2"),
    "unknown attempt": lambda: story.attempt_finished("run_2", 8),
    "attempt begins twice": lambda: story.attempt_started("run_2", 2),
    "log of nowhere": lambda: story.logged("x", run_id="run_9"),
    "finding of nowhere": lambda: story.checked("run_9"),
    "older version": lambda: story.defined(1, fingerprint="other"),
    "unknown pipeline": lambda: ev.WorkflowRetired(at=story.START, pipeline="nix"),
    "cancel after the end": lambda: ev.RunCancelRequested(
        at=story.START, run_id="run_1", pipeline="eod"
    ),
    "not durable": lambda: ev.WorkerStarted(at=story.START, pid=1),
}

QUESTIONS: dict[str, Callable[[History], Awaitable[Any]]] = {
    "run": lambda h: h.run("run_1"),
    "unknown run": lambda h: h.run("run_9"),
    "runs": lambda h: h.runs(RunFilter()),
    "runs in a state": lambda h: h.runs(RunFilter(states=(RunState.RUNNING, RunState.QUEUED))),
    "runs of a job": lambda h: h.runs(RunFilter(job_id="job_2", pipeline="eod")),
    "older runs": lambda h: h.runs(RunFilter(before="run_3", limit=1)),
    "submission": lambda h: h.submission("k"),
    "nodes": lambda h: h.nodes("run_2"),
    "attempts": lambda h: h.attempts("run_2"),
    "attempts of a node": lambda h: h.attempts("run_2", "check"),
    "checkpoint": lambda h: h.checkpoint("run_2", "fetch"),
    "no checkpoint": lambda h: h.checkpoint("run_3", "fetch"),
    "logs": lambda h: h.logs("run_2"),
    "some logs": lambda h: h.logs("run_2", node="fetch", after_id=2, limit=1),
    "quality": lambda h: h.quality("run_1"),
    "events": lambda h: h.events(),
    "a run's events": lambda h: h.events(run_id="run_2", after_id=18, limit=4),
    "last event": lambda h: h.last_event_id(),
    "workflow": lambda h: h.workflow("eod"),
    "an older workflow": lambda h: h.workflow("eod", 1),
    "workflows": lambda h: h.workflows(),
    "lineage": lambda h: h.lineage("bars", limit=2),
}


async def both_told(history: HistoryStore) -> MemoryHistory:
    memory = MemoryHistory()
    for event in STORY:
        assert await memory.record(event) == await history.record(event)
    return memory


def totals(metrics: Any) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name != "database_bytes"}


async def test_every_question_has_the_same_answer(history: HistoryStore) -> None:
    memory = await both_told(history)
    for question, ask in QUESTIONS.items():
        assert await ask(memory) == await ask(history), question
    assert totals(await memory.metrics()) == totals(await history.metrics())


@pytest.mark.parametrize("case", REFUSED)
async def test_the_same_events_are_refused_for_the_same_reason(
    case: str, history: HistoryStore
) -> None:
    memory = await both_told(history)
    before = [await ask(memory) for ask in QUESTIONS.values()]
    told = []
    for each in (memory, history):
        with pytest.raises((RecordRefusedError, IllegalStepError)) as caught:
            await each.record(story.logged("never", run_id="run_2"), REFUSED[case]())
        told.append((caught.type, str(caught.value).partition(" (")[0]))
    assert told[0] == told[1]
    assert [await ask(memory) for ask in QUESTIONS.values()] == before


@pytest.mark.parametrize(("after_s", "keep_runs"), [(0.0, 10), (10.0, 10), (0.0, 0), (0.0, 2)])
async def test_the_same_runs_are_forgotten(
    after_s: float, keep_runs: int, history: HistoryStore
) -> None:
    memory = await both_told(history)
    for each in (memory, history):
        await each.record(story.finished("run_2", RunState.CANCELLED, at_s=20.0))
    before = story.after(after_s)
    counts = [await each.prune(before=before, keep_runs=keep_runs) for each in (memory, history)]
    assert counts[0] == counts[1]
    for question, ask in QUESTIONS.items():
        assert await ask(memory) == await ask(history), question


async def test_a_failure_records_nothing(memory_history: MemoryHistory) -> None:
    memory_history.failures.append(OSError("the disk is full"))
    with pytest.raises(OSError, match="full"):
        await memory_history.record(story.defined())
    assert await memory_history.last_event_id() == 0
    await memory_history.record(story.defined())
    assert await memory_history.last_event_id() == 1
