"""How fast does the lake take, compare, fold and give back 20 M one-minute bars?

    python benchmarks/storage_lake.py bulk      # time order, again, folded, one symbol, live batches
    python benchmarks/storage_lake.py symbols   # one symbol's history a batch, fold, one symbol
    python benchmarks/storage_lake.py small     # time order in batches of 1,000 rows, fold
    python benchmarks/storage_lake.py peers     # 500 bars through Delta MERGE and DuckDB MERGE

Options: --rows N (20 M), --symbols N (500), --chunk N rows (1 M), --batches N (60), --store DIR
(deleted first). Every figure is wall time of the backend alone: making the bars is not counted.
Short steps are repeated and given as min / median / max. Peak memory is of the whole process, the
generator included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from openbell.sdk.arrow import chunk_schema, constant
from openbell.sdk.backends import ReadFilter, StageRequest
from openbell.sdk.schemas import BARS_OHLCV, TableSpec
from openbell.sdk.values import Interval, Receipt
from openbell_storage_lake.backend import LakeBackend
from openbell_storage_lake.settings import LakeSettings

TABLE = TableSpec(dataset="bars", schema=BARS_OHLCV, bar_interval="1min")
SPAN = Interval(datetime(2024, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
MINUTES = 390
DAY_US = 86_400_000_000
SCHEMA = chunk_schema(BARS_OHLCV)


class Market:
    """A random walk in cents, about 2 % of the minutes missing; the same for the same seed."""

    def __init__(self, symbol_count: int, day_count: int) -> None:
        rng = np.random.default_rng(7)
        letters = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
        names: set[str] = set()
        while len(names) < symbol_count:
            names.add("".join(rng.choice(letters, rng.integers(2, 6))))
        self.symbols = sorted(names)
        first = np.datetime64("2024-01-02")
        days = np.arange(first, first + 2 * day_count)
        self.days = days[np.is_busday(days)][:day_count].astype("datetime64[us]").astype(np.int64)
        self.price = np.maximum(200, np.exp(rng.normal(4, 1, symbol_count)) * 100)
        self.volume = np.exp(rng.normal(7, 1.5, symbol_count))

    def bars(self, day: int) -> dict[str, np.ndarray]:
        """Return one day as columns of shape (minute, symbol), flattened in time order."""
        rng = np.random.default_rng([7, day])
        shape = (MINUTES, len(self.symbols))
        sigma = self.price * 0.0006
        step = np.cumsum(rng.standard_normal(shape, dtype=np.float32) * sigma, axis=0)
        close = np.maximum(100, np.rint(self.price + step))
        opens = np.vstack([close[:1], close[:-1]])
        noise = np.abs(rng.standard_normal(shape, dtype=np.float32)) * sigma * 0.4
        high = np.maximum(opens, close) + np.rint(noise)
        low = np.maximum(1, np.minimum(opens, close) - np.rint(noise[::-1]))
        keep = (rng.random(shape, dtype=np.float32) >= 0.02).ravel()
        ts = self.days[day] + (870 + np.arange(MINUTES)) * 60_000_000
        columns = {
            "symbol": np.tile(np.arange(len(self.symbols), dtype=np.int32), MINUTES),
            "ts": np.repeat(ts, len(self.symbols)),
            "open": opens.ravel() / 100.0,
            "high": high.ravel() / 100.0,
            "low": low.ravel() / 100.0,
            "close": close.ravel() / 100.0,
            "volume": np.rint(rng.lognormal(0, 0.9, shape) * self.volume).ravel() + 1.0,
        }
        return {name: values[keep] for name, values in columns.items()}

    def batch(self, columns: dict[str, np.ndarray]) -> pa.RecordBatch:
        """Return columns as a chunk."""
        count = len(columns["ts"])
        arrays = {name: pa.array(values) for name, values in columns.items()}
        names = pa.array(self.symbols, pa.string())
        arrays["symbol"] = pa.DictionaryArray.from_arrays(arrays["symbol"], names)
        arrays["ts"] = arrays["ts"].view(pa.timestamp("us", "UTC"))
        arrays["provider"], arrays["interval"] = constant("alpha", count), constant("1min", count)
        arrays["vwap"] = pa.nulls(count, pa.float64())
        arrays["trade_count"] = pa.nulls(count, pa.int64())
        return pa.RecordBatch.from_arrays([arrays[n] for n in SCHEMA.names], schema=SCHEMA)

    def chunks(self, size: int) -> Iterator[pa.RecordBatch]:
        """Yield all days in time order, `size` rows at a time."""
        held: list[dict[str, np.ndarray]] = []
        have = 0
        for day in range(len(self.days)):
            held.append(self.bars(day))
            have += len(held[-1]["ts"])
            if have >= size:
                whole = {n: np.concatenate([h[n] for h in held]) for n in held[0]}
                for start in range(0, have - size + 1, size):
                    yield self.batch({n: v[start : start + size] for n, v in whole.items()})
                rest = have % size
                held = [{n: v[have - rest :].copy() for n, v in whole.items()}]
                have = rest
        if have:
            yield self.batch({n: np.concatenate([h[n] for h in held]) for n in held[0]})


class Lake:
    """A backend with short words, that counts its own time."""

    def __init__(self, store: Path, **settings: object) -> None:
        self.backend = LakeBackend(LakeSettings(uri=str(store), **settings))
        self.backend.ensure(TABLE)
        self.spent_s = 0.0
        self.number = 0

    def put(self, batch: pa.RecordBatch, *, at: datetime) -> Receipt:
        """Stage and commit."""
        self.number += 1
        request = StageRequest(
            table=TABLE, interval=SPAN, key=f"k{self.number}", run_id="run_1", ingested_at=at
        )
        start = time.perf_counter()
        receipt = self.backend.commit(self.backend.stage(request, [batch]))
        self.spent_s += time.perf_counter() - start
        return receipt

    def symbol(self, name: str) -> int:
        """Read all bars of one symbol; return how many."""
        batches = self.backend.read("bars", ReadFilter(symbols=(name,)))
        return sum(batch.num_rows for batch in batches)


def spread(values_ms: list[float]) -> str:
    low, high = min(values_ms), max(values_ms)
    return f"{low:.1f} / {statistics.median(values_ms):.1f} / {high:.1f} ms"


def timed(action: Callable[[], object], times: int) -> list[float]:
    found = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        found.append((time.perf_counter() - start) * 1e3)
    return found


def say(what: str, value: str) -> None:
    print(f"{what:<46} {value}", flush=True)


def rate(rows: int, seconds: float) -> str:
    return f"{rows / seconds / 1e6:.2f} M rows/s ({rows:,} rows, {seconds:.1f} s)"


def report_reads(lake: Lake, market: Market) -> None:
    names = [market.symbols[(37 * n) % len(market.symbols)] for n in range(9)]
    rows = lake.symbol(names[0])
    todo = iter(names * 2)
    say(f"read one symbol ({rows:,} bars)", spread(timed(lambda: lake.symbol(next(todo)), 18)))


def live(lake: Lake, market: Market, last_day: int, count: int) -> None:
    """Bars of the minutes after the last day: 450 new ones and 50 revisions of recent ones."""
    rng = np.random.default_rng(3)
    recent = {n: v[-1500:] for n, v in market.bars(last_day).items()}
    found = []
    new = min(450, len(market.symbols))
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for minute in range(count):
        part = {n: v[:new].copy() for n, v in recent.items()}
        part["symbol"] = rng.permutation(len(market.symbols))[:new].astype(np.int32)
        part["ts"] = np.full(new, int(recent["ts"].max()) + 60_000_000)
        picks = rng.choice(len(recent["ts"]), 50, replace=False)
        old = {n: v[picks] for n, v in recent.items()}
        old["close"] = old["close"] + 0.01
        both = {n: np.concatenate([part[n], old[n]]) for n in part}
        batch = market.batch(both)
        before = lake.spent_s
        receipt = lake.put(batch, at=at + timedelta(minutes=minute))
        found.append((lake.spent_s - before) * 1e3)
        assert receipt.written_count >= new, receipt
        recent = {n: np.concatenate([recent[n], part[n]])[-1500:] for n in part}
    say(f"live: 500 bars, 10 % revisions, {count} batches", spread(found))
    say("live: the first batch", f"{found[0]:.1f} ms")


def bulk(options: argparse.Namespace, market: Market) -> None:
    lake = Lake(options.store)
    first = datetime(2025, 1, 1, tzinfo=UTC)
    rows = sum(lake.put(chunk, at=first).written_count for chunk in market.chunks(options.chunk))
    say(f"bulk in time order, chunks of {options.chunk:,}", rate(rows, lake.spent_s))
    again(options, market, lake, rows)
    start = time.perf_counter()
    folded = lake.backend.maintain("bars")
    say("maintain", f"{time.perf_counter() - start:.1f} s, {folded:,} rows rewritten")
    report_stats(lake)
    report_reads(lake, market)
    again(options, market, lake, rows)
    live(lake, market, len(market.days) - 1, options.batches)
    lake.backend.close()


def again(options: argparse.Namespace, market: Market, lake: Lake, rows: int) -> None:
    version = lake.backend.stats("bars").version
    lake.spent_s = 0.0
    later = datetime(2025, 6, 1, tzinfo=UTC)
    written = sum(lake.put(c, at=later).written_count for c in market.chunks(options.chunk))
    assert written == 0, written
    assert lake.backend.stats("bars").version == version
    say("the same again, nothing written", rate(rows, lake.spent_s))


def symbols(options: argparse.Namespace, market: Market) -> None:
    lake = Lake(options.store)
    first = datetime(2025, 1, 1, tzinfo=UTC)
    days = [market.bars(day) for day in range(len(market.days))]
    whole = {n: np.concatenate([day[n] for day in days]) for n in days[0]}
    del days
    order = np.argsort(whole["symbol"], kind="stable")
    starts = np.searchsorted(whole["symbol"][order], np.arange(len(market.symbols) + 1))
    rows = 0
    for number in range(len(market.symbols)):
        picks = order[starts[number] : starts[number + 1]]
        batch = market.batch({n: v[picks] for n, v in whole.items()})
        rows += lake.put(batch, at=first).written_count
    written_s = lake.spent_s
    say("symbol by symbol, stage and commit", rate(rows, written_s))
    start = time.perf_counter()
    lake.backend.maintain("bars")
    fold_s = time.perf_counter() - start
    say("fold", rate(rows, fold_s))
    say("symbol by symbol, fold included", rate(rows, written_s + fold_s))
    report_stats(lake)
    report_reads(lake, market)
    lake.backend.close()


def small(options: argparse.Namespace, market: Market) -> None:
    lake = Lake(options.store)
    first = datetime(2025, 1, 1, tzinfo=UTC)
    rows = sum(lake.put(chunk, at=first).written_count for chunk in market.chunks(1000))
    say("time order, batches of 1,000", rate(rows, lake.spent_s))
    start = time.perf_counter()
    lake.backend.maintain("bars")
    say("fold", rate(rows, time.perf_counter() - start))
    report_stats(lake)
    report_reads(lake, market)
    lake.backend.close()


def report_stats(lake: Lake) -> None:
    stats = lake.backend.stats("bars")
    say("table", f"{stats.row_count:,} rows, {stats.file_count} files, {stats.size_bytes / stats.row_count:.1f} bytes/row")  # fmt: skip


def peers(options: argparse.Namespace, market: Market) -> None:
    """One live batch of 500 bars, all of them revisions, into tables of the same bars."""
    import duckdb
    from deltalake import DeltaTable, write_deltalake

    options.store.mkdir(parents=True)
    place = str(options.store / "delta")
    names = [n for n in SCHEMA.names if n not in {"vwap", "trade_count"}]
    days = [pa.Table.from_batches([market.batch(market.bars(d))]) for d in range(len(market.days))]
    whole = pa.concat_tables(days).select(names)
    for name in ("provider", "symbol", "interval"):
        number = whole.schema.get_field_index(name)
        whole = whole.set_column(number, name, whole.column(name).cast(pa.string()))
    whole = whole.append_column("period", pc.strftime(whole.column("ts"), "%Y-%m"))
    batch = whole.slice(len(whole) - 500)
    month = batch.column("period")[0].as_py()
    keys = " and ".join(f't."{k}" = s."{k}"' for k in ("provider", "symbol", "interval", "ts"))
    write_deltalake(place, whole, partition_by=["period"])

    def merge() -> None:
        where = f"t.period = '{month}' and {keys}"
        merger = DeltaTable(place).merge(batch, where, source_alias="s", target_alias="t")
        merger.when_matched_update_all().when_not_matched_insert_all().execute()

    say(f"Delta MERGE, 500 bars into {len(whole):,}", spread(timed(merge, 5)))
    db = duckdb.connect(str(options.store / "bars.duckdb"), config={"threads": 2})
    db.register("source", whole)
    db.execute("create table bars as select * from source")
    db.register("batch", batch)
    last = batch.column("ts")[0].as_py().isoformat()
    into = f"""merge into bars t using batch s on t.ts >= '{last}' and {keys}
        when matched then update set close = s.close when not matched then insert"""
    say(f"DuckDB MERGE, 500 bars into {len(whole):,}", spread(timed(lambda: db.execute(into), 5)))
    db.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)  # fmt: skip
    parser.add_argument("what", choices=["bulk", "symbols", "small", "peers"])
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--symbols", type=int, default=500)
    parser.add_argument("--chunk", type=int, default=1_000_000)
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--store", type=Path, default=Path(tempfile.gettempdir()) / "lake-bench")
    options = parser.parse_args()
    days = max(1, round(options.rows / (options.symbols * MINUTES * 0.98)))
    market = Market(options.symbols, days)
    shutil.rmtree(options.store, ignore_errors=True)
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "pyarrow": pa.__version__}  # fmt: skip
    say(options.what, json.dumps(machine))
    {"bulk": bulk, "symbols": symbols, "small": small, "peers": peers}[options.what](
        options, market
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    say("peak memory of the process", f"{peak:.0f} MB")
    shutil.rmtree(options.store, ignore_errors=True)


if __name__ == "__main__":
    main()
