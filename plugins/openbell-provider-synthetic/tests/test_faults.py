"""What goes wrong on purpose."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from openbell.sdk.errors import RateLimitedError, RetryableError, TransientError

pytestmark = pytest.mark.unit

NOON = datetime(2026, 1, 5, 17, tzinfo=UTC)


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["symbol"], row["ts"]


def test_gaps_are_about_as_many_as_asked_for_and_those_listed(kit: Any) -> None:
    whole = kit.rows(kit.request())
    drawn = kit.rows(kit.request(), faults={"gaps": 0.1})
    assert 0.07 < 1 - len(drawn) / len(whole) < 0.13
    assert all(row in whole for row in drawn[:50])
    listed = [{"symbol": "AAPL", "at": NOON, "until": NOON + timedelta(minutes=2)}]
    listed.append({"symbol": "ELSE", "at": NOON})
    left = kit.rows(kit.request(), faults={"gaps": {"bars": listed}})
    missing = [row for row in whole if row not in left]
    assert [row["ts"].minute for row in missing] == [0, 1, 2]


def test_a_page_of_gaps_alone_is_confirmed(kit: Any) -> None:
    pages = kit.pages(kit.request(), faults={"gaps": 1.0})
    assert all(page.no_data_confirmed for page in pages)


def test_duplicates_come_twice(kit: Any) -> None:
    rows = kit.rows(
        kit.request("AAPL"), faults={"duplicates": {"bars": [{"symbol": "AAPL", "at": NOON}]}}
    )
    assert len(rows) == 5 * 390 + 1
    assert [row["ts"] for row in rows].count(NOON) == 2


def test_out_of_order_rows_change_place_with_the_next(kit: Any) -> None:
    rows = kit.rows(
        kit.request("AAPL", batch_rows=10**6),
        faults={"out_of_order": {"bars": [{"symbol": "AAPL", "at": NOON}]}},
    )
    times = [row["ts"] for row in rows]
    place = times.index(NOON)
    assert times[place - 1] == NOON + timedelta(minutes=1)
    assert sorted(times) == [row["ts"] for row in kit.rows(kit.request("AAPL"))]


@pytest.mark.parametrize("batch_rows", [2, 3, 100, 10**6])
def test_late_rows_come_after_newer_ones_and_once(kit: Any, batch_rows: int) -> None:
    request = kit.request(batch_rows=batch_rows)
    rows = kit.rows(request, faults={"late": {"rate": 0.2, "by_bars": 5}})
    assert sorted(map(_key, rows)) == sorted(map(_key, kit.rows(request)))
    times = [row["ts"] for row in rows if row["symbol"] == "AAPL"]
    assert sum(b < a for a, b in itertools.pairwise(times)) > 100


def test_a_late_row_is_not_there_before_its_time(kit: Any) -> None:
    faults = {"late": {"bars": [{"symbol": "AAPL", "at": NOON}], "by_bars": 4}}
    seen = []
    for minutes in range(7):
        now = NOON + timedelta(minutes=minutes)
        rows = kit.rows(kit.request("AAPL", start=NOON, now=now), faults=faults)
        seen.append(NOON in [row["ts"] for row in rows])
    assert seen[:2] == [False, False]
    assert seen[-1] is True


def test_bad_ohlc_has_its_low_above_its_high(kit: Any) -> None:
    rows = kit.rows(kit.request(), faults={"bad_ohlc": 0.1})
    bad = [row for row in rows if row["low"] > row["high"]]
    assert 0.07 < len(bad) / len(rows) < 0.13


def test_nulls_are_in_the_columns_named(kit: Any) -> None:
    rows = kit.rows(kit.request(), faults={"nulls": {"rate": 0.1, "columns": ["close", "volume"]}})
    without = [row for row in rows if row["close"] is None]
    assert 0.07 < len(without) / len(rows) < 0.13
    assert all(row["volume"] is None and row["open"] is not None for row in without)


def test_the_vendor_revises_bars_later(kit: Any) -> None:
    faults = {"revisions": {"rate": 0.1, "after_s": 86_400}}
    soon = kit.rows(kit.request(now=kit.end), faults=faults)
    later = kit.rows(kit.request(now=kit.end + timedelta(days=30)), faults=faults)
    assert kit.rows(kit.request()) != soon
    changed = [(a, b) for a, b in zip(soon, later, strict=True) if a != b]
    assert {a["ts"].day for a, _ in changed} == {9}
    assert all(b["volume"] > a["volume"] for a, b in changed)
    assert all(b["low"] <= b["close"] <= b["high"] for _, b in changed)
    first = kit.rows(kit.request(now=NOON), faults=faults)
    assert first == kit.rows(kit.request(now=NOON))


def test_a_split_divides_prices_and_multiplies_volumes_from_its_session_on(kit: Any) -> None:
    split = {"symbol": "AAPL", "session": "2026-01-07", "ratio": 4}
    other = {"symbol": "ELSE", "session": "2026-01-07", "ratio": 4}
    plain = kit.rows(kit.request(interval="1d"))
    after = kit.rows(kit.request(interval="1d"), faults={"splits": {"splits": [split, other]}})
    for a, b in zip(plain, after, strict=True):
        ratio = 4 if a["symbol"] == "AAPL" and a["ts"].day >= 7 else 1
        assert abs(b["open"] - a["open"] / ratio) < 0.02
        assert b["volume"] == a["volume"] * ratio


def test_drawn_splits_are_two_for_one_and_back(kit: Any) -> None:
    symbols = [f"S{n}" for n in range(50)]
    plain = kit.rows(kit.request(*symbols, interval="1d"))
    drawn = kit.rows(kit.request(*symbols, interval="1d"), faults={"splits": 0.5})
    ratios = {round(a["open"] / b["open"]) for a, b in zip(plain, drawn, strict=True)}
    assert ratios == {1, 2}


def _fetch_to_the_end(kit: Any, faults: dict[str, Any], *, attempts: int) -> list[Exception]:
    """Fetch with a new provider and a second more of time for each attempt, as the daemon does."""
    request = kit.request(batch_rows=100)
    errors: list[Exception] = []
    rows = []
    for _ in range(attempts):
        try:
            for page in kit.provider(faults=faults).fetch(request):
                rows += kit.rows_of([page])
                request = replace(request, cursor=page.cursor)
        except RetryableError as error:
            errors.append(error)
            request = replace(request, now=request.now + timedelta(seconds=1))
        else:
            assert sorted(map(_key, rows)) == sorted(map(_key, kit.rows(kit.request())))
            return errors
    raise AssertionError(f"not done after {attempts} attempts: {errors}")


def test_rate_limits_say_when_to_come_back_and_pass(kit: Any) -> None:
    errors = _fetch_to_the_end(
        kit, {"rate_limits": {"rate": 0.3, "retry_after_s": 7}}, attempts=200
    )
    assert errors
    assert all(isinstance(e, RateLimitedError) and e.retry_after_s == 7 for e in errors)


def test_outages_pass(kit: Any) -> None:
    errors = _fetch_to_the_end(kit, {"outages": 1.0}, attempts=200)
    assert all(type(error) is TransientError for error in errors)
    assert len(errors) >= 38


def test_an_outage_in_a_session_strikes_once(kit: Any) -> None:
    errors = _fetch_to_the_end(kit, {"outages": {"sessions": ["2026-01-07"]}}, attempts=2)
    assert len(errors) == 1


def test_one_provider_object_fails_a_page_as_often_as_told(kit: Any) -> None:
    faults = {"outages": {"sessions": ["2026-01-07"], "times": 3}}
    provider = kit.provider(faults=faults)
    request = kit.request(batch_rows=100)
    failures = 0
    for _ in range(6):
        try:
            for page in provider.fetch(request):
                request = replace(request, cursor=page.cursor)
        except TransientError:
            failures += 1
    assert failures == 3


def test_an_outage_lasts_as_long_as_its_window(kit: Any) -> None:
    window = {"start": kit.end, "end": kit.end + timedelta(hours=1)}
    provider = kit.provider(faults={"outages": {"windows": [window]}})
    for minutes, is_out in ((0, True), (59, True), (60, False)):
        request = kit.request(now=kit.end + timedelta(minutes=minutes))
        for _ in range(3):
            if is_out:
                with pytest.raises(TransientError, match="outage"):
                    list(provider.fetch(request))
            else:
                assert list(provider.fetch(request))


def test_an_outage_strikes_an_empty_answer_as_well(kit: Any) -> None:
    window = {"start": kit.start, "end": kit.end}
    with pytest.raises(TransientError):
        kit.pages(kit.request(now=kit.start), faults={"outages": {"windows": [window]}})


@pytest.mark.parametrize(
    "faults",
    [
        {"gaps": 1.5},
        {"gaps": True},
        {"gapes": 0.1},
        {"gaps": {"bars": [{"symbol": "A", "at": "2026-01-05T00:00:00"}]}},
        {"gaps": {"bars": [{"symbol": "A", "at": NOON, "until": NOON - timedelta(1)}]}},
        {"nulls": {"columns": ["symbol"]}},
        {"outages": {"windows": [{"start": NOON, "end": NOON}]}},
        {"splits": {"splits": [{"symbol": "A", "session": "2026-01-05", "ratio": 0}]}},
    ],
)
def test_wrong_settings_are_refused(kit: Any, faults: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kit.provider(faults=faults)
