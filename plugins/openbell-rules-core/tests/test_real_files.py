"""Real files: silence on the clean ones, and what is really wrong with the others."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from openbell.sdk.values import BarWidth, Interval
from openbell.testing.requests import weekday_sessions

pytestmark = pytest.mark.integration

DATA = Path(os.environ.get("OPENBELL_SHARED", Path(__file__).parents[4] / "shared")) / "data"

RULES: list[tuple[str, dict[str, Any]]] = [
    ("not_null", {}),
    ("positive", {"columns": ["open", "high", "low", "close"]}),
    ("range", {"column": "volume", "min": 0}),
    ("ohlc", {}),
    ("unique_key", {}),
    ("monotonic_time", {}),
    ("null_share", {"column": "close", "warn": 0.0}),
]


def _rows(kit: Any, path: str) -> list[dict[str, Any]]:
    if not (DATA / path).exists():
        pytest.skip(f"{DATA / path} is not there: set OPENBELL_SHARED to the shared folder")
    made = []
    with (DATA / path).open(newline="") as file:
        for line in csv.DictReader(file, skipinitialspace=True):
            text = next(iter(line.values()))
            is_american = "/" in text
            instant = (
                datetime.strptime(text, "%m/%d/%Y %H:%M")  # noqa: DTZ007 - the zone comes next
                if is_american
                else datetime.fromisoformat(text)
            )
            instant = instant if instant.tzinfo else instant.replace(tzinfo=kit.at(0).tzinfo)
            names = ("open", "high", "low", "close", "volume")
            values = {n: float(line[n.capitalize()]) for n in names if line.get(n.capitalize())}
            made.append(kit.row(0, "X", **dict.fromkeys(names), ts=instant) | values)
    return made


def _found(kit: Any, rows: Sequence[dict[str, Any]], rules: Any = RULES) -> dict[str, int]:
    batches = kit.cut(rows, range(0, len(rows), 100))
    answers = {name: kit.run(kit.make(name, **params), batches)[0] for name, params in rules}
    return {name: answer.count for name, answer in answers.items() if answer.findings}


@pytest.mark.parametrize("name", ["CALM-1d-no-bad-divs", "EA-15m-no-bad-divs"])
def test_the_clean_controls_are_silent(kit: Any, name: str) -> None:
    rows = _rows(kit, f"yahoo_defects/{name}.csv")
    assert len(rows) > 100
    assert _found(kit, rows) == {}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("yahoofinance-AAPL-20040819-20180120", {}),
        ("yahoofinance-GOOG-20040819-20180120", {}),
        ("yahoofinance-INTC-19950101-20040412", {}),
        ("SP500_NOV2019_IDay", {}),
        ("SP500_NOV2019_IDayRVol", {}),
    ],
)
def test_ohlc_and_order_of_other_real_files(kit: Any, name: str, found: dict[str, int]) -> None:
    assert _found(kit, _rows(kit, f"mplfinance/{name}.csv")) == found


def test_files_newest_first_are_out_of_order_in_every_row_but_one(kit: Any) -> None:
    rows = _rows(kit, "yahoo_defects/4063-T-1d-bad-stock-split.csv")
    found = _found(kit, rows)
    assert found["monotonic_time"] == len(rows) - 1
    assert "unique_key" not in found


def test_a_missing_session_of_a_real_file_is_named(kit: Any) -> None:
    rows = _rows(kit, "yahoo_defects/CALM-1d-no-bad-divs.csv")[:20]
    rows = [r | {"ts": r["ts"].replace(hour=0, tzinfo=kit.at(0).tzinfo)} for r in rows]
    days = [r["ts"] for r in rows]
    context = replace(
        kit.context,
        symbols=("X",),
        bar=BarWidth.parse("1d"),
        span=Interval(days[0], days[-1]),
        sessions=weekday_sessions(days[0].date(), days[-1].date()),
    )
    answer, _ = kit.run(kit.make("complete_session"), [kit.batch(rows)], context)
    assert answer.findings[0].examples == ("session=2022-01-17 symbol=X bars=0/1",)  # a holiday
