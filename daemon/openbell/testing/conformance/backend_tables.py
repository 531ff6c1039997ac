"""How every backend must treat tables and their schemas; see `daemon/spec/backend.md`."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from openbell.sdk.backends import Backend
from openbell.sdk.errors import SchemaChangedError
from openbell.sdk.schemas import BARS_OHLCV, Column, ColumnType, TableSchema
from openbell.testing.batches import bars
from openbell.testing.conformance.backend_case import TABLE, BackendCase, BackendSuite, put, read
from openbell.testing.requests import START


def _with(*columns: Column) -> TableSchema:
    """Return the schema of bars with these columns in place of their namesakes, or added."""
    new = {column.name: column for column in columns}
    kept = tuple(new.pop(column.name, column) for column in BARS_OHLCV.columns)
    return replace(BARS_OHLCV, columns=kept + tuple(new.values()))


def _typed(name: str, kind: str) -> TableSchema:
    return _with(replace(BARS_OHLCV.column(name), type=cast("ColumnType", kind)))


TURNOVER = Column(name="turnover", type="float64", nullable=True)


class BackendTables(BackendSuite):
    """Cases about tables; part of `BackendConformance`."""

    def test_ensuring_twice_keeps_the_rows(self, store: Backend) -> None:
        """BACK-34."""
        put(store, [bars()], key="a")
        store.ensure(TABLE)
        assert len(read(store)) == 5

    def test_datasets_are_listed_in_order(self, store: Backend) -> None:
        """BACK-35."""
        store.ensure(replace(TABLE, dataset="zebra"))
        store.ensure(replace(TABLE, dataset="alpha"))
        assert list(store.datasets()) == ["alpha", "bars", "zebra"]

    def test_datasets_do_not_mix(self, store: Backend) -> None:
        """BACK-36."""
        daily = replace(TABLE, dataset="daily", bar_interval="1d")
        store.ensure(daily)
        put(store, [bars()], key="a")
        put(store, [bars(count=2, interval="1d")], key="b", table=daily)
        assert len(read(store)) == 5
        assert len(read(store, dataset="daily")) == 2

    def test_a_new_nullable_column_is_added(self, store: Backend) -> None:
        """BACK-37."""
        put(store, [bars()], key="a")
        wider = replace(TABLE, schema=_with(TURNOVER))
        store.ensure(wider)
        assert {row["turnover"] for row in read(store)} == {None}
        more = bars("MSFT", schema=wider.schema, turnover=[1.0, 2.0, None, 4.0, 5.0])
        put(store, [more], key="b", table=wider)
        assert [row["turnover"] for row in read(store, symbols=("MSFT",))][:2] == [1.0, 2.0]

    def test_a_type_can_be_widened(self, backend_case: BackendCase) -> None:
        """BACK-38."""
        narrow = replace(TABLE, schema=_typed("trade_count", "int32"))
        with backend_case.opened(narrow) as store:
            put(store, [bars(schema=narrow.schema)], key="a", table=narrow)
            store.ensure(TABLE)
            put(store, [bars("MSFT", count=1, trade_count=[2**40])], key="b")
            counts = [row["trade_count"] for row in read(store)]
        assert counts == [10, 11, 12, 13, 14, 2**40]

    @pytest.mark.parametrize(
        ("schema", "column"),
        [
            (_typed("trade_count", "int32"), "trade_count"),
            (_typed("close", "string"), "close"),
            (_with(replace(TURNOVER, nullable=False)), "turnover"),
            (replace(BARS_OHLCV, columns=BARS_OHLCV.columns[:8]), "volume"),
        ],
        ids=["narrower", "another type", "not nullable", "column gone"],
    )
    def test_another_change_is_refused(
        self, store: Backend, schema: TableSchema, column: str
    ) -> None:
        """BACK-39."""
        put(store, [bars()], key="a")
        before = read(store)
        with pytest.raises(SchemaChangedError, match=column):
            store.ensure(replace(TABLE, schema=schema))
        assert read(store) == before
        assert put(store, [bars("MSFT")], key="b").written_count == 5

    def test_other_keys_are_refused(self, store: Backend) -> None:
        """BACK-40."""
        with pytest.raises(SchemaChangedError):
            store.ensure(replace(TABLE, keys=("symbol", "ts")))
        assert put(store, [bars(start=START)], key="a").written_count == 5
