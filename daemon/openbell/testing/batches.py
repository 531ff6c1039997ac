"""Batches of bars to test with, in the schemas of `openbell.sdk.arrow`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from openbell.sdk.arrow import chunk_schema, provided_schema
from openbell.sdk.schemas import BARS_OHLCV, TableSchema
from openbell.sdk.values import BarWidth
from openbell.testing.requests import START

Row = Mapping[str, Any]


def bars(
    symbol: str = "AAPL",
    *,
    count: int = 5,
    start: datetime = START,
    interval: str = "1min",
    provider: str = "fake",
    schema: TableSchema = BARS_OHLCV,
    **columns: Sequence[Any],
) -> pa.RecordBatch:
    """Return `count` bars as they travel between nodes, one every `interval` from `start`.

    Prices rise by a cent a bar and pass every core rule. A keyword replaces a whole column:
    `bars(count=2, close=[1.0, None])`. Columns of `schema` without a value are null.
    """
    values = _values(symbol, count=count, start=start, interval=interval)
    values |= {"provider": [provider] * count, "interval": [interval] * count}
    return _batch(chunk_schema(schema), values | columns, count)


def provided_bars(
    symbol: str = "AAPL",
    *,
    count: int = 5,
    start: datetime = START,
    interval: str = "1min",
    **columns: Sequence[Any],
) -> pa.RecordBatch:
    """Return `count` bars as a provider yields them: `bars` without `provider` and `interval`."""
    values = _values(symbol, count=count, start=start, interval=interval)
    return _batch(provided_schema(BARS_OHLCV), values | columns, count)


def _values(symbol: str, *, count: int, start: datetime, interval: str) -> dict[str, Sequence[Any]]:
    step = timedelta(seconds=BarWidth.parse(interval).width_s)
    opens = [round(100.0 + n / 100, 2) for n in range(count)]
    return {
        "symbol": [symbol] * count,
        "ts": [start + n * step for n in range(count)],
        "open": opens,
        "high": [round(price + 0.05, 2) for price in opens],
        "low": [round(price - 0.05, 2) for price in opens],
        "close": [round(price + 0.01, 2) for price in opens],
        "volume": [1000.0 + n for n in range(count)],
        "vwap": opens,
        "trade_count": [10 + n for n in range(count)],
    }


def _batch(schema: pa.Schema, values: Mapping[str, Sequence[Any]], count: int) -> pa.RecordBatch:
    unknown = values.keys() - set(schema.names)
    if unknown:
        raise ValueError(f"the schema has no column {', '.join(sorted(unknown))}")
    arrays = [pa.array(values.get(f.name, [None] * count), type=f.type) for f in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def rows_of(batches: Iterable[pa.RecordBatch]) -> list[dict[str, Any]]:
    """Return every row of `batches` as a dict, in order: for comparing in tests."""
    return [row for batch in batches for row in batch.to_pylist()]
