"""Parquet and Arrow: every type that can hold a time or a number, and those that cannot."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from openbell.sdk.errors import MalformedError, SchemaChangedError

pytestmark = pytest.mark.integration

Ask = Callable[..., Any]
AT = datetime(2024, 7, 1, 13, 30, tzinfo=UTC)
LOCAL = datetime(2024, 7, 1, 9, 30)  # noqa: DTZ001 - New York's wall clock
COLUMNS = {"open": "p", "high": "p", "low": "p", "close": "p"}


def read(
    folder: Path, ask: Ask, columns: dict[str, pa.Array], width: str = "1min", **more: Any
) -> Any:
    pq.write_table(pa.table(columns), folder / "A.parquet")
    times = {name: name for name in columns if name != "p"}
    settings = {
        "root": str(folder), "path": "A.parquet", "columns": {**COLUMNS, **times},
        "zone": "America/New_York", **more,
    }  # fmt: skip
    return ask(settings, width, ["A"])


@pytest.mark.parametrize(
    ("column", "more"),
    [
        (pa.array([AT], pa.timestamp("us", "UTC")), {}),
        (pa.array([AT], pa.timestamp("ns", "Asia/Tokyo")), {}),
        (pa.array([AT], pa.timestamp("ms", "+05:30")), {}),
        (pa.array([LOCAL], pa.timestamp("s")), {}),
        (pa.array([AT.isoformat()]).dictionary_encode(), {}),
        (pa.array([b"2024-07-01 09:30:00"]), {}),
        (pa.array([int(AT.timestamp())]), {"ts_format": "epoch_s"}),
        (pa.array([AT.timestamp()]), {"ts_format": "epoch_s"}),
        (pa.array([int(AT.timestamp()) * 10**9], pa.int64()), {"ts_format": "epoch_ns"}),
        (pa.array([202407010930]), {"ts_format": "%Y%m%d%H%M"}),
        (pa.array(["07/01/24 09:30 AM"], pa.large_string()), {"ts_format": "%m/%d/%y %I:%M %p"}),
    ],
)
def test_one_instant_in_every_type(
    tmp_path: Path, ask: Ask, column: pa.Array, more: dict[str, str]
) -> None:
    answer = read(tmp_path, ask, {"ts": column, "p": pa.array([1.5])}, **more)
    assert answer.rejected == []
    assert answer.column("ts") == [AT]


@pytest.mark.parametrize(
    "columns",
    [
        {"date": pa.array([date(2024, 7, 1)]), "time": pa.array([time(9, 30)], pa.time32("s"))},
        {"date": pa.array([date(2024, 7, 1)], pa.date64()), "time": pa.array(["09:30"])},
        {"date": pa.array([LOCAL], pa.timestamp("us")), "time": pa.array(["09:30:00.000"])},
        {"date": pa.array([20240701]), "time": pa.array([34_200_000])},
    ],
)
def test_date_and_time_in_two_columns(
    tmp_path: Path, ask: Ask, columns: dict[str, pa.Array]
) -> None:
    more: dict[str, Any] = {"date_format": ["iso", "%Y%m%d"]}
    if pa.types.is_integer(columns["time"].type):
        more["time_format"] = "milliseconds"
    answer = read(tmp_path, ask, {**columns, "p": pa.array([1.5])}, **more)
    assert answer.column("ts") == [AT]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([date(2024, 7, 1)]),
        pa.array([datetime(2024, 7, 1)], pa.timestamp("ns")),  # noqa: DTZ001 - a label
        pa.array([datetime(2024, 7, 1, 4, tzinfo=UTC)], pa.timestamp("ns", "America/New_York")),
        pa.array(["2024-07-01T00:00:00+09:00"]),
    ],
)
def test_daily_bars_carry_the_written_day(tmp_path: Path, ask: Ask, column: pa.Array) -> None:
    answer = read(tmp_path, ask, {"ts": column, "p": pa.array([1.5])}, "1d")
    assert answer.column("ts") == [datetime(2024, 7, 1, tzinfo=UTC)]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([101.07], pa.float64()),
        pa.array([Decimal("101.07")], pa.decimal128(9, 2)),
        pa.array([Decimal("101.07")], pa.decimal256(40, 2)),
        pa.array(["101.07"]),
    ],
)
def test_one_price_in_every_type(tmp_path: Path, ask: Ask, column: pa.Array) -> None:
    answer = read(tmp_path, ask, {"ts": pa.array([AT]), "p": column})
    assert answer.column("close") == [101.07]


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pa.array([None], pa.float64()), "open is empty"),
        (pa.array([float("nan")]), "open is empty"),
        (pa.array([float("inf")]), "open 'inf' is not a number"),
        (pa.array([True]), "open 'True' is not a number"),
        (pa.array([None]), "open is empty"),
        (pa.array([date(2024, 7, 1)]), "open '2024-07-01' is not a number"),
    ],
)
def test_a_value_that_is_no_price_rejects_its_row(
    tmp_path: Path, ask: Ask, column: pa.Array, reason: str
) -> None:
    answer = read(tmp_path, ask, {"ts": pa.array([AT]), "p": column})
    [row] = answer.rejected
    assert (row.line, row.reason) == (1, reason)
    assert row.raw.startswith('{"ts": "2024-07-01 13:30:00+00:00"')


def test_columns_that_hold_no_value_are_a_changed_schema(tmp_path: Path, ask: Ask) -> None:
    with pytest.raises(SchemaChangedError, match=r"column 'p' is of type list<"):
        read(tmp_path, ask, {"ts": pa.array([AT]), "p": pa.array([[1.5]])})


def test_text_that_is_no_text_is_malformed(tmp_path: Path, ask: Ask) -> None:
    with pytest.raises(MalformedError, match=r"A\.parquet"):
        read(tmp_path, ask, {"ts": pa.array([b"\xff\xfe"]), "p": pa.array([1.5])})
    raw = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
    )
    with pytest.raises(MalformedError, match=r"A\.parquet"):
        read(tmp_path, ask, {"ts": raw, "p": pa.array([1.5])})


def test_times_out_of_all_bounds_are_rejected(tmp_path: Path, ask: Ask) -> None:
    numbers = pa.array([2**62, -(2**62), 10**17, 1_719_840_600])
    answer = read(tmp_path, ask, {"ts": numbers, "p": pa.array([1.0] * 4)}, ts_format="epoch_s")
    assert answer.column("ts") == [AT]
    assert [row.line for row in answer.rejected] == [1, 2, 3]
