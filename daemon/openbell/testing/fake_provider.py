"""A provider that answers from a script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from openbell.sdk.errors import NotFoundError
from openbell.sdk.providers import Capabilities, FetchRequest, Page
from openbell.sdk.schemas import SCHEMAS

if TYPE_CHECKING:
    import pyarrow as pa


class FakeProvider:
    """Yields its script, one entry a page: batches of provided bars, whole pages, or errors.

    Of each batch a request gets the rows that it asks for. An error in the script is raised once,
    the first time a fetch reaches it; the next fetch goes on behind it. A symbol that is nowhere
    in the script raises NotFoundError. `requests` is every request made, `is_closed` the end.
    """

    def __init__(self, script: Sequence[pa.RecordBatch | Page | Exception]) -> None:
        self._script = list(script)
        self._raised: set[int] = set()
        self.requests: list[FetchRequest] = []
        self.is_closed = False

    def capabilities(self) -> Capabilities:
        """Return every schema there is, any bar width, live too."""
        return Capabilities(schemas=tuple(SCHEMAS), live=True)

    def fetch(self, request: FetchRequest) -> Iterator[Page]:
        """Yield the script's pages after the request's cursor."""
        self.requests.append(request)
        missing = sorted(set(request.symbols) - self._symbols())
        if missing:
            raise NotFoundError(f"the script has no symbol {missing[0]!r}")
        first = 0 if request.cursor is None else int(request.cursor) + 1
        for number, entry in enumerate(self._script[first:], first):
            if isinstance(entry, Exception):
                if number not in self._raised:
                    self._raised.add(number)
                    raise entry
            else:
                yield _answer(entry, request, str(number))

    def close(self) -> None:
        """Remember that it was closed."""
        self.is_closed = True

    def _symbols(self) -> set[str]:
        pages = [entry for entry in self._script if not isinstance(entry, Exception)]
        batches = [batch for page in pages for batch in _batches(page)]
        return {symbol for batch in batches for symbol in batch.column("symbol").to_pylist()}


def _batches(entry: pa.RecordBatch | Page) -> Sequence[pa.RecordBatch]:
    return entry.batches if isinstance(entry, Page) else (entry,)


def _answer(entry: pa.RecordBatch | Page, request: FetchRequest, cursor: str) -> Page:
    asked = [batch.filter(_mask(batch, request)) for batch in _batches(entry)]
    kept = tuple(batch for batch in asked if batch.num_rows)
    page = entry if isinstance(entry, Page) else Page(batches=(), cursor=cursor)
    is_empty = not kept and not page.rejected
    return replace(
        page, batches=kept, cursor=cursor, no_data_confirmed=page.no_data_confirmed or is_empty
    )


def _mask(batch: pa.RecordBatch, request: FetchRequest) -> pa.Array:
    import pyarrow as pa  # noqa: PLC0415 - the module itself stays light

    end = min(request.span.end, request.now)
    wanted = set(request.symbols)
    pairs = zip(batch.column("symbol").to_pylist(), batch.column("ts").to_pylist(), strict=True)
    return pa.array([s in wanted and request.span.start <= ts < end for s, ts in pairs], pa.bool_())
