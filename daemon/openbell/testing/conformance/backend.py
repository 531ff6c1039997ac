"""What every backend must do; the clauses are in `daemon/spec/backend.md`.

Writing and its laws are here; reading is in `backend_reading`, tables in `backend_tables`.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from openbell.sdk.backends import Backend
from openbell.sdk.errors import DataError
from openbell.testing.batches import bars
from openbell.testing.conformance.backend_case import (
    T0,
    BackendCase,
    put,
    read,
    stage,
)
from openbell.testing.conformance.backend_reading import BackendReading
from openbell.testing.conformance.backend_tables import BackendTables
from openbell.testing.requests import START

LATER = T0 + timedelta(hours=1)


class BackendConformance(BackendReading, BackendTables):
    """Subclass it as `TestYourBackend` and override the fixture `backend_case`."""

    def test_staged_rows_are_invisible(self, store: Backend) -> None:
        """BACK-01."""
        staged = stage(store, [bars()], key="a")
        assert (staged.row_count, staged.written_count, staged.unchanged_count) == (5, 5, 0)
        assert staged.receipt is None
        assert read(store) == []

    def test_committed_rows_are_whole(self, store: Backend) -> None:
        """BACK-02."""
        put(store, [bars()], key="a", run_id="run_1")
        expected = [{**row, "ingested_at": T0, "run_id": "run_1"} for row in bars().to_pylist()]
        assert read(store) == expected

    def test_a_receipt_counts_and_names(self, store: Backend) -> None:
        """BACK-03."""
        receipt = put(store, [bars(), bars("MSFT")], key="a")
        assert (receipt.row_count, receipt.written_count, receipt.unchanged_count) == (10, 10, 0)
        assert (receipt.key, receipt.dataset) == ("a", "bars")
        assert receipt.interval.start == START
        assert receipt.version >= 1
        assert receipt.digest
        assert receipt.committed_at.tzinfo is not None

    def test_committing_twice_equals_once(self, store: Backend) -> None:
        """BACK-04."""
        staged = stage(store, [bars()], key="a")
        first = store.commit(staged)
        assert store.commit(staged) == first
        assert len(read(store)) == 5
        assert store.stats("bars").version == first.version

    def test_a_committed_key_gives_its_receipt_again(self, store: Backend) -> None:
        """BACK-05."""
        first = put(store, [bars()], key="a")
        again = stage(store, [bars(close=[1.0] * 5)], key="a", at=LATER)
        assert again.receipt == first
        assert store.commit(again) == first
        assert [row["close"] for row in read(store)] == bars().column("close").to_pylist()

    def test_aborted_rows_leave_nothing(self, store: Backend) -> None:
        """BACK-06."""
        staged = stage(store, [bars()], key="a")
        store.abort(staged)
        store.abort(staged)
        assert read(store) == []
        assert put(store, [bars()], key="a").written_count == 5

    def test_the_newest_knowledge_wins(self, store: Backend) -> None:
        """BACK-07."""
        put(store, [bars()], key="a")
        revised = bars(close=[100.01, 100.02, 7.0, 100.04, 100.05])
        receipt = put(store, [revised], key="b", at=LATER)
        assert (receipt.written_count, receipt.unchanged_count) == (1, 4)
        rows = read(store)
        assert rows[2]["close"] == 7.0
        assert [row["ingested_at"] for row in rows] == [T0, T0, LATER, T0, T0]

    def test_older_knowledge_changes_nothing(self, store: Backend) -> None:
        """BACK-08."""
        newest = put(store, [bars(close=[7.0] * 5)], key="a", at=LATER)
        receipt = put(store, [bars()], key="b", at=T0)
        assert (receipt.written_count, receipt.unchanged_count) == (0, 5)
        assert receipt.version == newest.version
        assert {row["close"] for row in read(store)} == {7.0}

    def test_identical_rows_change_nothing(self, store: Backend) -> None:
        """BACK-09."""
        first = put(store, [bars()], key="a")
        receipt = put(store, [bars()], key="b", at=LATER)
        assert (receipt.written_count, receipt.unchanged_count) == (0, 5)
        assert receipt.version == first.version == store.stats("bars").version
        assert {row["ingested_at"] for row in read(store)} == {T0}

    def test_nulls_and_nans_are_compared_as_values(self, store: Backend) -> None:
        """BACK-10."""
        odd = bars(count=3, volume=[None, float("nan"), 1.0], vwap=[None, None, None])
        put(store, [odd], key="a")
        assert put(store, [odd], key="b", at=LATER).written_count == 0
        known = bars(count=3, volume=[5.0, float("nan"), 1.0], vwap=[None, None, None])
        assert put(store, [known], key="c", at=LATER).written_count == 1
        assert put(store, [odd], key="d", at=LATER + timedelta(hours=1)).written_count == 1
        assert read(store)[0]["volume"] is None

    def test_every_change_has_a_higher_version(self, store: Backend) -> None:
        """BACK-11."""
        versions = [
            put(store, [bars(start=START + timedelta(hours=n))], key=f"k{n}").version
            for n in range(4)
        ]
        assert versions == sorted(set(versions))

    def test_a_key_that_occurs_twice_counts_once(self, store: Backend) -> None:
        """BACK-12."""
        first, last = bars(count=1, close=[1.0]), bars(count=1, close=[2.0])
        receipt = put(store, [first, last], key="a")
        assert receipt.written_count == 1
        assert [row["close"] for row in read(store)] == [2.0]

    def test_the_same_rows_have_the_same_digest(self, store: Backend) -> None:
        """BACK-13."""
        one = put(store, [bars()], key="a")
        same = put(store, [bars()], key="b", at=LATER)
        other = put(store, [bars(close=[1.0] * 5)], key="c", at=LATER)
        assert one.digest == same.digest
        assert one.digest != other.digest

    def test_no_rows_are_a_receipt_without_a_version(self, store: Backend) -> None:
        """BACK-14."""
        first = put(store, [bars()], key="a")
        receipt = put(store, [], key="b")
        assert (receipt.row_count, receipt.written_count) == (0, 0)
        assert receipt.version == first.version

    def test_rows_in_any_order_are_taken(self, store: Backend) -> None:
        """BACK-15."""
        batch = bars(count=6)
        shuffled = batch.take([5, 0, 3, 1, 4, 2])
        put(store, [bars("MSFT"), shuffled, bars("GOOG")], key="a")
        assert len(read(store)) == 16
        assert [row["close"] for row in read(store, symbols=("AAPL",))] == batch.column(
            "close"
        ).to_pylist()

    def test_rows_that_break_the_schema_are_refused(self, store: Backend) -> None:
        """BACK-16."""
        batch = bars()
        without = batch.select([name for name in batch.schema.names if name != "close"])
        with pytest.raises(DataError):
            stage(store, [without], key="a")
        with pytest.raises(DataError):
            stage(store, [bars(close=[1.0, None, 1.0, 1.0, 1.0])], key="b")
        assert read(store) == []
        assert put(store, [batch], key="a").written_count == 5

    def test_instances_see_each_others_commits(self, backend_case: BackendCase) -> None:
        """BACK-17."""
        with backend_case.opened() as one, backend_case.opened() as other:
            put(one, [bars()], key="a")
            assert len(read(other)) == 5
            put(other, [bars(close=[7.0] * 5)], key="b", at=LATER)
            assert {row["close"] for row in read(one)} == {7.0}

    def test_instances_do_not_lose_each_others_rows(self, backend_case: BackendCase) -> None:
        """BACK-18."""
        with backend_case.opened() as one, backend_case.opened() as other:
            mine = stage(one, [bars("AAPL")], key="a")
            yours = stage(other, [bars("MSFT")], key="b")
            one.commit(mine)
            other.commit(yours)
            assert len(read(one)) == len(read(other)) == 10

    def test_a_key_is_one_for_all_instances(self, backend_case: BackendCase) -> None:
        """BACK-19."""
        with backend_case.opened() as one, backend_case.opened() as other:
            mine = stage(one, [bars()], key="a")
            yours = stage(other, [bars()], key="a")
            assert one.commit(mine) == other.commit(yours)
            assert len(read(one)) == 5

    def test_commits_survive_reopening(self, backend_case: BackendCase) -> None:
        """BACK-20."""
        with backend_case.opened() as before:
            receipt = put(before, [bars()], key="a")
            rows = read(before)
        with backend_case.opened() as after:
            assert read(after) == rows
            assert stage(after, [bars()], key="a").receipt == receipt
            assert after.stats("bars").version == receipt.version

    def test_maintenance_changes_no_rows(self, store: Backend) -> None:
        """BACK-21."""
        put(store, [bars(), bars("MSFT")], key="a")
        put(store, [bars(close=[7.0] * 5)], key="b", at=LATER)
        rows, version = read(store), store.stats("bars").version
        assert store.maintain("bars") >= 0
        assert read(store) == rows
        assert store.stats("bars").row_count == 10
        assert store.stats("bars").version >= version
        assert put(store, [bars("MSFT")], key="c", at=LATER).written_count == 0
        assert put(store, [bars(close=[8.0] * 5)], key="d", at=LATER).written_count == 5
        assert {row["close"] for row in read(store, symbols=("AAPL",))} == {8.0}

    def test_closing_twice_is_safe(self, backend_case: BackendCase) -> None:
        """BACK-22."""
        backend = backend_case.open()
        backend.close()
        backend.close()
