"""The runs of a pipeline that wait are listed in the order in which they begin."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from doubles.scripted import JOB, World, world

from openbell.model.runs import RunRecord, RunState
from openbell.supervisor.runs.queue import RunQueue

pytestmark = pytest.mark.unit


async def runs_of(at: World, *priorities: int) -> list[RunRecord]:
    """Return runs that wait, one a second, so that they differ by little age."""
    found = []
    for number, priority in enumerate(priorities):
        run = await at.engine.submit(replace(JOB, priority=priority))
        submitted_at = run.submitted_at + timedelta(seconds=number)
        found.append(replace(run, submitted_at=submitted_at))
    return found


async def test_waiting_runs_are_listed_as_they_will_begin() -> None:
    async with world() as at:
        first, urgent, last = await runs_of(at, 5, 7, 5)
        begun = replace(last, run_id="run_begun", state=RunState.RUNNING)
        queue = RunQueue()
        for run in (first, urgent, last, begun):
            queue.put(run)
        assert list(queue) == ["run_begun", urgent.run_id, first.run_id, last.run_id]
        queue.change(last.run_id, priority=9)
        assert list(queue) == ["run_begun", last.run_id, urgent.run_id, first.run_id]
        left = []
        while (run_ := queue.first()) is not None:
            left.append(run_.run_id)
            queue.pop(run_.run_id)
        assert left == ["run_begun", last.run_id, urgent.run_id, first.run_id]


async def test_a_paused_run_keeps_its_place_and_is_passed_over() -> None:
    async with world() as at:
        first, second = await runs_of(at, 5, 5)
        queue = RunQueue()
        for run in (first, second):
            queue.put(run)
        queue.change(first.run_id, paused=True)
        assert list(queue) == [first.run_id, second.run_id]
        found = queue.first()
        assert found is not None
        assert found.run_id == second.run_id
        queue.change(first.run_id, paused=False)
        found = queue.first()
        assert found is not None
        assert found.run_id == first.run_id
        queue.pop(first.run_id)
        queue.pop(second.run_id)
        assert queue.first() is None
        assert list(queue) == []
