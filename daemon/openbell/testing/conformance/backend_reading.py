"""How every backend must read; the clauses are in `daemon/spec/backend.md`."""

from __future__ import annotations

from datetime import timedelta

import pytest

from openbell.sdk.arrow import table_schema
from openbell.sdk.backends import Backend, ReadFilter
from openbell.sdk.errors import NotFoundError
from openbell.sdk.schemas import BARS_OHLCV
from openbell.testing.batches import bars
from openbell.testing.conformance.backend_case import T0, BackendSuite, put, read
from openbell.testing.requests import START

MINUTE = timedelta(minutes=1)


class BackendReading(BackendSuite):
    """Cases about readers; part of `BackendConformance`."""

    @pytest.fixture
    def filled(self, store: Backend) -> Backend:
        """Return the backend with three symbols, two providers and two commits that interleave."""
        put(store, [bars("MSFT"), bars("AAPL", count=3)], key="a")
        more = bars("AAPL", count=3, start=START + 3 * MINUTE)
        put(store, [more, bars("GOOG", provider="other")], key="b")
        return store

    def test_a_reader_can_ask_for_symbols(self, filled: Backend) -> None:
        """BACK-23."""
        rows = read(filled, symbols=("AAPL", "GOOG"))
        assert [row["symbol"] for row in rows] == ["AAPL"] * 6 + ["GOOG"] * 5
        assert read(filled, symbols=("NONE",)) == []

    def test_a_reader_can_ask_for_providers(self, filled: Backend) -> None:
        """BACK-24."""
        assert {row["symbol"] for row in read(filled, providers=("other",))} == {"GOOG"}
        assert len(read(filled, providers=("other", "fake"))) == 16

    def test_a_reader_can_ask_for_a_span_without_its_end(self, filled: Backend) -> None:
        """BACK-25."""
        rows = read(filled, symbols=("AAPL",), start=START + MINUTE, end=START + 4 * MINUTE)
        assert [row["ts"] for row in rows] == [START + n * MINUTE for n in (1, 2, 3)]
        assert len(read(filled, start=START + 4 * MINUTE)) == 4
        assert len(read(filled, end=START + MINUTE)) == 3

    def test_a_reader_can_ask_for_columns(self, filled: Backend) -> None:
        """BACK-26."""
        row = read(filled, columns=("close", "symbol"), symbols=("MSFT",))[0]
        assert set(row) == {"close", "symbol"}

    def test_rows_come_sorted_by_series_and_time(self, filled: Backend) -> None:
        """BACK-27."""
        rows = [(row["symbol"], row["ts"]) for row in read(filled)]
        assert rows == sorted(rows)
        assert len(rows) == 16

    def test_columns_have_the_tables_types(self, filled: Backend) -> None:
        """BACK-28."""
        expected = table_schema(BARS_OHLCV)
        for batch in filled.read("bars", ReadFilter()):
            assert batch.schema.names == expected.names
            kinds = [
                kind.value_type if hasattr(kind, "value_type") else kind
                for kind in batch.schema.types
            ]
            assert kinds == expected.types

    def test_a_reader_can_look_back(self, store: Backend) -> None:
        """BACK-29."""
        first = put(store, [bars()], key="a")
        second = put(store, [bars(close=[7.0] * 5)], key="b", at=T0 + timedelta(hours=1))
        put(store, [bars("MSFT")], key="c", at=T0 + timedelta(hours=2))
        then = read(store, as_of=first.committed_at)
        assert [row["close"] for row in then] == bars().column("close").to_pylist()
        assert {row["close"] for row in read(store, as_of=second.committed_at)} == {7.0}
        assert read(store, as_of=first.committed_at - timedelta(microseconds=1)) == []

    def test_a_reader_keeps_what_it_began_to_read(self, filled: Backend) -> None:
        """BACK-30."""
        batches = filled.read("bars", ReadFilter())
        begun = next(batches)
        put(filled, [bars("AAPL", close=[7.0] * 5)], key="z", at=T0 + timedelta(hours=1))
        rows = [row for batch in (begun, *batches) for row in batch.to_pylist()]
        assert len(rows) == 16
        assert all(row["close"] != 7.0 for row in rows)

    def test_an_unknown_dataset_is_not_found(self, store: Backend) -> None:
        """BACK-31."""
        with pytest.raises(NotFoundError, match="nowhere"):
            read(store, dataset="nowhere")
        with pytest.raises(NotFoundError, match="nowhere"):
            store.stats("nowhere")

    def test_an_empty_table_reads_as_no_rows(self, store: Backend) -> None:
        """BACK-32."""
        assert read(store) == []
        stats = store.stats("bars")
        assert (stats.row_count, stats.first_ts, stats.last_ts) == (0, None, None)

    def test_stats_count_rows_once(self, filled: Backend) -> None:
        """BACK-33."""
        put(filled, [bars("MSFT", close=[7.0] * 5)], key="z", at=T0 + timedelta(hours=1))
        stats = filled.stats("bars")
        assert stats.row_count == 16
        assert (stats.first_ts, stats.last_ts) == (START, START + 5 * MINUTE)
        assert stats.size_bytes > 0
