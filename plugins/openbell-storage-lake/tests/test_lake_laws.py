"""Whatever is staged and committed in whatever order, the lake equals a dict."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openbell.sdk.arrow import chunk_schema
from openbell.sdk.backends import Staged
from openbell.sdk.schemas import BARS_OHLCV
from openbell.testing.conformance.backend_case import TABLE, read, stage
from openbell_storage_lake.backend import LakeBackend
from openbell_storage_lake.settings import LakeSettings

pytestmark = pytest.mark.property

T0 = datetime(2026, 1, 31, 23, 50, tzinfo=UTC)
MOMENTS = [datetime(2026, 3, 1 + n, tzinfo=UTC) for n in range(3)]
SCHEMA = chunk_schema(BARS_OHLCV)
VALUES = st.sampled_from([1.0, 2.0, float("nan"), None])


@dataclass(frozen=True)
class Batch:
    """Rows as (symbol, minute, value), when they were ingested, by which process."""

    rows: list[tuple[str, int, float | None]]
    moment: int
    process: int


@dataclass
class Model:
    """What the table must hold: value and instant of the newest knowledge by key."""

    rows: dict[tuple[str, int], tuple[float | None, datetime]] = field(default_factory=dict)

    def apply(self, batch: Batch) -> int:
        """Take a batch in; return how many rows changed the table."""
        last = {(symbol, minute): value for symbol, minute, value in batch.rows}
        at, changed = MOMENTS[batch.moment], 0
        for key, value in last.items():
            old = self.rows.get(key)
            if old is None or (at >= old[1] and not same(value, old[0])):
                self.rows[key] = (value, at)
                changed += 1
        return changed

    def table(self) -> list[tuple[Any, ...]]:
        return [(*key, repr(v), at) for key, (v, at) in sorted(self.rows.items())]


def same(left: float | None, right: float | None) -> bool:
    return repr(left) == repr(right)


rows = st.lists(
    st.tuples(st.sampled_from("ABC"), st.integers(0, 20), VALUES), min_size=0, max_size=12
)
batches = st.builds(Batch, rows, st.integers(0, 2), st.integers(0, 2))
steps = st.lists(
    st.one_of(
        batches.map(lambda b: ("put", b)),
        batches.map(lambda b: ("stage", b)),
        st.integers(0, 9).map(lambda n: ("commit", n)),
        st.integers(0, 2).map(lambda n: ("maintain", n)),
    ),
    max_size=14,
)
sizes = st.fixed_dictionaries(
    {
        "base_rows": st.sampled_from([1, 3, 1000]),
        "max_runs": st.sampled_from([1, 2, 8]),
        "slice_rows": st.sampled_from([2, 1000]),
        "file_rows": st.sampled_from([3, 1000]),
        "group_rows": st.sampled_from([2, 8, 1000]),
    }
)


def record(batch: Batch) -> pa.RecordBatch:
    count = len(batch.rows)
    columns: dict[str, list[Any]] = {
        "provider": ["p"] * count,
        "interval": ["1min"] * count,
        "symbol": [symbol for symbol, _, _ in batch.rows],
        "ts": [T0 + timedelta(minutes=minute) for _, minute, _ in batch.rows],
        "volume": [value for _, _, value in batch.rows],
    }
    prices = dict.fromkeys(("open", "high", "low", "close"), [1.0] * count)
    everything = columns | prices
    arrays = [pa.array(everything.get(f.name, [None] * count), f.type) for f in SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def content(store: LakeBackend) -> list[tuple[Any, ...]]:
    return [
        (r["symbol"], (r["ts"] - T0) // timedelta(minutes=1), repr(r["volume"]), r["ingested_at"])
        for r in read(store)
    ]


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=steps, sizes=sizes)
def test_the_lake_equals_a_dict(steps: Sequence[tuple[str, Any]], sizes: dict[str, int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        options = LakeSettings.model_validate({"uri": folder, "fold": sizes, "cache_mb": 1})
        stores = [LakeBackend(options) for _ in range(3)]
        try:
            stores[0].ensure(TABLE)
            run(stores, steps, Path(folder) / "bars")
        finally:
            for store in stores:
                store.close()


def run(stores: Sequence[LakeBackend], steps: Sequence[tuple[str, Any]], root: Path) -> None:
    model = Model()
    waiting: list[tuple[Batch, Staged]] = []
    history: list[tuple[datetime, list[tuple[Any, ...]]]] = []
    for number, (what, value) in enumerate(steps):
        if what == "maintain":
            stores[value].maintain("bars")
        elif what == "commit":
            if waiting:
                batch, staged = waiting.pop(value % len(waiting))
                commit(stores[batch.process], model, batch, staged)
        else:
            key = f"k{number}"
            batch = value
            staged = stage(
                stores[batch.process], [record(batch)], key=key, at=MOMENTS[batch.moment]
            )
            if what == "put":
                receipt = commit(stores[batch.process], model, batch, staged)
                history.append((receipt, model.table()))
            else:
                waiting.append((batch, staged))
    check(stores, model, root)
    for at, then in history[-2:]:
        assert [r["ts"] for r in read(stores[1], as_of=at)] == [
            T0 + timedelta(minutes=row[1]) for row in then
        ]


def commit(store: LakeBackend, model: Model, batch: Batch, staged: Staged) -> datetime:
    receipt = store.commit(staged)
    assert receipt.written_count == model.apply(batch)
    assert store.commit(staged) == receipt
    return receipt.committed_at


def check(stores: Sequence[LakeBackend], model: Model, root: Path) -> None:
    expected = model.table()
    assert all(content(store) == expected for store in stores)
    assert stores[0].stats("bars").row_count == len(expected)
    stores[0].maintain("bars")
    assert content(stores[2]) == expected
    shown = DeltaTable(root).to_pyarrow_table().select(["symbol", "ts"]).to_pylist()
    assert sorted((r["symbol"], (r["ts"] - T0) // timedelta(minutes=1)) for r in shown) == [
        row[:2] for row in expected
    ]
