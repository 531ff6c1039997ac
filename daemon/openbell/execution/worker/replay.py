"""The source of a chain that begins with what another node made: its rows, as numbered chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from openbell.execution.worker.outputs import Output
from openbell.sdk.arrow import chunk_schema, constant
from openbell.sdk.errors import SchemaChangedError
from openbell.sdk.operators import Chunk, DatasetContext, Emission, NodeContext, NodeOutcome

_ADDED = frozenset({"ingested_at", "run_id"})


class ReplaySource:
    """Cuts an output into chunks of the dataset's batch size; the cursor is the row reached."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._rows_out = 0

    def open(self, context: NodeContext) -> None:
        """Get ready."""
        self._context = context
        self._dataset = context.dataset

    def produce(self) -> Iterator[Chunk]:
        """Yield the rows after the cursor."""
        reached = int(self._context.cursor or 0)
        number = self._context.first_chunk
        for batch in _cut(self._output.open(), reached, self._dataset.batch_rows):
            if self._context.is_stopping():
                return
            reached += batch.num_rows
            self._rows_out += batch.num_rows
            self._context.progress(rows=batch.num_rows, total_rows=self._output.row_count)
            yield Chunk(
                batch=fitted(batch, self._dataset, self._output.node),
                number=number,
                cursor=str(reached),
            )
            number += 1

    def process(self, chunk: Chunk) -> Iterable[Emission]:
        """Pass on what `produce` made."""
        yield Emission(outcome="success", chunk=chunk)

    def finish(self) -> Iterable[Emission]:
        """Yield nothing."""
        return ()

    def outcome(self) -> NodeOutcome:
        """Return how many rows were read."""
        return NodeOutcome(outcome="success", rows_in=self._rows_out, rows_out=self._rows_out)

    def is_holding(self) -> bool:
        """Return False."""
        return False

    def close(self) -> None:
        """Release nothing."""


def _cut(
    batches: Iterable[pa.RecordBatch], skip_rows: int, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """Yield the rows after the first `skip_rows`, in pieces of `batch_rows`, the last one less."""
    held: list[pa.RecordBatch] = []
    held_rows = 0
    for batch in batches:
        skipped = min(skip_rows, batch.num_rows)
        skip_rows -= skipped
        start = skipped
        while start < batch.num_rows:
            piece = batch.slice(start, batch_rows - held_rows)
            held.append(piece)
            held_rows += piece.num_rows
            start += piece.num_rows
            if held_rows == batch_rows:
                yield _joined(held)
                held, held_rows = [], 0
    if held_rows:
        yield _joined(held)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    whole = pa.Table.from_batches(batches).unify_dictionaries().combine_chunks()
    (joined,) = whole.to_batches()
    return joined


def fitted(batch: pa.RecordBatch, dataset: DatasetContext, node: str) -> pa.RecordBatch:
    """Return rows with the columns that a chunk of the dataset has.

    `provider` and `interval` are the dataset's where the rows have none; what a commit adds is left
    out, nullable columns may be missing. Raises `SchemaChangedError` for what does not fit.
    """
    wanted = chunk_schema(dataset.table.schema)
    unknown = [name for name in batch.schema.names if name not in {*wanted.names, *_ADDED}]
    constants = {"provider": dataset.provider, "interval": dataset.bar.text}
    missing = [
        field.name
        for field in wanted
        if field.name not in batch.schema.names
        and field.name not in constants
        and not field.nullable
    ]
    if unknown or missing:
        told = [f"does not know {unknown}"] if unknown else []
        told += [f"needs {missing}"] if missing else []
        raise SchemaChangedError(
            f"node {node!r} made columns {batch.schema.names}; the schema "
            f"{dataset.table.schema.name!r} of dataset {dataset.table.dataset!r} "
            f"{' and '.join(told)}"
        )
    columns = [_column(batch, field, constants, node) for field in wanted]
    return pa.RecordBatch.from_arrays(columns, schema=wanted)


def _column(
    batch: pa.RecordBatch, field: pa.Field, constants: dict[str, str], node: str
) -> pa.Array:
    if field.name not in batch.schema.names:
        if field.name in constants:
            return constant(constants[field.name], batch.num_rows)
        return pa.nulls(batch.num_rows, field.type)
    column = batch.column(field.name)
    try:
        if pa.types.is_dictionary(field.type) and not pa.types.is_dictionary(column.type):
            column = column.cast(field.type.value_type).dictionary_encode()
        column = column.cast(field.type)
    except pa.ArrowException as error:
        raise SchemaChangedError(
            f"column {field.name!r} of what node {node!r} made has type {column.type}, "
            f"and {field.type} is needed: {error}"
        ) from error
    if column.null_count and not field.nullable:
        raise SchemaChangedError(
            f"column {field.name!r} of what node {node!r} made has {column.null_count} nulls"
        )
    return column
