"""The contract of a provider: a plugin that fetches data (clauses in `daemon/spec/provider.md`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from openbell.sdk.values import BarWidth, Interval, RejectedRow, SessionTable

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a provider can do. `intervals` is empty when it serves any bar width."""

    schemas: tuple[str, ...]
    intervals: tuple[str, ...] = ()
    live: bool = False
    vintages: bool = False
    history_start: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRequest:
    """What to fetch: bars of `symbols` whose `ts` lies in `span`.

    For daily bars `ts` is the session's label at 00:00 UTC, and so is `span`. `sessions` holds the
    calendar's sessions that overlap the span. `cursor` is the one of the last page that was
    committed: the first page to yield is the one after it; None starts at the beginning.
    `batch_rows` is how many rows a page should hold, as a wish. `now` is the daemon's time: nothing later may be yielded.
    """

    dataset: str
    schema: str
    provider: str
    symbols: tuple[str, ...]
    interval: BarWidth
    span: Interval
    sessions: SessionTable
    batch_rows: int
    now: datetime
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The answer to one request to the vendor.

    `batches` have the schema's `provided` columns (see `openbell.sdk.arrow.provided_schema`), in any order of
    rows. `cursor` resumes after this page. `rejected` are rows that could not be parsed. An empty
    page is a success only with `no_data_confirmed`: the vendor said that there is nothing. `request_count` and
    `size_bytes` are what the page cost at the vendor.
    """

    batches: Sequence[pa.RecordBatch]
    cursor: str
    rejected: Sequence[RejectedRow] = field(default_factory=tuple)
    no_data_confirmed: bool = False
    request_count: int = 1
    size_bytes: int = 0
    total_rows_hint: int | None = None


class Provider(Protocol):
    """Fetches data. Made from its settings in a worker process, used by one node at a time."""

    def capabilities(self) -> Capabilities:
        """Return what this provider can do; the same answer for its whole life."""
        ...

    def fetch(self, request: FetchRequest) -> Iterator[Page]:
        """Yield pages until the request is answered.

        Each `next()` makes at most one vendor request: the daemon takes a token from the
        provider's budget before it. Never sleeps and never retries. The same request and cursor
        give the same pages while the vendor's data is unchanged. Raises the provider errors of
        `openbell.sdk.errors`, never its library's.
        """
        ...

    def close(self) -> None:
        """Release files and connections. Safe to call twice."""
        ...
