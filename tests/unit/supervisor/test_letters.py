"""Dead letters: what failed for good is kept with its failure, and can be done again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from doubles.scripted import (
    JOB,
    REGISTRY,
    Play,
    World,
    fail,
    pipeline,
    run_state,
    spec_of,
    succeed,
    until_stopped,
    world,
)

from openbell.execution.protocol import Done, Failed, NodeEnd
from openbell.model.control import UnknownRunError
from openbell.model.letters import DeadLetter, LetterFilter, LetterState
from openbell.model.pipelines import Node, Pipeline, RetryPolicy
from openbell.model.retries import Retry
from openbell.model.runs import RunState, Totals
from openbell.operators.control import CONTROL

pytestmark = pytest.mark.unit

WITH_TASKS = replace(
    REGISTRY,
    operators={
        **REGISTRY.operators,
        **{spec.name: spec for spec in CONTROL},
        "work": spec_of("work", "task"),
    },
)


async def letters(at: World, **wanted: Any) -> list[DeadLetter]:
    return list(await at.history.dead_letters(LetterFilter(**wanted)))


async def test_work_whose_attempts_are_used_up_leaves_a_letter() -> None:
    async with world(scripts=[fail()]) as at:
        run = await at.engine.submit(replace(JOB, params={"from": "2026-01-06"}))
        await at.settle(3600)
        (found,) = await letters(at)
    assert (found.run_id, found.pipeline, found.node) == (run.run_id, "job", "fetch")
    assert (found.error_kind, found.error, found.attempts) == ("transient", "transient trouble", 3)
    assert found.params["from"] == "2026-01-06"
    assert found.input == {"dataset": "bars"}
    assert found.state is LetterState.WAITING


async def test_a_fatal_failure_leaves_a_letter_after_one_attempt() -> None:
    async with world(scripts=[fail("auth", is_retryable=False)]) as at:
        await at.engine.submit(JOB)
        await at.settle()
        (found,) = await letters(at)
    assert (found.error_kind, found.attempts) == ("auth", 1)


async def test_a_letter_is_recorded_in_one_transaction_with_its_failure() -> None:
    async with world(scripts=[fail("auth", is_retryable=False)]) as at:
        batches: list[tuple[str, ...]] = []
        record = at.history.record

        async def recording(*events: Any) -> Any:
            batches.append(tuple(type(event).__name__ for event in events))
            return await record(*events)

        at.history.record = recording  # type: ignore[method-assign]
        await at.engine.submit(JOB)
        await at.settle()
    (batch,) = [batch for batch in batches if "DeadLettered" in batch]
    assert {"NodeChanged", "AttemptFinished", "RunFinished"} <= set(batch)


async def test_success_and_dry_runs_leave_no_letter() -> None:
    async with world(scripts=[succeed, fail("auth", is_retryable=False)]) as at:
        await at.engine.submit(JOB)
        await at.settle()
        await at.engine.submit(replace(JOB, dry_run=True))
        await at.settle()
        assert await letters(at) == []


async def test_a_run_that_took_too_long_leaves_a_letter_about_what_was_open() -> None:
    slow = pipeline(timeout_s=60.0)
    async with world(slow, scripts=[until_stopped]) as at:
        run = await at.engine.submit(JOB)
        await at.settle(61)
        assert await run_state(at, run.run_id) is RunState.FAILED
        (found,) = await letters(at)
    assert (found.node, found.error_kind) == ("", "timeout")


async def test_a_failed_item_leaves_a_letter_and_its_node_none() -> None:
    node = Node(name="each", op="noop", settings={"outcome": "failed"}, for_each=["a", "b"])
    async with world(Pipeline(name="job", nodes=(node,)), registry=WITH_TASKS) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        assert await run_state(at, run.run_id) is RunState.FAILED
        found = await letters(at)
    assert [(each.node, each.item, each.input) for each in reversed(found)] == [
        ("each", 0, {"item": "a"}),
        ("each", 1, {"item": "b"}),
    ]


async def test_no_secret_stands_in_a_letter() -> None:
    async with world(scripts=[fail("auth", is_retryable=False)]) as at:
        at.services.redact = lambda text: text.replace("trouble", "***").replace("2026", "****")
        await at.engine.submit(replace(JOB, params={"from": "2026-01-06"}))
        await at.settle()
        (found,) = await letters(at)
    assert found.error == "auth ***"
    assert found.params["from"] == "****-01-06"


def two_steps(**changes: Any) -> Pipeline:
    first = Node(name="first", op="work")
    second = Node(name="second", op="work", needs={"first": ()}, retry=RetryPolicy(max_attempts=1))
    return Pipeline(name="job", nodes=(first, replace(second, **changes)))


def play(*failing: str) -> Play:
    """Return a script in which some nodes fail and the others succeed."""

    async def script(task: Any, listener: Any, stop: Any) -> Any:
        del listener, stop
        name = task.node.name
        if name in failing:
            kind = {"node": name, "kind": "data", "message": "no", "traceback": "tb"}
            return Failed(**kind, is_retryable=False)
        end = NodeEnd(outcome="success", was_reached=True, totals=Totals())
        return Done(ends={name: end}, outputs={name: {"kind": "value", "value": f"of {name}"}})

    return script


async def test_a_retry_keeps_finished_work_and_replays_the_letters_of_the_run() -> None:
    scripts = [play("second"), play("second"), play()]
    async with world(two_steps(), registry=WITH_TASKS, scripts=scripts) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        (waiting,) = await letters(at, state=LetterState.WAITING)
        assert (waiting.node, waiting.traceback) == ("second", "tb")
        assert waiting.input == {"nodes": {"first": {"kind": "value", "value": "of first"}}}
        again = await at.engine.retry(run.run_id, by="me")
        await at.settle()
        assert await run_state(at, again.run_id) is RunState.SUCCESS
        assert [task.node.name for task in at.pool.tasks] == ["first", "second", "second"]
        assert at.pool.tasks[-1].inputs == {"first": {"kind": "value", "value": "of first"}}
        (settled,) = await letters(at)
        kept = {node.node: node.reason for node in await at.history.nodes(again.run_id)}
    assert again.retry_of == run.run_id
    assert (settled.state, settled.replayed_by) == (LetterState.REPLAYED, again.run_id)
    assert kept == {"first": f"taken over from run {run.run_id}", "second": ""}


async def test_a_retry_from_a_node_does_it_and_all_after_it_again() -> None:
    async with world(two_steps(), registry=WITH_TASKS, scripts=[play()]) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        await at.engine.retry(run.run_id, by="me", how=Retry(from_node="second"))
        await at.settle()
        assert [task.node.name for task in at.pool.tasks] == ["first", "second", "second"]
        await at.engine.retry(run.run_id, by="me", how=Retry(from_node="first"))
        await at.settle()
        assert [task.node.name for task in at.pool.tasks][3:] == ["first", "second"]
        with pytest.raises(UnknownRunError, match="has no node 'third'; there are: first, second"):
            await at.engine.retry(run.run_id, by="me", how=Retry(from_node="third"))


async def test_items_that_succeeded_are_not_done_again() -> None:
    async def script(task: Any, listener: Any, stop: Any) -> Any:
        if task.item == "b" and task.run_id == run.run_id:
            return await play("each")(task, listener, stop)
        return await play()(task, listener, stop)

    node = Node(name="each", op="work", for_each=["a", "b", "c"], retry=RetryPolicy(max_attempts=1))
    fanned = Pipeline(name="job", nodes=(node,))
    async with world(fanned, registry=WITH_TASKS, scripts=[script]) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        (letter,) = await letters(at)
        assert (letter.item, letter.attempts, letter.input) == (1, 1, {"item": "b"})
        again = await at.engine.retry(run.run_id, by="me")
        await at.settle()
        assert [task.item for task in at.pool.tasks] == ["a", "b", "c", "b"]
        assert await run_state(at, again.run_id) is RunState.SUCCESS


def two_fragile() -> Pipeline:
    once = RetryPolicy(max_attempts=1)
    nodes = (Node(name="one", op="work", retry=once), Node(name="other", op="work", retry=once))
    return Pipeline(name="job", nodes=nodes)


@pytest.mark.parametrize("is_replay", [True, False])
async def test_no_failure_is_taken_over_whichever_was_named(is_replay: bool) -> None:
    async def script(task: Any, listener: Any, stop: Any) -> Any:
        failing = [task.node.name] if task.run_id == run.run_id else []
        return await play(*failing)(task, listener, stop)

    async with world(two_fragile(), registry=WITH_TASKS, scripts=[script]) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        found = {letter.node: letter.letter_id for letter in await letters(at)}
        if is_replay:
            again = await at.engine.replay(found["one"], by="me")
        else:
            again = await at.engine.retry(run.run_id, by="me", how=Retry(from_node="one"))
        await at.settle()
        assert sorted(task.node.name for task in at.pool.tasks[2:]) == ["one", "other"]
        assert await run_state(at, again.run_id) is RunState.SUCCESS
        assert {letter.replayed_by for letter in await letters(at)} == {again.run_id}


async def test_a_replay_keeps_what_went_well_in_a_run_that_got_over_its_failure() -> None:
    once = RetryPolicy(max_attempts=1)
    each = Node(name="each", op="work", for_each=["a", "b"], retry=once)
    after = Node(name="after", op="work", needs={"each": ()}, trigger="all_done")
    beside = Node(name="beside", op="work")

    async def script(task: Any, listener: Any, stop: Any) -> Any:
        is_bad = task.item == "b" and task.run_id == run.run_id
        return await play(*(["each"] if is_bad else []))(task, listener, stop)

    got_over = Pipeline(name="job", nodes=(each, after, beside))
    async with world(got_over, registry=WITH_TASKS, scripts=[script]) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        assert await run_state(at, run.run_id) is RunState.SUCCESS
        (letter,) = await letters(at)
        before = len(at.pool.tasks)
        await at.engine.replay(letter.letter_id, by="me")
        await at.settle()
        done = [(task.node.name, task.item) for task in at.pool.tasks[before:]]
    assert done == [("each", "b"), ("after", None)]
