"""When a live job looks for its next bar."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbell.operators.polling import (
    first_watermark_us,
    newest_bar_us,
    next_poll,
    session_start_us,
)
from openbell.sdk import BarWidth, SessionTable, to_us
from openbell.testing.requests import weekday_sessions

pytestmark = pytest.mark.unit

WEEK = weekday_sessions(date(2026, 1, 5), date(2026, 1, 9))
NONE = SessionTable(calendar="none")
MINUTE, HOUR, DAY = (BarWidth.parse(text) for text in ("1min", "1h", "1d"))


def at(day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 1, day, hour, minute, second, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "bar", "expected"),
    [
        (at(5, 15, 0, 1), MINUTE, at(5, 15, 1)),
        (at(5, 15, 0), MINUTE, at(5, 15, 1)),
        (at(5, 14, 30), HOUR, at(5, 15, 30)),
        (at(5, 20, 45), HOUR, at(5, 21)),
        (at(5, 21), MINUTE, at(6, 14, 31)),
        (at(5, 3), MINUTE, at(5, 14, 31)),
        (at(5, 15), DAY, at(5, 21)),
        (at(5, 21), DAY, at(6, 21)),
        (at(9, 22), MINUTE, at(9, 22, 1)),
    ],
)
def test_the_next_poll_is_when_a_bar_is_complete(
    now: datetime, bar: BarWidth, expected: datetime
) -> None:
    assert next_poll(now, bar, WEEK) == expected


def test_without_sessions_bars_start_at_multiples_of_their_width() -> None:
    assert next_poll(at(5, 3, 0, 7), MINUTE, NONE) == at(5, 3, 1)
    assert first_watermark_us(at(5, 3, 0, 7), MINUTE, NONE) == to_us(at(5, 3))


def test_a_fresh_job_begins_with_the_session_under_way() -> None:
    assert first_watermark_us(at(6, 15), MINUTE, WEEK) == to_us(at(6, 14, 30))
    assert first_watermark_us(at(6, 15), DAY, WEEK) == to_us(at(6, 0))
    assert session_start_us(WEEK, to_us(at(5, 3))) is None


@given(st.integers(0, 7 * 86_400), st.sampled_from([MINUTE, HOUR, DAY]))
def test_the_next_poll_is_always_later(second: int, bar: BarWidth) -> None:
    instant = at(5, 0) + timedelta(seconds=second)
    found = next_poll(instant, bar, WEEK)
    assert instant < found <= instant + timedelta(days=4)


def test_bars_before_the_newest_that_may_be_incomplete_are_complete() -> None:
    odd = BarWidth.parse("7min")
    assert newest_bar_us(at(5, 14, 37), odd, WEEK) == to_us(at(5, 14, 37))
    assert newest_bar_us(at(5, 14, 43), odd, WEEK) == to_us(at(5, 14, 37))
    assert newest_bar_us(at(6, 14, 43), odd, WEEK) == to_us(at(6, 14, 37))
    assert newest_bar_us(at(5, 3, 0, 7), MINUTE, NONE) == to_us(at(5, 3))


def test_a_daily_bar_is_complete_at_the_close() -> None:
    assert newest_bar_us(at(5, 20), DAY, WEEK) == to_us(at(5, 0))
    assert newest_bar_us(at(5, 21), DAY, WEEK) == to_us(at(6, 0))
    assert newest_bar_us(at(6, 3), DAY, WEEK) == to_us(at(6, 0))


@given(
    st.lists(st.integers(1, 40_000), min_size=1, max_size=40),
    st.sampled_from(["1min", "7min", "1h", "4h", "1d"]),
)
def test_no_bar_is_ever_skipped(gaps_s: list[int], width: str) -> None:
    """Polls at whatever instants: each bar lies in the first span asked for after it is complete."""
    bar = BarWidth.parse(width)
    now = at(5, 14, 30)
    reached_us = first_watermark_us(now, bar, WEEK)
    for gap_s in gaps_s:
        before, now = now, min(now + timedelta(seconds=gap_s), at(9, 23))
        for start_us, done_us in bars_of_the_week(bar):
            if to_us(before) < done_us <= to_us(now):
                assert reached_us <= start_us < to_us(now)
        reached_us = max(reached_us, newest_bar_us(now, bar, WEEK))


def bars_of_the_week(bar: BarWidth) -> list[tuple[int, int]]:
    width_us = bar.width_s * 1_000_000
    if bar.is_daily:
        starts = [day * 86_400_000_000 for day in WEEK.labels_day]
        return list(zip(starts, WEEK.closes_us, strict=True))
    return [
        (start_us, min(close_us, start_us + width_us))
        for open_us, close_us in zip(WEEK.opens_us, WEEK.closes_us, strict=True)
        for start_us in range(open_us, close_us, width_us)
    ]
