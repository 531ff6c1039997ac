"""Whether a session of a dataset is there: on disk and in memory alike."""

from __future__ import annotations

from datetime import timedelta

import pytest
from doubles import story

from openbell.history.store import HistoryStore
from openbell.model.history import History
from openbell.testing import MemoryHistory

pytestmark = pytest.mark.integration

SPAN = story.receipt().interval
HOUR = timedelta(hours=1)


@pytest.fixture(params=["memory", "disk"])
def either(request: pytest.FixtureRequest, history: HistoryStore) -> History:
    return MemoryHistory() if request.param == "memory" else history


async def is_there(history: History) -> bool:
    return await history.is_committed("bars", SPAN.start - HOUR, SPAN.end + HOUR)


async def test_half_a_run_is_not_taken_for_the_whole(either: History) -> None:
    await either.record(story.defined(), story.submitted(), story.started())
    assert not await is_there(either)
    await either.record(story.committed(1))
    assert not await is_there(either), "more may come"
    await either.record(story.finished(at_s=1e9))
    assert await is_there(either)
    assert not await either.is_committed("other", SPAN.start, SPAN.end)
    assert not await either.is_committed("bars", SPAN.end, SPAN.end + HOUR)


async def test_an_earlier_success_says_nothing_of_later_commits(either: History) -> None:
    await either.record(story.defined(), story.submitted(), story.started())
    await either.record(story.finished(at_s=2.0))
    await either.record(story.submitted("run_2"), story.started("run_2"))
    await either.record(story.committed(1, "run_2"))
    assert not await is_there(either)


async def test_a_live_run_counts_once_it_has_passed_the_end(either: History) -> None:
    await either.record(story.defined(), story.submitted(mode="live"), story.started())
    await either.record(story.committed(1))
    assert not await is_there(either)
    assert await either.is_committed("bars", SPAN.start - HOUR, SPAN.end)


async def test_a_session_that_succeeded_is_known(either: History) -> None:
    await either.record(story.defined(), story.submitted(session="2026-01-02"), story.started())
    assert not await either.has_succeeded("eod", "2026-01-02")
    await either.record(story.finished())
    assert await either.has_succeeded("eod", "2026-01-02")
    assert not await either.has_succeeded("eod", "2026-01-05")
