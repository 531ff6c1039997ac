"""Once folded, every other tool reads exactly the rows that openbell reads."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from openbell.sdk.arrow import table_schema
from openbell.sdk.backends import ReadFilter
from openbell.sdk.schemas import BARS_OHLCV
from openbell.testing.batches import bars
from openbell.testing.conformance.backend_case import T0, TABLE, put
from openbell.testing.requests import START
from openbell_storage_lake.backend import LakeBackend
from openbell_storage_lake.settings import LakeSettings

pytestmark = pytest.mark.integration

PLAIN = table_schema(BARS_OHLCV)
ORDER = [("symbol", "ascending"), ("ts", "ascending")]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folded table: three months, revisions, nulls, a late symbol."""
    store = LakeBackend(
        LakeSettings.model_validate({"uri": str(tmp_path), "fold": {"base_rows": 90}})
    )
    store.ensure(TABLE)
    for number in range(3):
        start = START + timedelta(days=30 * number)
        batches = [bars(s, count=50, start=start) for s in ("AAPL", "MSFT", "GOOG")]
        put(store, batches, key=f"chunk {number}")
    put(store, [bars("AAPL", count=5, close=[7.5] * 5)], key="late", at=T0 + timedelta(hours=1))
    put(store, [bars("ZZZ", count=2, vwap=[None, None], volume=[float("nan"), None])], key="odd")
    store.maintain("bars")
    store.close()
    return tmp_path / "bars"


@pytest.fixture
def ours(root: Path) -> list[dict[str, Any]]:
    store = LakeBackend(LakeSettings(uri=str(root.parent)))
    table = pa.Table.from_batches(store.read("bars", ReadFilter())).cast(PLAIN)
    store.close()
    assert table.num_rows == 452
    return comparable(table)


def comparable(table: pa.Table) -> list[dict[str, Any]]:
    rows = table.select(PLAIN.names).cast(PLAIN).sort_by(ORDER).to_pylist()
    return [{name: repr(value) for name, value in row.items()} for row in rows]


def test_deltalake_reads_the_same(root: Path, ours: list[dict[str, Any]]) -> None:
    assert comparable(DeltaTable(root).to_pyarrow_table()) == ours


@pytest.mark.parametrize(
    "where",
    [
        pc.field("symbol") == "AAPL",
        pc.field("close") > 5.0,
        pc.field("ts") >= pa.scalar(START + timedelta(days=30), pa.timestamp("us", "UTC")),
        pc.field("period") == "2026-02",
        pc.field("run_id") == "run_1",
        pc.field("volume") >= 0.0,
        pc.field("trade_count") >= 11,
        pc.field("vwap") > 0.0,
    ],
    ids=["symbol", "close", "ts", "period", "run_id", "volume", "trade_count", "vwap"],
)
def test_filters_of_deltalake_prune_no_row_away(root: Path, where: pc.Expression) -> None:
    table = DeltaTable(root)
    expected = table.to_pyarrow_table().filter(where)
    assert expected.num_rows > 0
    assert table.to_pyarrow_dataset().to_table(filter=where).num_rows == expected.num_rows


def test_polars_reads_the_same(root: Path, ours: list[dict[str, Any]]) -> None:
    assert comparable(pl.read_delta(str(root)).to_arrow()) == ours
    one = pl.scan_delta(str(root)).filter(pl.col("symbol") == "AAPL").collect()
    assert one.height == 150


def test_duckdb_reads_the_same_files(root: Path, ours: list[dict[str, Any]]) -> None:
    """Its delta extension is not bundled: it reads the files that the Delta log names."""
    files = [str(root / path) for path in DeltaTable(root).get_add_actions()["path"].to_pylist()]
    with duckdb.connect() as db:
        db.execute("set timezone = 'UTC'")
        query = db.sql("select * from read_parquet(?, hive_partitioning = false)", params=[files])
        assert comparable(query.to_arrow_table()) == ours


def test_files_are_sorted_small_grouped_and_compressed(root: Path) -> None:
    for path in DeltaTable(root).get_add_actions()["path"].to_pylist():
        footer = pq.ParquetFile(root / path).metadata
        group = footer.row_group(0)
        columns = {group.column(n).path_in_schema: group.column(n) for n in range(13)}
        assert columns["ts"].compression == "ZSTD"
        assert "DELTA_BINARY_PACKED" in columns["ts"].encodings
        table = pq.read_table(root / path, partitioning=None, columns=["symbol", "ts"])
        assert table.equals(table.sort_by(ORDER))


def test_every_add_action_has_statistics_of_every_column(root: Path) -> None:
    entries = sorted((root / "_delta_log").glob("*.json"))
    lines = [json.loads(line) for entry in entries for line in entry.read_text().splitlines()]
    stats = [json.loads(line["add"]["stats"]) for line in lines if "add" in line]
    assert stats
    for found in stats:
        assert set(found["nullCount"]) == set(PLAIN.names)
        filled = {n for n, count in found["nullCount"].items() if count < found["numRecords"]}
        assert set(found["minValues"]) == set(found["maxValues"]) == filled


def test_commit_info_carries_the_receipts(root: Path) -> None:
    history = DeltaTable(root).history()
    infos = [json.loads(commit["openbell"]) for commit in history if "openbell" in commit]
    keys = {receipt["key"] for info in infos for receipt in info["receipts"]}
    assert keys == {"chunk 0", "chunk 1", "chunk 2", "late", "odd"}


def test_infinite_values_are_found_by_filters(tmp_path: Path) -> None:
    store = LakeBackend(LakeSettings(uri=str(tmp_path)))
    store.ensure(TABLE)
    put(store, [bars(count=3, volume=[np.inf, -np.inf, 1.0])], key="a")
    store.maintain("bars")
    store.close()
    rows = DeltaTable(tmp_path / "bars").to_pyarrow_dataset()
    assert rows.to_table(filter=pc.field("volume") > 1e300).num_rows == 1
    assert rows.to_table(filter=pc.field("volume") < -1e300).num_rows == 1
