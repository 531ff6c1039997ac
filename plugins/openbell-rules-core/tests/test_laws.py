"""Laws of every rule: how a stream is cut does not matter, merging is observing all, and a slow
pure-Python oracle agrees."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.property

Row = dict[str, Any]
Oracle = Callable[[Sequence[Row]], list[int]]

_ODD = st.sampled_from([None, math.nan, math.inf, -math.inf, 0.0, -1.0, 1.0, 2.0, 3.0, 5e-324])
_PRICE = st.one_of(st.sampled_from([1.0, 2.0, 3.0]), _ODD)
_MINUTE = st.one_of(
    st.none(), st.integers(-3, 12), st.sampled_from([0.5, 400.0, 1441.0, -1e6, 1e6])
)


@st.composite
def _rows(draw: st.DrawFn) -> list[Row]:
    """Return rows in any order, or mostly in order of time, with anything wrong in them."""
    size = draw(st.integers(0, 30))
    is_ordered = draw(st.booleans())
    rows = []
    for n in range(size):
        minute = n // 3 if is_ordered and draw(st.integers(0, 9)) else draw(_MINUTE)
        symbol = draw(st.sampled_from(["A", "B", "C", "A", "B", "C", "x y", "", None]))
        rows.append(
            {
                "provider": draw(st.sampled_from(["p", "p", "p", "q", None])),
                "symbol": symbol,
                "interval": draw(st.sampled_from(["1min", "1min", "1min", "7x"])),
                "minute": minute,
                **{name: draw(_PRICE) for name in ("open", "high", "low", "close")},
                "volume": draw(_ODD),
                "vwap": None,
                "trade_count": draw(st.one_of(st.none(), st.integers(-2, 3))),
            }
        )
    return rows


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _where(test: Callable[[Row], bool]) -> Oracle:
    return lambda rows: [i for i, row in enumerate(rows) if test(row)]


def _is_outside(value: Any, low: float, high: float) -> bool:
    return value is not None and not (math.isfinite(value) and low <= value <= high)


def _is_crooked(row: Row) -> bool:
    pairs = [
        ("low", "open"),
        ("low", "close"),
        ("open", "high"),
        ("close", "high"),
        ("low", "high"),
    ]
    values = [(row[a], row[b]) for a, b in pairs]
    return any(a is not None and b is not None and not a <= b for a, b in values)


def _series(row: Row) -> tuple[Any, ...] | None:
    key = (row["provider"], row["symbol"], row["interval"])
    return None if None in (*key, row["ts"]) else key


def _repeats(columns: Sequence[str]) -> Oracle:
    def found(rows: Sequence[Row]) -> list[int]:
        seen, bad = set(), []
        for i, row in enumerate(rows):
            key = tuple(row[name] for name in columns)
            if None in key:
                continue
            if key in seen:
                bad.append(i)
            seen.add(key)
        return bad

    return found


def _steps_back(*, strict: bool) -> Oracle:
    def found(rows: Sequence[Row]) -> list[int]:
        last: dict[Any, Any] = {}
        bad = []
        for i, row in enumerate(rows):
            series = _series(row)
            if series is None:
                continue
            before = last.get(series)
            if before is not None and (row["ts"] < before or (strict and row["ts"] == before)):
                bad.append(i)
            last[series] = row["ts"]
        return bad

    return found


KEYS = ("provider", "symbol", "interval", "ts")
CASES: dict[str, tuple[str, dict[str, Any], Oracle]] = {
    "not_null floats": (
        "not_null",
        {"columns": ["close"]},
        _where(lambda r: _is_missing(r["close"])),
    ),
    "not_null all": (
        "not_null",
        {},
        _where(lambda r: any(_is_missing(r[n]) for n in (*KEYS, "open", "high", "low", "close"))),
    ),
    "not_null integers": (
        "not_null",
        {"columns": ["trade_count"]},
        _where(lambda r: r["trade_count"] is None),
    ),
    "range": (
        "range",
        {"column": "volume", "min": 0, "max": 2.5},
        _where(lambda r: _is_outside(r["volume"], 0, 2.5)),
    ),
    "range of integers": (
        "range",
        {"column": "trade_count", "min": 0.5},
        _where(lambda r: _is_outside(r["trade_count"], 0.5, math.inf)),
    ),
    "range up to": (
        "range",
        {"column": "volume", "max": 2},
        _where(lambda r: _is_outside(r["volume"], -math.inf, 2)),
    ),
    "positive": (
        "positive",
        {"columns": ["open", "close"]},
        _where(lambda r: any(_is_outside(r[n], 5e-324, 1e308) for n in ("open", "close"))),
    ),
    "ohlc": ("ohlc", {}, _where(_is_crooked)),
    "regex": (
        "regex",
        {"column": "symbol", "pattern": "[A-Z]|"},
        _where(lambda r: r["symbol"] is not None and not re.fullmatch("[A-Z]|", r["symbol"])),
    ),
    "set of texts": (
        "set",
        {"column": "interval", "values": ["1min", "5min"]},
        _where(lambda r: r["interval"] not in {"1min", "5min", None}),
    ),
    "set of integers": (
        "set",
        {"column": "trade_count", "values": [0, 1]},
        _where(lambda r: r["trade_count"] not in {0, 1, None}),
    ),
    "unique_key": ("unique_key", {}, _repeats(KEYS)),
    "unique_key by time": ("unique_key", {"columns": ["ts"]}, _repeats(["ts"])),
    "unique_key without time": (
        "unique_key",
        {"columns": ["symbol", "trade_count"]},
        _repeats(["symbol", "trade_count"]),
    ),
    "monotonic_time": ("monotonic_time", {}, _steps_back(strict=True)),
    "monotonic_time not strict": ("monotonic_time", {"strict": False}, _steps_back(strict=False)),
}

_STREAM = {"rows": _rows(), "places": st.lists(st.integers(0, 1000), max_size=6)}


def _timed(kit: Any, rows: Sequence[Row]) -> list[Row]:
    made = []
    for row in rows:
        minute = row["minute"]
        made.append(row | {"ts": None if minute is None else kit.at(minute)})
    return made


@pytest.mark.parametrize("case", CASES)
@given(**_STREAM)
@settings(max_examples=60, deadline=None)
def test_the_bad_rows_are_those_of_the_oracle_however_the_stream_is_cut(
    kit: Any, case: str, rows: list[Row], places: list[int]
) -> None:
    name, params, oracle = CASES[case]
    rows = _timed(kit, rows)
    whole, _ = kit.run(kit.make(name, **params), [kit.batch(rows)])
    parts, _ = kit.run(kit.make(name, **params), kit.cut(rows, places))
    assert whole.bad == oracle(rows)
    assert parts == whole


@pytest.mark.parametrize("case", CASES)
@given(**_STREAM, place=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_merging_two_states_is_observing_all_rows(
    kit: Any, *, case: str, rows: list[Row], places: list[int], place: int
) -> None:
    name, params, _ = CASES[case]
    rows = _timed(kit, rows)
    half = place % (len(rows) + 1)
    rule = kit.make(name, **params)
    _, left = kit.run(rule, kit.cut(rows[:half], places))
    _, right = kit.run(rule, kit.cut(rows[half:], places))
    before = right.conclude()
    left.merge(right)
    assert right.conclude() == before
    merged, whole = left.conclude(), kit.run(rule, [kit.batch(rows)])[0].findings
    if name == "unique_key":  # its examples are the stated exception
        told = [(f.message, f.row_count, f.metric) for f in merged]
        assert told == [(f.message, f.row_count, f.metric) for f in whole]
    else:
        assert merged == whole
    again = kit.batch(rows)  # and a merged state goes on as one that saw everything
    merged_bad, whole_bad = _bad_of(left, again), _bad_of(kit.run(rule, [again])[1], again)
    assert merged_bad == whole_bad
    assert not (name == "unique_key" and merged_bad != _all_with_keys(rows, params))


def _bad_of(state: Any, batch: Any) -> list[int]:
    from openbell.sdk.arrow import BatchView

    mask = state.observe(BatchView(batch))
    return [] if mask is None else [int(i) for i in mask.nonzero()[0]]


def _all_with_keys(rows: Sequence[Row], params: dict[str, Any]) -> list[int]:
    columns = params.get("columns", KEYS)
    return [i for i, row in enumerate(rows) if all(row[name] is not None for name in columns)]


_AT_THE_END: dict[str, dict[str, Any]] = {
    "row_count": {"min": 5, "max": 20},
    "null_share": {"column": "close", "warn": 0.1, "fail": 0.3},
    "complete_session": {"min_ratio": 0.1},
}


@pytest.mark.parametrize("name", _AT_THE_END)
@given(**_STREAM, place=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_an_answer_about_the_interval_depends_on_the_rows_alone(
    kit: Any, *, name: str, rows: list[Row], places: list[int], place: int
) -> None:
    rows = _timed(kit, rows)
    half = place % (len(rows) + 1)
    rule = kit.make(name, **_AT_THE_END[name])
    whole, _ = kit.run(rule, [kit.batch(rows)])
    parts, _ = kit.run(rule, kit.cut(rows, places))
    _, left = kit.run(rule, kit.cut(rows[:half], places))
    _, right = kit.run(rule, kit.cut(rows[half:], places))
    left.merge(right)
    assert whole.bad == []
    assert parts.findings == whole.findings == list(left.conclude())


@given(**_STREAM)
@settings(max_examples=40, deadline=None)
def test_complete_session_counts_each_due_bar_of_a_symbol_once(
    kit: Any, rows: list[Row], places: list[int]
) -> None:
    rows = _timed(kit, rows)
    answer, _ = kit.run(kit.make("complete_session"), kit.cut(rows, places))
    seen = defaultdict(set)
    for row in rows:
        if row["minute"] in range(60) and row["symbol"] in {"A", "B", "C"}:
            seen[row["symbol"]].add(row["minute"])
    expected = [
        f"session=2026-01-05 symbol={symbol} bars={len(seen[symbol])}/60"
        for symbol in ("A", "B", "C")
        if len(seen[symbol]) < 60
    ]
    assert list(answer.findings[0].examples) == expected
