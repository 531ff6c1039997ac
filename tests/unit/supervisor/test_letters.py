"""Dead letters: what failed for good is kept with its failure, and can be done again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from doubles.scripted import (
    JOB,
    REGISTRY,
    World,
    fail,
    pipeline,
    run_state,
    spec_of,
    succeed,
    until_stopped,
    world,
)

from openbell.model.letters import DeadLetter, LetterFilter, LetterState
from openbell.model.pipelines import Node, Pipeline
from openbell.model.runs import RunState
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
