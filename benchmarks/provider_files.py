"""How many rows a second does the files provider parse, by format and size of page?

A million minutes of made-up prices (fixed seed) in one file; rows a second of CPU time (other work on the
machine does not count), median of five.

    uv run python benchmarks/provider_files.py
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from openbell.sdk.providers import FetchRequest
from openbell.sdk.values import BarWidth, Interval, SessionTable
from openbell_provider_files.provider import FilesProvider
from openbell_provider_files.settings import FilesSettings

ROWS = 1_000_000
REPEATS = 5
JSON = {"ts": "t", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}
CASES: dict[str, dict[str, Any]] = {
    "csv, New York": {"profile": "yahoo-csv", "path": "a.csv", "zone": "America/New_York"},
    "lean, x 10000": {"profile": "lean-hour", "path": "l.csv", "compression": "none"},
    "json lines": {"path": "a.jsonl", "columns": JSON},
    "parquet": {"path": "a.parquet", "columns": JSON},
}


def write(folder: Path) -> None:
    rng = np.random.default_rng(1)
    price = np.round(100 + np.cumsum(rng.normal(0, 0.01, ROWS)), 2)
    at = np.datetime64("2015-01-02T00:00") + np.arange(ROWS).astype("timedelta64[m]")
    texts = np.datetime_as_string(at, unit="s").tolist()
    rows = list(zip(texts, price.tolist(), range(ROWS), strict=True))
    with (folder / "a.csv").open("w") as file:
        file.write("Date,Open,High,Low,Close,Volume\n")
        file.writelines(f"{t.replace('T', ' ')},{p},{p},{p},{p},{v}\n" for t, p, v in rows)
    with (folder / "l.csv").open("w") as file:
        for t, p, v in rows:
            x = round(p * 10_000)
            file.write(f"{t[:4]}{t[5:7]}{t[8:10]} {t[11:16]},{x},{x},{x},{x},{v}\n")
    with (folder / "a.jsonl").open("w") as file:
        for t, p, v in rows:
            file.write(json.dumps({"t": t, "o": p, "h": p, "l": p, "c": p, "v": v}) + "\n")
    columns = {"t": pa.array(at.astype("datetime64[us]")), **dict.fromkeys("ohlc", price)}
    pq.write_table(pa.table({**columns, "v": np.arange(ROWS)}), folder / "a.parquet")


def rows_per_s(settings: dict[str, Any], batch_rows: int) -> float:
    provider = FilesProvider(FilesSettings.model_validate({**settings, "intervals": []}))
    request = FetchRequest(
        dataset="bars",
        schema="bars_ohlcv",
        provider="files",
        symbols=("A",),
        interval=BarWidth.parse("1min"),
        span=Interval(datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)),
        sessions=SessionTable(calendar="24/7"),
        batch_rows=batch_rows,
        now=datetime(2026, 11, 1, tzinfo=UTC),
    )
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        row_count = sum(len(b) for p in provider.fetch(request) for b in p.batches)
        times.append(time.process_time() - start)
        assert row_count > 0.99 * ROWS
    return ROWS / statistics.median(times)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        write(Path(name))
        for case, settings in CASES.items():
            for batch_rows in (50_000, 1_000):
                speed = rows_per_s({"root": name, **settings}, batch_rows)
                print(f"{case:14} pages of {batch_rows:6,}: {speed:12,.0f} rows/s")


if __name__ == "__main__":
    main()
