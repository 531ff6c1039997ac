"""A conformance suite is worth what it catches: each fault here fails the case that names it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from typing_extensions import override

from openbell.sdk import (
    FetchRequest,
    Page,
    ReadFilter,
    Receipt,
    Staged,
    StageRequest,
    TableSpec,
)
from openbell.testing import (
    BackendCase,
    BackendConformance,
    FakeBackend,
    FakePlace,
    FakeProvider,
    ProviderCase,
    ProviderConformance,
    fetch_request,
    provided_bars,
)
from openbell.testing.conformance.backend_case import TABLE

pytestmark = pytest.mark.unit

SCRIPT = (provided_bars("AAPL", count=20), provided_bars("MSFT", count=20))


class IgnoresCursor(FakeProvider):
    @override
    def fetch(self, request: FetchRequest) -> Iterator[Page]:
        return super().fetch(replace(request, cursor=None))


class SeesTheFuture(FakeProvider):
    @override
    def fetch(self, request: FetchRequest) -> Iterator[Page]:
        return super().fetch(replace(request, now=request.span.end))


class LeavesTheSpan(FakeProvider):
    @override
    def fetch(self, request: FetchRequest) -> Iterator[Page]:
        yield Page(batches=(provided_bars(start=request.span.end),), cursor="0")


class YieldsOtherColumns(FakeProvider):
    @override
    def fetch(self, request: FetchRequest) -> Iterator[Page]:
        for page in super().fetch(request):
            yield replace(page, batches=[batch.select(["symbol", "ts"]) for batch in page.batches])


class SkipsUnknownSymbols(FakeProvider):
    @override
    def fetch(self, request: FetchRequest) -> Iterator[Page]:
        known = tuple(s for s in request.symbols if s in {"AAPL", "MSFT"})
        return super().fetch(replace(request, symbols=known))


class ForgetsToConfirm(FakeProvider):
    @override
    def fetch(self, request: FetchRequest) -> Iterator[Page]:
        for page in super().fetch(request):
            yield replace(page, batches=(), no_data_confirmed=False)


class ChangesItsMind(FakeProvider):
    @override
    def fetch(self, request: FetchRequest) -> Iterator[Page]:
        for page in super().fetch(request):
            yield replace(page, cursor=f"{len(self.requests)}-{page.cursor}")


@pytest.mark.parametrize(
    ("provider", "case"),
    [
        (IgnoresCursor, "test_a_cursor_resumes_with_exactly_the_remaining_pages"),
        (IgnoresCursor, "test_the_last_cursor_has_nothing_behind_it"),
        (SeesTheFuture, "test_nothing_from_the_future_arrives"),
        (LeavesTheSpan, "test_rows_lie_in_the_span"),
        (YieldsOtherColumns, "test_batches_have_the_provided_columns"),
        (SkipsUnknownSymbols, "test_an_unknown_symbol_is_a_listed_error"),
        (ForgetsToConfirm, "test_an_empty_page_says_that_there_is_no_data"),
        (ChangesItsMind, "test_the_same_request_gives_the_same_pages"),
    ],
)
def test_a_broken_provider_is_caught(provider: type[FakeProvider], case: str) -> None:
    suite: Any = ProviderConformance()
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(suite, case)(
            ProviderCase(make=lambda: provider(SCRIPT), request=fetch_request(["AAPL", "MSFT"]))
        )


class ShowsWhatIsStaged(FakeBackend):
    @override
    def stage(self, request: StageRequest, batches: Iterable[pa.RecordBatch]) -> Staged:
        staged = super().stage(request, batches)
        super().commit(staged)
        return staged


class ForgetsKeys(FakeBackend):
    @override
    def commit(self, staged: Staged) -> Receipt:
        self.place.receipts.pop(staged.request.key, None)
        return super().commit(staged)


class KeepsOneInstanceOnly(FakeBackend):
    def __init__(self, place: FakePlace) -> None:
        del place
        super().__init__(FakePlace())


class ReadsTheEnd(FakeBackend):
    @override
    def read(
        self, dataset: str, rows: ReadFilter, *, as_of: datetime | None = None
    ) -> Iterator[pa.RecordBatch]:
        return super().read(dataset, replace(rows, end=None), as_of=as_of)


class KnowsNoPast(FakeBackend):
    @override
    def read(
        self, dataset: str, rows: ReadFilter, *, as_of: datetime | None = None
    ) -> Iterator[pa.RecordBatch]:
        return super().read(dataset, rows)


class TakesAnySchema(FakeBackend):
    @override
    def ensure(self, table: TableSpec) -> None:
        super().ensure(TABLE)


class CountsUnchangedAsWritten(FakeBackend):
    @override
    def commit(self, staged: Staged) -> Receipt:
        receipt = super().commit(staged)
        return replace(receipt, written_count=receipt.row_count, unchanged_count=0)


@pytest.mark.parametrize(
    ("backend", "case"),
    [
        (ShowsWhatIsStaged, "test_staged_rows_are_invisible"),
        (ShowsWhatIsStaged, "test_aborted_rows_leave_nothing"),
        (ForgetsKeys, "test_committing_twice_equals_once"),
        (ForgetsKeys, "test_a_committed_key_gives_its_receipt_again"),
        (KnowsNoPast, "test_a_reader_can_look_back"),
        (CountsUnchangedAsWritten, "test_identical_rows_change_nothing"),
        (TakesAnySchema, "test_other_keys_are_refused"),
    ],
)
def test_a_backend_that_breaks_a_law_is_caught(backend: type[FakeBackend], case: str) -> None:
    store = backend(FakePlace())
    store.ensure(TABLE)
    suite: Any = BackendConformance()
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(suite, case)(store)


@pytest.mark.parametrize(
    "case",
    ["test_instances_see_each_others_commits", "test_commits_survive_reopening"],
)
def test_instances_that_share_nothing_are_caught(case: str) -> None:
    place = FakePlace()
    suite: Any = BackendConformance()
    with pytest.raises(AssertionError):
        getattr(suite, case)(BackendCase(open=lambda: KeepsOneInstanceOnly(place)))


def test_a_reader_that_includes_the_end_is_caught() -> None:
    store = ReadsTheEnd(FakePlace())
    store.ensure(TABLE)
    suite = BackendConformance()
    filled = BackendConformance.filled.__wrapped__(suite, store)  # type: ignore[attr-defined]
    with pytest.raises(AssertionError):
        suite.test_a_reader_can_ask_for_a_span_without_its_end(filled)
