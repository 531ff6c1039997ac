"""Pages end early where what is on them is large, and go on without gap or repeat."""

from __future__ import annotations

import pytest
from doubles import story

from openbell.history.store import HistoryStore
from openbell.model import events as ev
from openbell.model.letters import LetterFilter
from openbell.model.runs import LogLine

pytestmark = pytest.mark.integration


async def test_large_events_come_in_pages_that_stay_small_and_leave_nothing_out(
    history: HistoryStore,
) -> None:
    large = [
        ev.ReloadRefused(at=story.START, problems=(f"{number}: " + "x" * 20_000,))
        for number in range(250)
    ]
    told = await history.record(*large)
    first = await history.events(limit=5000)
    rest = await history.events(after_id=first[-1].id, limit=5000)

    assert len(first) == 100
    assert (*first, *rest, *await history.events(after_id=rest[-1].id)) == told


async def test_long_log_lines_come_in_pages_that_stay_small_and_leave_nothing_out(
    history: HistoryStore,
) -> None:
    await history.record(story.defined(), *story.whole_run()[:3])
    lines = [
        LogLine(stream="stdout", level="info", text=f"{number}: " + "x" * 8000, at=story.START)
        for number in range(320)
    ]
    for attempt in (1, 2, 3):
        await history.record(
            ev.LogWritten(
                at=story.START,
                run_id="run_1",
                pipeline="eod",
                node="fetch",
                attempt=attempt,
                lines=lines[attempt - 1 :: 3],
            )
        )
    first = await history.logs("run_1", limit=5000)
    rest = await history.logs("run_1", after_id=first[-1].id, limit=5000)

    assert len(first) == 200
    assert len({line.line.text for line in (*first, *rest)}) == 320


async def test_large_dead_letters_come_in_pages_that_stay_small_and_leave_nothing_out(
    history: HistoryStore,
) -> None:
    await history.record(story.defined(), *story.whole_run()[:3])
    letters = [
        ev.DeadLettered(
            at=story.START,
            letter_id=f"let_{number:03}",
            run_id="run_1",
            pipeline="eod",
            node="fetch",
            error_kind="data" if number % 2 else "transient",
            error="no",
            traceback="x" * 20_000,
            attempts=1,
        )
        for number in range(150)
    ]
    await history.record(*letters)
    first = await history.dead_letters(LetterFilter(limit=500))
    rest = await history.dead_letters(LetterFilter(limit=500, before=first[-1].letter_id))
    of_kind = await history.dead_letters(LetterFilter(kind="data", limit=500))

    assert len(first) == 100
    assert [each.letter_id for each in (*first, *rest)] == [
        letter.letter_id for letter in reversed(letters)
    ]
    assert len(of_kind) == 75
