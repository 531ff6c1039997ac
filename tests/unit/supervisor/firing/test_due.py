"""What is due becomes a run, at its instant and once."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from doubles.firing import firing, scheduled

pytestmark = [pytest.mark.unit, pytest.mark.anyio]


def at(day: int, hour: int, minute: int = 0, month: int = 1) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


async def test_every_session_fires_once_with_its_label() -> None:
    async with firing(scheduled("WEEKDAYS close + 30m")) as world:
        await world.settle(7 * 86_400)
        runs = await world.runs()
        assert [run.due_at for run in runs] == [at(day, 21, 30) for day in (5, 6, 7, 8, 9)]
        assert [run.session for run in runs] == [f"2026-01-0{day}" for day in (5, 6, 7, 8, 9)]
        assert {run.calendar for run in runs} == {"WEEKDAYS"}
        assert {str(run.state) for run in runs} == {"success"}
        assert {run.origin for run in runs} == {"schedule"}


async def test_a_cron_gives_the_newest_session_that_was_closed_when_it_was_due() -> None:
    async with firing(scheduled("cron '0 7 * * *' UTC")) as world:
        await world.settle(2 * 86_400)
        assert [run.session for run in await world.runs()] == ["2026-01-05", "2026-01-06"]


async def test_the_status_names_the_next_fire_and_the_last() -> None:
    async with firing(scheduled("WEEKDAYS close + 30m")) as world:
        await world.settle(86_400)
        (status,) = world.schedules.statuses()
        assert status.state == "active"
        assert (status.next_at, status.next_session) == (at(6, 21, 30), date(2026, 1, 6))
        assert status.last is not None
        assert status.last.due_at == at(5, 21, 30)
