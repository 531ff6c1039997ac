"""The contract of a backend: a plugin that stores data (clauses in `daemon/spec/backend.md`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from openbell.sdk.schemas import TableSpec
from openbell.sdk.values import Interval, Receipt

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRequest:
    """What a stage is made for.

    `key` is the idempotency key: built from meaning (run, node, batch), never from the attempt.
    `interval` covers the rows' `ts`. `ingested_at` and `run_id` become columns of every row.
    """

    table: TableSpec
    interval: Interval
    key: str
    run_id: str
    ingested_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """Rows that are on disk or in a transaction and that no reader can see.

    `receipt` is set when `key` was committed before: then `commit` returns it and nothing else
    happens. `token` is the backend's own handle.
    """

    request: StageRequest
    token: object
    row_count: int
    written_count: int
    unchanged_count: int
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFilter:
    """Which rows to read; every part narrows. Instants are aware UTC, `end` is excluded."""

    symbols: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableStats:
    """A table in numbers. `version` is the newest receipt's; `pending_*` wait to be folded."""

    dataset: str
    row_count: int
    size_bytes: int
    file_count: int
    version: int
    first_ts: datetime | None
    last_ts: datetime | None
    pending_row_count: int = 0
    pending_file_count: int = 0


class Backend(Protocol):
    """Stores rows so that each is there exactly once, newest knowledge first.

    Made from its settings in a worker process. Several processes may use the same place at once:
    no one's rows are lost, and `key`s are unique over all of them.
    """

    def ensure(self, table: TableSpec) -> None:
        """Create the table, or evolve it: new nullable columns are added, types widened.

        Anything else raises `SchemaChangedError` with the difference and changes nothing.
        """
        ...

    def stage(self, request: StageRequest, batches: Iterable[pa.RecordBatch]) -> Staged:
        """Write `batches` where no reader looks, and learn which rows are new.

        Rows have every column of the table's schema except `ingested_at` and `run_id`. A key that
        occurs twice in the batches counts once, the last row wins. Raises `DataError` for rows
        that break the schema and `RetryableError` when the place is busy or full.
        """
        ...

    def commit(self, staged: Staged) -> Receipt:
        """Make the rows visible, all or none, durably; committing twice equals once."""
        ...

    def abort(self, staged: Staged) -> None:
        """Forget what was staged. Never fails for something already gone."""
        ...

    def maintain(self, dataset: str) -> int:
        """Fold, clean and compact as the backend likes; return how many rows were rewritten."""
        ...

    def read(
        self, dataset: str, rows: ReadFilter, *, as_of: datetime | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield matching rows, sorted by series and time within the whole answer.

        `as_of` gives the table as readers saw it at that instant, as far back as the backend keeps.
        Raises `NotFoundError` for an unknown dataset.
        """
        ...

    def stats(self, dataset: str) -> TableStats:
        """Return the table in numbers; raises `NotFoundError` for an unknown dataset."""
        ...

    def datasets(self) -> Sequence[str]:
        """Return the names of the tables that are there, sorted."""
        ...

    def close(self) -> None:
        """Release files and connections. Safe to call twice."""
        ...
