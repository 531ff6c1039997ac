"""What every provider must do; the clauses are in `daemon/spec/provider.md`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from openbell.sdk.arrow import provided_schema
from openbell.sdk.errors import DataError, FatalError, RetryableError
from openbell.sdk.providers import FetchRequest, Page, Provider
from openbell.sdk.schemas import SCHEMAS
from openbell.sdk.values import BarWidth, Interval

_LISTED = (RetryableError, FatalError, DataError)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderCase:
    """A provider and a small request that it can answer.

    `make` returns a new instance with the same settings each time. The answer to `request` has
    at least two pages and some thousands of rows at most. `unknown_symbol` is one that the vendor
    does not have; None where every symbol exists.
    """

    make: Callable[[], Provider]
    request: FetchRequest
    unknown_symbol: str | None = "NO-SUCH-SYMBOL"


class ProviderConformance:
    """Subclass it as `TestYourProvider` and override the fixture `provider_case`."""

    @pytest.fixture
    def provider_case(self) -> ProviderCase:
        """Return the provider under test with a request; override this."""
        raise NotImplementedError("override the fixture provider_case")

    def test_capabilities_are_the_same_every_time(self, provider_case: ProviderCase) -> None:
        """PROV-01."""
        with _made(provider_case) as one, _made(provider_case) as other:
            assert one.capabilities() == one.capabilities() == other.capabilities()

    def test_capabilities_name_known_schemas_and_intervals(
        self, provider_case: ProviderCase
    ) -> None:
        """PROV-02."""
        with _made(provider_case) as provider:
            can = provider.capabilities()
        assert can.schemas, "a provider serves at least one schema"
        assert set(can.schemas) <= set(SCHEMAS)
        for text in can.intervals:
            BarWidth.parse(text)
        assert provider_case.request.schema in can.schemas
        assert not can.intervals or provider_case.request.interval.text in can.intervals

    def test_batches_have_the_provided_columns(self, provider_case: ProviderCase) -> None:
        """PROV-03."""
        expected = provided_schema(SCHEMAS[provider_case.request.schema])
        pages = _pages(provider_case, provider_case.request)
        for batch in (batch for page in pages for batch in page.batches):
            assert batch.schema.names == expected.names
            assert batch.schema.types == expected.types
        assert _rows(pages), "the request of provider_case must have rows"

    def test_rows_have_a_symbol_and_an_instant(self, provider_case: ProviderCase) -> None:
        """PROV-04."""
        schema = SCHEMAS[provider_case.request.schema]
        for row in _rows(_pages(provider_case, provider_case.request)):
            assert row[schema.series_column] is not None
            assert row[schema.time_column] is not None

    def test_rows_lie_in_the_span(self, provider_case: ProviderCase) -> None:
        """PROV-05."""
        span = provider_case.request.span
        times = _times(provider_case, provider_case.request)
        assert all(span.start <= ts < span.end for ts in times)

    def test_only_symbols_that_were_asked_for_arrive(self, provider_case: ProviderCase) -> None:
        """PROV-06."""
        request = provider_case.request
        column = SCHEMAS[request.schema].series_column
        rows = _rows(_pages(provider_case, request))
        assert {row[column] for row in rows} <= set(request.symbols)

    def test_nothing_from_the_future_arrives(self, provider_case: ProviderCase) -> None:
        """PROV-07."""
        request = provider_case.request
        times = sorted(set(_times(provider_case, request)))
        now = times[len(times) // 2]
        seen = _times(provider_case, replace(request, now=now))
        assert all(ts < now for ts in seen), f"rows at or after now={now} were yielded"

    def test_the_same_request_gives_the_same_pages(self, provider_case: ProviderCase) -> None:
        """PROV-08."""
        request = provider_case.request
        with _made(provider_case) as provider:
            first, again = list(provider.fetch(request)), list(provider.fetch(request))
        assert _told(first) == _told(again) == _told(_pages(provider_case, request))

    def test_cursors_are_distinct_texts(self, provider_case: ProviderCase) -> None:
        """PROV-09."""
        cursors = [page.cursor for page in _pages(provider_case, provider_case.request)]
        assert all(cursors), "a cursor is a text that is not empty"
        assert {type(cursor) for cursor in cursors} <= {str}
        assert len(set(cursors)) == len(cursors)

    def test_a_cursor_resumes_with_exactly_the_remaining_pages(
        self, provider_case: ProviderCase
    ) -> None:
        """PROV-10."""
        request = provider_case.request
        pages = _pages(provider_case, request)
        assert len(pages) > 1, "the request of provider_case must have two pages or more"
        for done in sorted({0, len(pages) // 2, len(pages) - 2}):
            rest = _pages(provider_case, replace(request, cursor=pages[done].cursor))
            assert _told(rest) == _told(pages[done + 1 :])

    def test_the_last_cursor_has_nothing_behind_it(self, provider_case: ProviderCase) -> None:
        """PROV-11."""
        request = provider_case.request
        last = _pages(provider_case, request)[-1].cursor
        assert _pages(provider_case, replace(request, cursor=last)) == []

    def test_an_empty_page_says_that_there_is_no_data(self, provider_case: ProviderCase) -> None:
        """PROV-12."""
        for page in _pages(provider_case, provider_case.request):
            is_empty = not _rows([page]) and not page.rejected
            assert page.no_data_confirmed or not is_empty

    def test_costs_are_not_negative(self, provider_case: ProviderCase) -> None:
        """PROV-13."""
        for page in _pages(provider_case, provider_case.request):
            assert page.request_count >= 0
            assert page.size_bytes >= 0
            assert page.total_rows_hint is None or page.total_rows_hint >= 0

    def test_two_halves_of_the_span_hold_the_rows_of_the_whole(
        self, provider_case: ProviderCase
    ) -> None:
        """PROV-14."""
        request = provider_case.request
        middle = _middle(provider_case)
        halves = (Interval(request.span.start, middle), Interval(middle, request.span.end))
        parts = [_pages(provider_case, replace(request, span=half)) for half in halves]
        whole = _pages(provider_case, request)
        assert _row_set(page for part in parts for page in part) == _row_set(whole)

    def test_symbols_asked_for_alone_give_the_rows_of_all_together(
        self, provider_case: ProviderCase
    ) -> None:
        """PROV-15."""
        request = provider_case.request
        alone = [
            page
            for symbol in request.symbols
            for page in _pages(provider_case, replace(request, symbols=(symbol,)))
        ]
        assert _row_set(alone) == _row_set(_pages(provider_case, request))

    def test_the_size_of_pages_does_not_change_the_rows(self, provider_case: ProviderCase) -> None:
        """PROV-16."""
        request = provider_case.request
        smaller = replace(request, batch_rows=max(1, request.batch_rows // 3))
        assert _row_set(_pages(provider_case, smaller)) == _row_set(_pages(provider_case, request))

    def test_an_unknown_symbol_is_a_listed_error(self, provider_case: ProviderCase) -> None:
        """PROV-17."""
        if provider_case.unknown_symbol is None:
            pytest.skip("this provider has every symbol")
        request = replace(provider_case.request, symbols=(provider_case.unknown_symbol,))
        with pytest.raises(_LISTED) as caught:
            _pages(provider_case, request)
        assert provider_case.unknown_symbol in str(caught.value), "the error names the symbol"

    def test_closing_twice_is_safe(self, provider_case: ProviderCase) -> None:
        """PROV-18."""
        provider = provider_case.make()
        pages = provider.fetch(provider_case.request)
        next(pages)
        provider.close()
        provider.close()

    def test_rejected_rows_say_where_and_why(self, provider_case: ProviderCase) -> None:
        """PROV-19."""
        for page in _pages(provider_case, provider_case.request):
            for row in page.rejected:
                assert row.source
                assert row.line >= 0
                assert row.reason

    def test_instances_do_not_disturb_each_other(self, provider_case: ProviderCase) -> None:
        """PROV-20."""
        request = provider_case.request
        with _made(provider_case) as one, _made(provider_case) as other:
            pairs = list(zip(one.fetch(request), other.fetch(request), strict=True))
        assert _told(left for left, _ in pairs) == _told(right for _, right in pairs)


@contextmanager
def _made(case: ProviderCase) -> Iterator[Provider]:
    with closing(case.make()) as provider:
        yield provider


def _pages(case: ProviderCase, request: FetchRequest) -> list[Page]:
    with _made(case) as provider:
        return list(provider.fetch(request))


def _rows(pages: Iterable[Page]) -> list[dict[str, Any]]:
    return [row for page in pages for batch in page.batches for row in batch.to_pylist()]


def _told(pages: Iterable[Page]) -> list[tuple[str, str, str]]:
    """Return what pages say, comparable: NaN equals NaN, and batches may be cut anywhere."""
    return [(page.cursor, repr(_rows([page])), repr(list(page.rejected))) for page in pages]


def _row_set(pages: Iterable[Page]) -> list[str]:
    return sorted(repr(row) for row in _rows(pages))


def _times(case: ProviderCase, request: FetchRequest) -> list[Any]:
    column = SCHEMAS[request.schema].time_column
    return [row[column] for row in _rows(_pages(case, request))]


def _middle(case: ProviderCase) -> Any:  # noqa: ANN401 - a datetime, from Arrow
    """Return an instant inside the span with rows on both sides of it."""
    times = sorted(set(_times(case, case.request)))
    assert len(times) > 1, "the request of provider_case must have rows at two instants"
    return times[len(times) // 2]
