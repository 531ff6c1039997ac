"""Schedules on a history on disk: each fire once, whatever the process goes through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from doubles.firing import FiringWorld, firing, scheduled
from doubles.scripted import until_stopped

from openbell.history.store import HistoryStore
from openbell.model.control import Submission
from openbell.model.events import FireDecided, FireTakenBack, RunStarted
from openbell.model.history import DuplicateFireError, RecordRefusedError
from openbell.model.pipelines import Pipeline

pytestmark = [pytest.mark.integration, pytest.mark.anyio]

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
DUE = datetime(2026, 1, 5, 13, tzinfo=UTC)
MOMENT = timedelta(milliseconds=400)


@asynccontextmanager
async def world_on_disk(
    folder: Path, *pipelines: Pipeline, **more: Any
) -> AsyncIterator[FiringWorld]:
    """Yield an engine on a history on disk."""
    async with (
        HistoryStore(folder / "history.sqlite") as history,
        firing(*pipelines, history=history, **more) as world,
    ):
        await go_on(world)
        yield world


async def go_on(world: FiringWorld, seconds: float = 0.0) -> None:
    """Let time go on, and the disk with it."""
    for step_s in (seconds, *[0.0] * 12):
        await world.settle(step_s)
        await anyio.sleep(0.015)


async def go_until(world: FiringWorld, instant: datetime) -> None:
    await go_on(world, (instant - world.clock.now()).total_seconds())


async def test_restarts_at_any_instant_neither_lose_nor_repeat_a_fire(tmp_path: Path) -> None:
    began: list[datetime] = []
    at = START
    for number, minutes in enumerate((59.995, 0.0, 0.02, 90.0, 29.99, 0.0, 60.0)):
        async with world_on_disk(tmp_path, scheduled("every 1h"), at=at, seed=number) as world:
            await go_on(world, minutes * 60)
            began += [event.at for event in world.seen.of(RunStarted)]
            at = world.clock.now()
            runs = await world.runs()
    due = [run.due_at for run in runs if run.state == "success"]
    assert due == [DUE + timedelta(hours=n) for n in range(len(due))]
    assert len(due) == len(began) == 4


async def test_a_fire_is_decided_once_and_taken_back_only_while_its_run_waits(
    tmp_path: Path,
) -> None:
    async with world_on_disk(tmp_path, scheduled("every 1h")) as world:
        history = world.history
        await go_until(world, DUE - MOMENT)
        (fire,) = world.seen.of(FireDecided)
        with pytest.raises(DuplicateFireError):
            await history.record(fire)
        await go_until(world, DUE)
        assert fire.run_id is not None
        taken = FireTakenBack(
            at=DUE,
            schedule_id=fire.schedule_id,
            pipeline=fire.pipeline,
            identity=fire.identity,
            run_id=fire.run_id,
            reason="late",
            until=START,
        )
        with pytest.raises(RecordRefusedError, match="does not wait for its fire"):
            await history.record(taken)
        assert [each.identity for each in await history.fires()] == [fire.identity]


async def test_a_pause_takes_a_fire_back_and_a_resume_decides_it_anew(tmp_path: Path) -> None:
    async with world_on_disk(tmp_path, scheduled("every 1h")) as world:
        history = world.history
        await go_until(world, DUE - MOMENT)
        await world.engine.pause("job")
        assert await history.fires() == []
        await world.engine.resume("job")
        await go_on(world)
        await go_until(world, DUE)
        assert sorted(str(run.state) for run in await world.runs()) == ["cancelled", "success"]
        assert [each.due_at for each in await history.fires()] == [DUE]


async def test_what_a_fire_replaces_is_asked_to_end_in_the_same_transaction(
    tmp_path: Path,
) -> None:
    pipeline = scheduled("every 1h", overlap="cancel_running")
    async with world_on_disk(tmp_path, pipeline, scripts=[until_stopped]) as world:
        history = world.history
        before = await world.engine.submit(Submission(pipeline="job"))
        await go_on(world)
        await go_until(world, DUE)
        (fire,) = world.seen.of(FireDecided)
        names = [event.name for event in await history.events(after_id=0, limit=1000)]
        assert fire.run_id is not None
        replaced = await history.run(before.run_id)
    place = names.index("fire.decided")
    assert names[place : place + 3] == ["fire.decided", "run.submitted", "run.cancel_requested"]
    assert replaced is not None
    assert replaced.cancel_requested
