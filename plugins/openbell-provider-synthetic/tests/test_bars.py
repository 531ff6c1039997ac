"""What the bars are."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openbell.sdk.errors import FatalError, NotFoundError
from openbell.sdk.values import Interval

pytestmark = pytest.mark.unit


def _digest(rows: list[dict[str, Any]]) -> str:
    text = json.dumps([[str(v) if k == "ts" else v for k, v in r.items()] for r in rows])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_the_bits_of_the_bars_never_change(kit: Any) -> None:
    """Numbers from one machine, held against every other machine, Python and numpy."""
    minutes = kit.rows(kit.request())
    seconds = kit.rows(kit.request(interval="1s", end=kit.start + timedelta(hours=15)))
    days = kit.rows(kit.request(interval="1d"), tick_size="0.25", price="4000", seed=7)
    faulty = kit.rows(kit.request(), faults=dict.fromkeys(("gaps", "late", "nulls"), 0.1))
    digests = [_digest(rows) for rows in (minutes, seconds, days, faulty)]
    assert digests == [
        "d71412e95d277322",
        "4ce346c98a60eb44",
        "fb4d79236cfc39f4",
        "ff5ad824ea204397",
    ]


def test_a_session_of_minutes_has_a_bar_for_each_from_open_to_close(kit: Any) -> None:
    rows = kit.rows(kit.request("AAPL"))
    assert len(rows) == 5 * 390
    assert rows[0]["ts"] == datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
    assert rows[389]["ts"] == datetime(2026, 1, 5, 20, 59, tzinfo=UTC)
    assert rows[390]["ts"] == datetime(2026, 1, 6, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("interval", "count"),
    [("1s", 23_400), ("7s", 3_343), ("5min", 78), ("1h", 7), ("7h", 1), ("1d", 1)],
)
def test_every_width_cuts_the_session_from_its_open(kit: Any, interval: str, count: int) -> None:
    request = kit.request("AAPL", interval=interval, end=kit.start + timedelta(days=1))
    assert len(kit.rows(request)) == count


def test_bars_stand_on_the_tick_grid_and_hold_together(kit: Any) -> None:
    for row in kit.rows(kit.request(), volatility_bp=50):
        prices = [row[name] for name in ("open", "high", "low", "close")]
        assert all(price == round(price, 2) and price > 0 for price in prices)
        assert row["low"] <= min(row["open"], row["close"], row["vwap"])
        assert row["high"] >= max(row["open"], row["close"], row["vwap"])
        assert row["volume"] > 0
        assert row["volume"] % 100 == 0
        assert row["trade_count"] >= 1


def test_prices_stay_positive_when_a_tick_is_all_there_is(kit: Any) -> None:
    rows = kit.rows(kit.request(), price="0.01", volatility_bp=1000)
    assert min(row["low"] for row in rows) == 0.01


def test_each_bar_opens_where_the_one_before_closed(kit: Any) -> None:
    rows = kit.rows(kit.request("AAPL"))[:390]
    assert all(a["close"] == b["open"] for a, b in itertools.pairwise(rows))


@pytest.mark.parametrize("interval", ["1s", "1min", "5min", "1h"])
def test_every_width_starts_and_ends_a_session_at_the_prices_of_the_daily_bar(
    kit: Any, interval: str
) -> None:
    (day,) = kit.rows(kit.request("AAPL", interval="1d", end=kit.start + timedelta(days=1)))
    bars = kit.rows(kit.request("AAPL", interval=interval, end=kit.start + timedelta(days=1)))
    assert (bars[0]["open"], bars[-1]["close"]) == (day["open"], day["close"])


def test_breaks_are_respected(kit: Any) -> None:
    opens, closes = datetime(2026, 1, 5, 1, tzinfo=UTC), datetime(2026, 1, 5, 7, tzinfo=UTC)
    lunch = datetime(2026, 1, 5, 3, 30, tzinfo=UTC), datetime(2026, 1, 5, 4, 30, tzinfo=UTC)
    pause = (0, *(int(moment.timestamp()) * 1_000_000 for moment in lunch))
    sessions = kit.table([opens], [closes], breaks=(pause,))
    times = [row["ts"] for row in kit.rows(kit.request("A", sessions=sessions))]
    assert len(times) == 300
    assert not [ts for ts in times if lunch[0] <= ts < lunch[1]]
    assert lunch[1] in times
    inside = kit.request("A", sessions=sessions, start=lunch[0] + timedelta(minutes=10))
    assert kit.rows(inside)[0]["ts"] == lunch[1]


def test_a_break_at_the_open_delays_the_first_bar(kit: Any) -> None:
    opens, closes = datetime(2026, 1, 5, 1, tzinfo=UTC), datetime(2026, 1, 5, 7, tzinfo=UTC)
    open_us = int(opens.timestamp()) * 1_000_000
    sessions = kit.table([opens], [closes], breaks=((0, open_us, open_us + 3_600_000_000),))
    times = [row["ts"] for row in kit.rows(kit.request("A", sessions=sessions))]
    assert times[0] == opens + timedelta(hours=1)
    assert len(times) == 300


def test_a_session_that_opens_on_the_evening_before_keeps_its_label(kit: Any) -> None:
    sessions = kit.table(
        [datetime(2026, 1, 4, 23, tzinfo=UTC)], [datetime(2026, 1, 5, 22, tzinfo=UTC)]
    )
    (day,) = kit.rows(kit.request("ES", interval="1d", sessions=sessions))
    assert day["ts"] == datetime(2026, 1, 5, tzinfo=UTC)
    hours = kit.rows(
        kit.request("ES", interval="1h", start=kit.start - timedelta(1), sessions=sessions)
    )
    assert hours[0]["ts"] == datetime(2026, 1, 4, 23, tzinfo=UTC)
    assert len(hours) == 23


@pytest.mark.parametrize("year", [1890, 1929, 1969])
def test_there_are_bars_before_1970(kit: Any, year: int) -> None:
    day = datetime(year, 3, 4, tzinfo=UTC)
    sessions = kit.table([day + timedelta(hours=10)], [day + timedelta(hours=15)])
    span = {"start": day, "end": day + timedelta(days=1), "sessions": sessions}
    (bar,) = kit.rows(kit.request("A", interval="1d", **span), faults={"splits": 0.5})
    hours = kit.rows(kit.request("A", interval="1h", **span), faults={"splits": 0.5})
    assert len(hours) == 5
    assert (hours[0]["open"], hours[-1]["close"]) == (bar["open"], bar["close"])


def test_symbols_and_seeds_have_bars_of_their_own(kit: Any) -> None:
    closes = {
        tuple(row["close"] for row in kit.rows(kit.request(symbol), seed=seed))
        for symbol in ("AAPL", "MSFT", "")
        for seed in (1, 2)
    }
    assert len(closes) == 6


def test_a_page_covers_a_range_of_time_sorted_by_symbol_and_time(kit: Any) -> None:
    pages = kit.pages(kit.request("B", "A", batch_rows=100))
    rows = pages[0].batches[0].to_pylist()
    assert [row["symbol"] for row in rows] == ["B"] * 50 + ["A"] * 50
    assert rows[49]["ts"] < pages[1].batches[0]["ts"][0].as_py()
    assert {page.total_rows_hint for page in pages} == {5 * 390 * 2}


def test_bars_are_there_once_they_have_ended(kit: Any) -> None:
    now = datetime(2026, 1, 5, 14, 35, tzinfo=UTC)
    rows = kit.rows(kit.request("AAPL", now=now))
    assert rows[-1]["ts"] == now - timedelta(minutes=1)
    earlier = kit.rows(kit.request("AAPL", now=now - timedelta(microseconds=1)))
    assert len(earlier) == len(rows) - 1


def test_a_daily_bar_is_there_once_its_session_has_closed(kit: Any) -> None:
    close = datetime(2026, 1, 5, 21, tzinfo=UTC)
    assert len(kit.rows(kit.request("AAPL", interval="1d", now=close))) == 1
    assert not kit.rows(kit.request("AAPL", interval="1d", now=close - timedelta(seconds=1)))


def test_nothing_due_is_a_confirmed_empty_page(kit: Any) -> None:
    (page,) = kit.pages(kit.request(now=kit.start))
    assert page.no_data_confirmed
    assert not page.batches
    again = replace(kit.request(now=kit.start), cursor=page.cursor)
    assert kit.pages(again) == []


def test_a_cursor_outlives_more_bars_and_other_page_sizes(kit: Any) -> None:
    request = kit.request(batch_rows=100)
    whole = kit.rows(request)
    first = kit.pages(request)[0]
    done = kit.rows_of([first])
    rest = kit.rows(replace(request, cursor=first.cursor, batch_rows=10**6))
    assert sorted(map(str, done + rest)) == sorted(map(str, whole))


@pytest.mark.property
@given(
    minute=st.integers(0, 7 * 1440),
    length=st.integers(1, 600),
    batch_rows=st.integers(1, 700),
    interval=st.sampled_from(["1min", "7min", "1h", "1d"]),
)
@settings(max_examples=60, deadline=None)
def test_a_bar_does_not_depend_on_where_a_request_starts_nor_on_pages(
    kit: Any, *, minute: int, length: int, batch_rows: int, interval: str
) -> None:
    start = kit.start - timedelta(days=1) + timedelta(minutes=minute)
    span = Interval(start, start + timedelta(minutes=length))
    whole = kit.rows(kit.request(interval=interval, batch_rows=10**6))
    expected = [row for row in whole if span.start <= row["ts"] < span.end]
    request = replace(kit.request(interval=interval), span=span, batch_rows=batch_rows)
    found = kit.rows(request)
    assert sorted(map(str, found)) == sorted(map(str, expected))


@pytest.mark.property
@given(start_s=st.integers(0, 23_400), length=st.integers(1, 2_000), page=st.integers(1, 900))
@settings(max_examples=15, deadline=None)
def test_seconds_do_not_depend_on_it_either(kit: Any, start_s: int, length: int, page: int) -> None:
    open_at = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
    day = kit.rows(
        kit.request("A", interval="1s", end=kit.start + timedelta(days=1), batch_rows=10**6)
    )
    start = open_at + timedelta(seconds=start_s)
    end = start + timedelta(seconds=length)
    found = kit.rows(kit.request("A", interval="1s", start=start, end=end, batch_rows=page))
    assert found == day[start_s : start_s + length][: max(0, 23_400 - start_s)]


def test_what_it_cannot_do_it_says(kit: Any) -> None:
    with pytest.raises(FatalError, match="1s to 1d, not 2d"):
        kit.pages(kit.request(interval="2d"))
    with pytest.raises(NotFoundError, match="bars_ohlcv, not 'ticks'"):
        kit.pages(kit.request(schema="ticks"))
    with pytest.raises(FatalError, match="cursor 'x'"):
        kit.pages(kit.request(cursor="x"))


@pytest.mark.integration
def test_registering_imports_nothing_heavy() -> None:
    code = (
        "import sys, openbell_provider_synthetic as p; specs = p.openbell_register_providers();"
        "assert specs[0].name == 'synthetic'; print([m for m in ('numpy', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_closing_and_capabilities(kit: Any) -> None:
    provider = kit.provider()
    assert provider.capabilities().live
    provider.close()
    provider.close()
