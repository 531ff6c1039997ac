"""A backend in memory, true to the contract: slow, small, and right."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from openbell.sdk.arrow import table_schema
from openbell.sdk.backends import ReadFilter, Staged, StageRequest, TableStats
from openbell.sdk.errors import DataError, NotFoundError
from openbell.sdk.schemas import TableSchema, TableSpec
from openbell.sdk.values import Receipt, to_us
from openbell.testing.evolution import evolved

Row = dict[str, Any]
_ADDED = ("ingested_at", "run_id")


@dataclass(frozen=True, slots=True)
class _Known:
    """What was known of one key from a commit on."""

    committed_at: datetime
    row: Row


@dataclass(slots=True)
class _Token:
    """Rows that are staged; None once they were aborted."""

    rows: list[Row] | None


@dataclass(slots=True)
class _Table:
    spec: TableSpec
    version: int = 0
    rows: dict[tuple[Any, ...], list[_Known]] = field(default_factory=dict)


@dataclass(slots=True)
class FakePlace:
    """Where fake backends keep tables; give one place to several backends to share it."""

    tables: dict[str, _Table] = field(default_factory=dict)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    commit_count: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)


class FakeBackend:
    """Keeps every version of every row in `place`.

    Commits happen a second apart, from `start` on: no clock is read.
    """

    def __init__(
        self,
        place: FakePlace | None = None,
        *,
        start: datetime = datetime(2026, 2, 1, tzinfo=UTC),
    ) -> None:
        self.place = place or FakePlace()
        self._start = start

    def ensure(self, table: TableSpec) -> None:
        """Create or evolve the table."""
        with self.place.lock:
            known = self.place.tables.get(table.dataset)
            if known is None:
                self.place.tables[table.dataset] = _Table(table)
            else:
                known.spec = replace(known.spec, schema=evolved(known.spec, table))

    def stage(self, request: StageRequest, batches: Iterable[pa.RecordBatch]) -> Staged:
        """Check the rows and learn which are new."""
        table = self._table(request.table.dataset)
        rows = [row for batch in batches for row in _rows(batch, table.spec.schema)]
        receipt = self.place.receipts.get(request.key)
        changed = self._changed(table, request, rows)
        unique = len({_key(table.spec, row) for row in rows})
        return Staged(
            request=request,
            token=_Token(rows),
            row_count=unique,
            written_count=len(changed),
            unchanged_count=unique - len(changed),
            receipt=receipt,
        )

    def commit(self, staged: Staged) -> Receipt:
        """Make the rows visible, once for each key."""
        request = staged.request
        with self.place.lock:
            known = self.place.receipts.get(request.key)
            if known is not None:
                return known
            rows = staged.token.rows if isinstance(staged.token, _Token) else None
            if rows is None:
                raise NotFoundError(f"nothing is staged under {request.key!r}")
            table = self._table(request.table.dataset)
            changed = self._changed(table, request, rows)
            self.place.commit_count += 1
            committed_at = self._start + timedelta(seconds=self.place.commit_count)
            for key, row in changed.items():
                table.rows.setdefault(key, []).append(_Known(committed_at, row))
            table.version += bool(changed)
            receipt = Receipt(
                key=request.key,
                dataset=request.table.dataset,
                interval=request.interval,
                row_count=staged.row_count,
                written_count=len(changed),
                unchanged_count=staged.row_count - len(changed),
                size_bytes=sum(len(repr(row)) for row in changed.values()),
                digest=hashlib.sha256(repr(rows).encode()).hexdigest(),
                version=table.version,
                committed_at=committed_at,
            )
            self.place.receipts[request.key] = receipt
            return receipt

    def abort(self, staged: Staged) -> None:
        """Forget the rows."""
        if isinstance(staged.token, _Token):
            staged.token.rows = None

    def maintain(self, dataset: str) -> int:
        """Do nothing: there is nothing to fold."""
        self._table(dataset)
        return 0

    def read(
        self, dataset: str, rows: ReadFilter, *, as_of: datetime | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield one batch with the matching rows, or none."""
        table = self._table(dataset)
        schema = table.spec.schema
        with self.place.lock:
            seen = [_at(history, as_of) for history in table.rows.values()]
        found = [row for row in seen if row is not None and _matches(row, rows, schema)]
        found.sort(key=lambda row: _order(table.spec, row))
        names = rows.columns or tuple(column.name for column in schema.columns)
        if found:
            kept = pa.schema([table_schema(schema).field(name) for name in names])
            yield pa.RecordBatch.from_pylist(found, schema=kept)

    def stats(self, dataset: str) -> TableStats:
        """Return the table in numbers."""
        table = self._table(dataset)
        rows = [history[-1].row for history in table.rows.values()]
        times = [row[table.spec.schema.time_column] for row in rows]
        return TableStats(
            dataset=dataset,
            row_count=len(rows),
            size_bytes=sum(len(repr(row)) for row in rows),
            file_count=0,
            version=table.version,
            first_ts=min(times, default=None),
            last_ts=max(times, default=None),
        )

    def datasets(self) -> Sequence[str]:
        """Return the tables' names."""
        return sorted(self.place.tables)

    def close(self) -> None:
        """Keep the place: it is the test's."""

    def _table(self, dataset: str) -> _Table:
        table = self.place.tables.get(dataset)
        if table is None:
            raise NotFoundError(f"there is no dataset {dataset!r}")
        return table

    def _changed(
        self, table: _Table, request: StageRequest, rows: Sequence[Row]
    ) -> dict[tuple[Any, ...], Row]:
        """Return, by key, the rows that would change the table now."""
        changed: dict[tuple[Any, ...], Row] = {}
        for row in rows:
            full = {**row, "ingested_at": request.ingested_at, "run_id": request.run_id}
            key = _key(table.spec, row)
            changed.pop(key, None)
            history = table.rows.get(key)
            if history is None or _is_news(history[-1].row, full):
                changed[key] = full
        return changed


