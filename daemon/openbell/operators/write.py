"""`op: write`: good rows are committed to a backend, each chunk exactly once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from openbell.model.foreign import expected
from openbell.operators.settings import WriteSettings
from openbell.sdk.backends import Staged, StageRequest
from openbell.sdk.operators import Chunk, Emission, NodeContext, NodeOutcome
from openbell.sdk.values import Interval, Receipt, from_us


class WriteOperator:
    """Commits what reaches it; at the end of a job the backend may tidy up."""

    def __init__(self, settings: WriteSettings) -> None:
        self._settings = settings
        self._rows_in = 0
        self._written = 0
        self._would_write = 0
        self._unchanged = 0
        self._size_bytes = 0
        self._duration_s = 0.0
        self._receipt: Receipt | None = None

    def open(self, context: NodeContext) -> None:
        """Create or evolve the table."""
        self._context = context
        table = context.dataset.table
        self._table = replace(table, dataset=self._settings.dataset or table.dataset)
        self._backend = context.backend(self._settings.to)
        self._plugin = f"storage {self._settings.to!r}"
        if not context.dry_run:
            self._backend.ensure(self._table)

    def process(self, chunk: Chunk) -> Iterable[Emission]:
        """Commit the chunk's good rows; in a dry run, stage and forget them."""
        batch = chunk.batch
        if chunk.bad is not None:
            batch = batch.filter(pa.array(np.logical_not(chunk.bad)))
        if not batch.num_rows:
            return
        if self._context.dry_run:
            self._try(batch, chunk.number)
            return
        began = time.perf_counter()
        receipt = self._commit(batch, chunk.number)
        self._duration_s += time.perf_counter() - began
        self._receipt = receipt
        self._rows_in += receipt.row_count
        self._written += receipt.written_count
        self._unchanged += receipt.unchanged_count
        self._size_bytes += receipt.size_bytes
        yield Emission(outcome="success", chunk=chunk)

    def _try(self, batch: pa.RecordBatch, number: int) -> None:
        """Learn what a commit would do. A table that does not exist would take every row."""
        self._rows_in += batch.num_rows
        if self._table.dataset not in self._backend.datasets():
            self._would_write += batch.num_rows
            return
        staged = self._stage(batch, number)
        self._backend.abort(staged)
        self._would_write += staged.written_count
        self._unchanged += staged.unchanged_count

    def _commit(self, batch: pa.RecordBatch, number: int) -> Receipt:
        """Commit a chunk, and tell of all that was ever committed as this one.

        A process that died after its commit may have had other rows for this chunk: the vendor has
        more now than it had then. Rows that are not there yet are committed under a further key.
        """
        done: list[Receipt] = []
        while True:
            staged = self._stage(batch, number, len(done))
            if done and staged.receipt is None and not staged.written_count:
                self._backend.abort(staged)
                return _together(done)
            try:
                receipt = self._backend.commit(staged)
                done.append(expected(receipt, Receipt, plugin=self._plugin, call="commit()"))
            except BaseException:
                self._backend.abort(staged)
                raise
            if staged.receipt is None and _is_of(done[-1], staged):
                return _together(done)

    def _stage(self, batch: pa.RecordBatch, number: int, again: int = 0) -> Staged:
        staged = self._backend.stage(self._request(batch, number, again), [batch])
        return expected(staged, Staged, plugin=self._plugin, call="stage()")

    def _request(self, batch: pa.RecordBatch, number: int, again: int = 0) -> StageRequest:
        bounds = pc.min_max(batch.column(self._table.schema.time_column).cast(pa.int64()))
        width_us = self._context.dataset.bar.width_s * 1_000_000
        interval = Interval(
            from_us(bounds["min"].as_py()), from_us(bounds["max"].as_py() + width_us)
        )
        return StageRequest(
            table=self._table,
            interval=interval,
            key=f"{self._context.run_id}/{self._context.node}/{number}{f'+{again}' * bool(again)}",
            run_id=self._context.run_id,
            ingested_at=self._context.now(),
        )

    def finish(self) -> Iterable[Emission]:
        """Let the backend fold what this run left, off every live path."""
        if not self._context.dry_run and (self._written or self._context.first_chunk):
            self._backend.maintain(self._table.dataset)
        return ()

    def outcome(self) -> NodeOutcome:
        """Return how many rows changed the table and how many were there already.

        In a dry run `rows_out` is how many would have been written.
        """
        return NodeOutcome(
            outcome="success",
            rows_in=self._rows_in,
            rows_out=self._written + self._would_write,
            rows_written=self._written,
            rows_unchanged=self._unchanged,
            size_bytes=self._size_bytes,
            write_duration_s=self._duration_s,
            receipts=(self._receipt,) if self._receipt is not None else (),
            output=None if self._context.dry_run else self._output(),
        )

    def _output(self) -> Mapping[str, Any]:
        """Return the reference to the part of the table that this run covers."""
        span = self._context.dataset.span
        return {
            "kind": "dataset",
            "dataset": self._table.dataset,
            "storage": self._settings.to,
            "schema": self._table.schema.name,
            "start": span.start.isoformat(),
            "end": span.end.isoformat(),
            "version": self._receipt.version if self._receipt is not None else None,
        }

    def is_holding(self) -> bool:
        """Return False: when `process` returns, the rows are durable."""
        return False

    def close(self) -> None:
        """Leave the backend to the task, which made it."""


def _is_of(receipt: Receipt, staged: Staged) -> bool:
    """Return whether a receipt is of this stage, and not of one that came before under its key."""
    return (receipt.interval, receipt.row_count) == (staged.request.interval, staged.row_count)


def _together(receipts: Sequence[Receipt]) -> Receipt:
    """Return the proof of several commits as one, under the key of the first."""
    if len(receipts) == 1:
        return receipts[0]
    return replace(
        receipts[-1],
        key=receipts[0].key,
        interval=Interval(
            min(each.interval.start for each in receipts),
            max(each.interval.end for each in receipts),
        ),
        row_count=sum(each.row_count for each in receipts),
        written_count=sum(each.written_count for each in receipts),
        unchanged_count=sum(each.unchanged_count for each in receipts),
        size_bytes=sum(each.size_bytes for each in receipts),
    )
