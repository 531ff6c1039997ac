"""Periods, levels, windows, looking back, and schemas that change: what the table is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from openbell.sdk.arrow import chunk_schema, constant
from openbell.sdk.backends import Backend, ReadFilter
from openbell.sdk.errors import FatalError, NotFoundError, SchemaChangedError
from openbell.sdk.schemas import BARS_OHLCV, Column
from openbell.testing.batches import bars
from openbell.testing.conformance.backend_case import T0, TABLE, put, read, stage
from openbell.testing.requests import START
from openbell_storage_lake import sweep
from openbell_storage_lake.backend import LakeBackend
from openbell_storage_lake.settings import LakeSettings
from openbell_storage_lake.table import now_us

pytestmark = pytest.mark.integration

LATER = T0 + timedelta(hours=1)
TURNOVER = Column(name="turnover", type="float64", nullable=True)
SCHEMA = chunk_schema(BARS_OHLCV)


def opened(place: Path, **settings: Any) -> LakeBackend:
    return LakeBackend(LakeSettings.model_validate({"uri": str(place), **settings}))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Backend]:
    backend = opened(tmp_path)
    backend.ensure(TABLE)
    yield backend
    backend.close()


def market(symbol_count: int, minute_count: int, *, start: datetime = START, seed: int = 0) -> Any:
    """Return all minutes of all symbols, in time order."""
    rng = np.random.default_rng(seed)
    first = int(start.timestamp()) * 1_000_000
    count = symbol_count * minute_count
    ts = np.repeat(first + np.arange(minute_count) * 60_000_000, symbol_count)
    codes = np.tile(np.arange(symbol_count, dtype=np.int32), minute_count)
    names = pa.array([f"S{n:04d}" for n in range(symbol_count)])
    columns = {name: pa.array(np.rint(rng.random(count) * 1e4) / 100) for name in SCHEMA.names}
    columns |= {
        "symbol": pa.DictionaryArray.from_arrays(pa.array(codes), names),
        "ts": pa.array(ts).view(pa.timestamp("us", "UTC")),
        "provider": constant("p", count),
        "interval": constant("1min", count),
        "trade_count": pa.nulls(count, pa.int64()),
    }
    return pa.RecordBatch.from_arrays([columns[n] for n in SCHEMA.names], schema=SCHEMA)


def changed(batch: pa.RecordBatch, rows: np.ndarray) -> pa.RecordBatch:
    part = batch.take(pa.array(rows))
    close = pa.array(part.column("close").to_numpy() + 1.0)
    return part.set_column(part.schema.get_field_index("close"), part.schema.field("close"), close)


@pytest.mark.parametrize(
    ("interval", "count", "expected"),
    [
        ("1s", 3, ["2026-01-05"]),
        ("5min", 9000, ["2026-01", "2026-02"]),
        ("1h", 9000, ["2026", "2027"]),
        ("1d", 4000, ["2020s", "2030s"]),
    ],
)
def test_periods_follow_the_bars_width(
    tmp_path: Path, interval: str, count: int, expected: list[str]
) -> None:
    store = opened(tmp_path)
    table = replace(TABLE, bar_interval=interval)
    store.ensure(table)
    put(store, [bars(count=count, interval=interval)], key="a", table=table)
    store.maintain("bars")
    assert sorted({p["period"] for p in DeltaTable(tmp_path / "bars").partitions()}) == expected
    assert len(read(store)) == count
    store.close()


def test_a_large_batch_in_time_order_goes_to_the_base_at_once(store: Backend) -> None:
    put(store, [market(100, 400)], key="a")
    assert store.stats("bars").pending_file_count == 0
    put(store, [market(1, 4000, start=START + timedelta(days=2))], key="b")
    assert store.stats("bars").pending_row_count == 4000


def test_appended_chunks_are_not_rewritten_by_a_fold(store: Backend, tmp_path: Path) -> None:
    for n in range(4):
        put(store, [market(100, 400, start=START + timedelta(hours=8 * n), seed=n)], key=f"k{n}")
    before = set(DeltaTable(tmp_path / "bars").file_uris())
    assert len(before) == 4
    assert store.maintain("bars") == 0
    assert set(DeltaTable(tmp_path / "bars").file_uris()) == before


def test_many_runs_of_a_period_become_one(tmp_path: Path) -> None:
    store = opened(tmp_path, fold={"base_rows": 100, "max_runs": 3})
    store.ensure(TABLE)
    for n in range(5):
        put(store, [market(10, 100, start=START + timedelta(hours=2 * n))], key=f"k{n}")
    before = read(store)
    assert store.maintain("bars") == 5000
    assert len(DeltaTable(tmp_path / "bars").file_uris()) == 1
    assert read(store) == before
    store.close()


@pytest.mark.parametrize("cache_mb", [1, 256], ids=["narrow windows", "wide windows"])
@pytest.mark.parametrize("folded", [True, False])
def test_rows_are_compared_through_windows_of_large_files(
    tmp_path: Path, cache_mb: int, folded: bool
) -> None:
    store = opened(tmp_path, cache_mb=cache_mb, fold={"max_runs": 1})
    store.ensure(TABLE)
    whole = market(200, 1500)
    half = whole.num_rows // 2
    put(store, [whole.slice(0, half)], key="a")
    put(store, [whole.slice(half)], key="b")
    if folded:
        store.maintain("bars")
    rng = np.random.default_rng(1)
    version = store.stats("bars").version
    for n in range(6):
        piece = whole.slice(n * 50_000, 50_000)
        receipt = put(store, [piece], key=f"again {n}", at=LATER)
        assert (receipt.written_count, receipt.version) == (0, version)
    places = rng.permutation(np.arange(half - 500, half + 500)).reshape(10, 100)
    for n in range(3):
        news, known = changed(whole, np.sort(places[n])), whole.take(pa.array(places[9 - n]))
        mixed = pa.Table.from_batches([known, news]).to_batches()
        receipt = put(store, mixed, key=f"live {n}", at=LATER + timedelta(hours=n))
        assert (receipt.written_count, receipt.unchanged_count) == (100, 100)
        close = {(r["symbol"], r["ts"]): r["close"] for r in news.to_pylist()}
        first, last = min(ts for _, ts in close), max(ts for _, ts in close)
        rows = read(store, start=first, end=last + timedelta(minutes=1))
        found = {(r["symbol"], r["ts"]): r["close"] for r in rows}
        assert {key: found[key] for key in close} == close
    store.close()


def test_a_symbols_whole_history_is_compared_with_the_base(store: Backend) -> None:
    whole = market(300, 500)
    put(store, [whole], key="a")
    one = whole.take(pa.array(np.arange(7, whole.num_rows, 300)))
    assert put(store, [one], key="b", at=LATER).written_count == 0
    news = changed(whole, np.arange(7, whole.num_rows, 300))
    assert put(store, [news], key="c", at=LATER).written_count == 500
    store.maintain("bars")
    assert put(store, [news], key="d", at=LATER).written_count == 0
    assert store.stats("bars").row_count == whole.num_rows


def test_a_long_answer_is_sorted_over_slices_and_files(tmp_path: Path) -> None:
    store = opened(tmp_path, fold={"base_rows": 1000, "slice_rows": 3000, "group_rows": 500})
    store.ensure(TABLE)
    for n in range(5):
        put(store, [market(40, 100, start=START + timedelta(days=9 * n), seed=n)], key=f"k{n}")
    for _ in range(2):
        batches = list(store.read("bars", ReadFilter()))
        rows = [(r["symbol"], r["ts"]) for b in batches for r in b.to_pylist()]
        assert len(batches) > 1
        assert len(rows) == 20_000
        assert rows == sorted(set(rows))
        store.maintain("bars")
    store.close()


def test_a_reader_looks_back_as_far_as_files_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path, keep={"superseded_days": 1})
    store.ensure(TABLE)
    first = put(store, [bars()], key="a")
    put(store, [bars(close=[7.0] * 5)], key="b", at=LATER)
    store.maintain("bars")
    assert {r["close"] for r in read(store, as_of=first.committed_at)} != {7.0}
    files = len(list(tmp_path.rglob("*.parquet")))
    day_after = now_us() + 86_400_000_000 + 1_000_000
    monkeypatch.setattr(sweep, "now_us", lambda: day_after)
    store.maintain("bars")
    assert len(list(tmp_path.rglob("*.parquet"))) == files - 2
    assert {r["close"] for r in read(store)} == {7.0}
    with pytest.raises(NotFoundError, match=r"superseded_days"):
        read(store, as_of=first.committed_at)
    assert stage(store, [bars()], key="a").receipt == first
    store.close()


def test_the_delta_table_follows_the_schema(tmp_path: Path) -> None:
    narrow = replace(BARS_OHLCV, columns=tuple(_narrow(c) for c in BARS_OHLCV.columns))
    store = opened(tmp_path, fold={"base_rows": 1})
    store.ensure(replace(TABLE, schema=narrow))
    put(store, [bars(schema=narrow)], key="a", table=replace(TABLE, schema=narrow))
    wide = replace(TABLE, schema=replace(BARS_OHLCV, columns=(*BARS_OHLCV.columns, TURNOVER)))
    store.ensure(wide)
    put(store, [bars("MSFT", schema=wide.schema, turnover=[2.0] * 5)], key="b", table=wide)
    rows = DeltaTable(tmp_path / "bars").to_pyarrow_table().sort_by("symbol")
    assert rows.schema.field("trade_count").type == pa.int64()
    assert rows.column("turnover").to_pylist() == [None] * 5 + [2.0] * 5
    assert rows.column("trade_count").to_pylist() == [10, 11, 12, 13, 14] * 2
    with pytest.raises(SchemaChangedError, match=r"turnover is gone"):
        store.ensure(TABLE)
    store.close()


def _narrow(column: Column) -> Column:
    return replace(column, type="int32") if column.name == "trade_count" else column


def test_a_stage_made_before_the_table_was_widened_is_committed_after(tmp_path: Path) -> None:
    narrow = replace(BARS_OHLCV, columns=tuple(_narrow(c) for c in BARS_OHLCV.columns))
    old = replace(TABLE, schema=narrow)
    one, two = opened(tmp_path, fold={"base_rows": 1}), opened(tmp_path)
    one.ensure(old)
    put(one, [bars(schema=narrow)], key="a", table=old)
    staged = stage(one, [bars("MSFT", schema=narrow)], key="b", table=old)
    two.ensure(TABLE)
    one.commit(staged)
    assert [r["trade_count"] for r in read(two)] == [10, 11, 12, 13, 14] * 2
    assert DeltaTable(tmp_path / "bars").to_pyarrow_table().num_rows == 10
    one.close()
    two.close()


@pytest.mark.parametrize(
    ("keys", "words"),
    [(("symbol",), "ts among the keys"), (("symbol", "ts", "volume"), "volume is neither")],
)
def test_keys_that_the_lake_cannot_sort_are_refused(
    tmp_path: Path, keys: tuple[str, ...], words: str
) -> None:
    store = opened(tmp_path)
    with pytest.raises(FatalError, match=words):
        store.ensure(replace(TABLE, keys=keys))
    assert list(store.datasets()) == []
    store.close()


def test_two_providers_of_one_symbol_stay_apart(store: Backend) -> None:
    put(store, [bars(), bars(provider="other", close=[7.0] * 5)], key="a")
    store.maintain("bars")
    rows = read(store)
    assert len(rows) == 10
    assert [(r["ts"], r["provider"]) for r in rows] == sorted(
        (r["ts"], r["provider"]) for r in rows
    )
    assert put(store, [bars(provider="other", close=[7.0] * 5)], key="b").written_count == 0


def test_instants_of_far_apart_ages_fit_one_batch(store: Backend) -> None:
    ages = [datetime(year, 1, 1, tzinfo=UTC) for year in (1900, 1970, 2026, 2199)]
    batch = market(600, 4)
    stamps = pa.array([age for age in ages for _ in range(600)], pa.timestamp("us", "UTC"))
    place = SCHEMA.get_field_index("ts")
    batch = batch.set_column(place, SCHEMA.field("ts"), stamps)
    put(store, [batch], key="a")
    store.maintain("bars")
    assert [r["ts"] for r in read(store, symbols=("S0599",))] == ages
    assert put(store, [batch], key="b").written_count == 0
