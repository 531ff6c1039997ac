"""The parts without a disk: periods, keys, merging, comparing, finding files by time."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from openbell.sdk.schemas import BARS_OHLCV, TableSpec
from openbell.sdk.values import to_us
from openbell.testing.batches import bars
from openbell_storage_lake import openbell_register_backends
from openbell_storage_lake.blocks import digest, from_batches
from openbell_storage_lake.compare import same_values
from openbell_storage_lake.files import new_name, owner_is_gone
from openbell_storage_lake.fold import plan
from openbell_storage_lake.keys import KeySpace, order_last_wins, order_newest_wins
from openbell_storage_lake.layout import (
    PeriodKind,
    TableLayout,
    dump_spec,
    load_spec,
    period_kind,
    periods_of,
)
from openbell_storage_lake.merge import pieces_of, time_slices
from openbell_storage_lake.recall import Recall, Window
from openbell_storage_lake.settings import LakeSettings
from openbell_storage_lake.snapshot import FileEntry, Snapshot

pytestmark = pytest.mark.unit

SPEC = TableSpec(dataset="bars", schema=BARS_OHLCV, bar_interval="1min")
LAYOUT = TableLayout(SPEC, "month")


def us(year: int, month: int, day: int) -> int:
    return to_us(datetime(year, month, day, tzinfo=UTC))


def entry(number: int, low: int, high: int, *, series: tuple[str, str] = ("A", "Z"), level: int = 1) -> FileEntry:  # fmt: skip
    groups = f'[["p", 10, "{series[0]}", "{series[1]}", {low}, {high}]]'
    return FileEntry(
        path=f"{number}.parquet", level=level, period="p" if level else "", row_count=10,
        size_bytes=1, min_ts=low, max_ts=high, min_series=series[0], max_series=series[1],
        groups_json=groups, stats="", content_seq=number, id=number,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("interval", "kind"),
    [("1s", "day"), ("30s", "day"), ("1min", "month"), ("30min", "month"), ("1h", "year"), ("1d", "decade")],
)  # fmt: skip
def test_the_denser_the_bars_the_shorter_the_period(interval: str, kind: str) -> None:
    assert period_kind(interval) == kind


@pytest.mark.parametrize(
    ("kind", "name"), [("day", "1969-12-31"), ("month", "1969-12"), ("year", "1969"), ("decade", "1960s")]
)  # fmt: skip
def test_periods_before_the_epoch_have_their_own_names(kind: PeriodKind, name: str) -> None:
    names, codes = periods_of(kind, np.array([-1, 0]))
    assert names[0] == name
    assert codes is not None
    assert codes.tolist() == [0, 1]


def test_periods_without_rows_are_left_out() -> None:
    names, codes = periods_of("month", np.array([us(2024, 1, 31), us(2024, 4, 1)]))
    assert names == ["2024-01", "2024-04"]
    assert codes is not None
    assert codes.tolist() == [0, 1]
    assert periods_of("month", np.array([], dtype=np.int64)) == ([], None)


def test_a_spec_survives_being_written() -> None:
    assert load_spec(dump_spec(SPEC)) == SPEC


def test_key_numbers_sort_like_keys_and_unknown_keys_have_none() -> None:
    block = from_batches(LAYOUT, [bars("MSFT", count=2), bars("AAPL", count=2)])
    space = KeySpace(LAYOUT, [block])
    keys = space.numbers(block)
    assert np.argsort(keys).tolist() == [2, 3, 0, 1]
    other = from_batches(LAYOUT, [bars("GOOG", count=1), bars("MSFT", count=3)])
    assert space.numbers(other).tolist() == [-1, *keys[:2].tolist(), -1]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=30))
def test_the_newest_of_each_key_wins_and_the_last_of_equals(rows: list[tuple[int, int]]) -> None:
    keys = np.array([key for key, _ in rows], dtype=np.int64)
    at = np.array([moment for _, moment in rows], dtype=np.int64)
    order = order_newest_wins(keys, at)
    found = list(range(len(rows))) if order is None else order.tolist()
    expected: dict[int, int] = {}
    for place, (key, moment) in enumerate(rows):
        if key not in expected or moment >= rows[expected[key]][1]:
            expected[key] = place
    assert found == [expected[key] for key in sorted(expected)]


@given(st.lists(st.integers(0, 5), max_size=30))
def test_the_last_of_each_key_wins_within_a_batch(keys: list[int]) -> None:
    order = order_last_wins(np.array(keys, dtype=np.int64))
    found = list(range(len(keys))) if order is None else order.tolist()
    last = {key: place for place, key in enumerate(keys)}
    assert found == [last[key] for key in sorted(last)]


def test_values_are_compared_as_values() -> None:
    nan = float("nan")
    left = pa.array([1.0, nan, None, None, nan, 0.0])
    right = pa.array([1.0, nan, None, nan, 1.0, None])
    assert same_values(left, right).tolist() == [True, True, True, False, False, False]
    words = pa.array(["a", None, "b"]).dictionary_encode()
    others = pa.array(["a", None, "c"]).dictionary_encode()
    assert same_values(words, others).tolist() == [True, True, False]
    flags = pa.array([True, None, False])
    assert same_values(flags, pa.array([True, None, None])).tolist() == [True, True, False]


def test_the_digest_does_not_depend_on_batches_or_encodings() -> None:
    batch = bars(count=6)
    plain = batch.set_column(0, "provider", batch.column("provider").cast(pa.string()))
    once = digest(from_batches(LAYOUT, [batch]))
    assert once == digest(from_batches(LAYOUT, [plain.slice(0, 2), batch.slice(2)]))
    assert once != digest(from_batches(LAYOUT, [batch.slice(0, 5)]))
    assert once != digest(from_batches(LAYOUT, [bars(count=6, volume=[0.0, None, 1, 2, 3, 4])]))


def test_files_are_found_by_their_box() -> None:
    snapshot = Snapshot(bucket_us=10)
    for one in (entry(1, 0, 5), entry(2, 5, 5000), entry(3, 20, 25, series=("M", "P"))):
        snapshot.add(one)
    assert [e.id for e in snapshot.overlapping(0, 4, "A", "B")] == [1]
    assert [e.id for e in snapshot.overlapping(21, 22, "N", "N")] == [2, 3]
    assert [e.id for e in snapshot.overlapping(21, 22, "Q", "R")] == [2]
    assert [e.id for e in snapshot.overlapping(0, 10**9, "A", "Z")] == [1, 2, 3]
    snapshot.drop(2)
    snapshot.drop(2)
    assert [e.id for e in snapshot.overlapping(0, 10**9, "A", "Z")] == [1, 3]


def test_a_fold_takes_the_base_files_that_l0_touches() -> None:
    base = [entry(1, 0, 9), entry(2, 10, 19), entry(3, 10, 19, series=("Y", "Z"))]
    assert plan(base, max_runs=8) == []
    late = entry(4, 15, 30, series=("A", "C"), level=0)
    (one,) = plan([*base[:1], entry(2, 10, 19, series=("A", "X")), base[2], late], max_runs=8)
    assert [e.id for e in one.base] == [2]
    assert [piece.entry.id for piece in one.pieces] == [2, 4]


def test_too_many_runs_are_merged_whatever_their_number_of_files() -> None:
    runs = [entry(n, 10 * n, 10 * n + 9) for n in range(3)]
    assert plan(runs, max_runs=3) == []
    assert len(plan(runs, max_runs=2)[0].base) == 3
    apart = [entry(n, 0, 9, series=(f"A{n}", f"A{n}")) for n in range(3)]
    assert plan(apart, max_runs=1) == []


def test_time_slices_hold_about_as_many_rows_as_asked() -> None:
    pieces = pieces_of([entry(n, 10 * n, 10 * n + 9) for n in range(10)])
    slices = time_slices(pieces, slice_rows=30)
    assert len(slices) == 4
    assert all(a.high_us + 1 == b.low_us for a, b in pairwise(slices))


def test_memory_of_windows_is_bounded() -> None:
    block = from_batches(LAYOUT, [bars(count=100)])
    recall = Recall(block.nbytes * 2)
    for name in ("a", "b", "c"):
        recall.put(name, Window(0, 10, block))
    assert recall.get("a", 0, 10) is None
    assert recall.get("c", 0, 10) is block
    assert recall.get("c", 0, 11) is None


def test_a_files_name_tells_whether_its_writer_lives() -> None:
    mine = new_name()
    assert not owner_is_gone(mine, age_s=1e9, stray_s=1)
    machine, _, started, rest = mine.split("-")
    assert owner_is_gone(f"{machine}-4194300-{started}-{rest}", age_s=0, stray_s=1)
    assert owner_is_gone(f"elsewhere-1-{started}-{rest}", age_s=2, stray_s=1)
    assert not owner_is_gone("part-00000.parquet", age_s=0, stray_s=1)


def test_the_plugin_registers_its_backend_without_its_implementation() -> None:
    (spec,) = openbell_register_backends()
    assert (spec.name, spec.settings_model) == ("lake", LakeSettings)
    assert spec.factory == "openbell_storage_lake.backend:LakeBackend"


def test_settings_of_the_design_are_taken_and_foreign_places_are_not() -> None:
    write = {"batch_size": 1000, "upsert_keys": ["provider", "symbol", "interval", "ts"]}
    settings = LakeSettings.model_validate({"uri": "file:///data/lake", "write": write})
    assert settings.uri == "/data/lake"
    with pytest.raises(ValidationError, match=r"s3://x' is not a local folder"):
        LakeSettings(uri="s3://x")