def _is_news(old: Row, new: Row) -> bool:
    if new["ingested_at"] < old["ingested_at"]:
        return False
    names = [name for name in new if name not in _ADDED]
    return any(repr(old.get(name)) != repr(new[name]) for name in names)


def _rows(batch: pa.RecordBatch, schema: TableSchema) -> list[Row]:
    given = pa.schema([f for f in table_schema(schema) if f.name not in _ADDED])
    missing = [f.name for f in given if f.name not in batch.schema.names]
    foreign = [name for name in batch.schema.names if name not in given.names]
    if missing or foreign:
        raise DataError(f"columns missing: {missing}, unknown: {foreign}")
    for f in given:
        if not f.nullable and batch.column(f.name).null_count:
            raise DataError(f"column {f.name!r} must not be null")
    try:
        arrays = [batch.column(f.name).cast(f.type) for f in given]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"the rows do not fit the schema: {error}") from error
    rows: list[Row] = pa.RecordBatch.from_arrays(arrays, schema=given).to_pylist()
    return rows


def _key(spec: TableSpec, row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in spec.keys)


def _order(spec: TableSpec, row: Mapping[str, Any]) -> tuple[Any, ...]:
    ts: datetime = row[spec.schema.time_column]
    return (row[spec.schema.series_column], to_us(ts), *map(str, _key(spec, row)))


def _at(history: Sequence[_Known], as_of: datetime | None) -> Row | None:
    seen = [known for known in history if as_of is None or known.committed_at <= as_of]
    return seen[-1].row if seen else None


def _matches(row: Row, rows: ReadFilter, schema: TableSchema) -> bool:
    ts = row[schema.time_column]
    return (
        (not rows.symbols or row[schema.series_column] in rows.symbols)
        and (not rows.providers or row.get("provider") in rows.providers)
        and (rows.start is None or ts >= rows.start)
        and (rows.end is None or ts < rows.end)
    )
