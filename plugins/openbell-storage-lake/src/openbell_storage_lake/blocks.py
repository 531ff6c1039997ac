"""Blocks: record batches in the table's own types, text dictionary-encoded, one chunk a column."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from openbell.sdk.arrow import SYMBOL_TYPE
from openbell.sdk.errors import DataError
from openbell.sdk.values import Finding, Severity
from openbell_storage_lake.layout import STAMPS, TableLayout

Index = npt.NDArray[np.intp]


def from_batches(layout: TableLayout, batches: Iterable[pa.RecordBatch]) -> pa.RecordBatch:
    """Return the given rows as one block without stamps; raises DataError naming the columns."""
    schema = pa.schema([layout.block_schema.field(name) for name in layout.given])
    try:
        blocks = [to_block(_given(layout, batch), schema) for batch in batches]
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise DataError(f"dataset {layout.spec.dataset}: {error}") from error
    if not blocks:
        return pa.RecordBatch.from_pylist([], schema=schema)
    block = concat(blocks)
    nulls = [
        (field.name, block.column(field.name).null_count)
        for field in schema
        if not field.nullable and block.column(field.name).null_count
    ]
    if nulls:
        findings = [
            Finding(
                rule="not_null",
                severity=Severity.FAIL,
                message=f"{count} rows have no {name}",
                column=name,
                row_count=count,
            )
            for name, count in nulls
        ]
        words = ", ".join(f"{name} ({count} rows)" for name, count in nulls)
        raise DataError(
            f"dataset {layout.spec.dataset}: columns that must not be null are null: {words}",
            findings=findings,
        )
    return block


def _given(layout: TableLayout, batch: pa.RecordBatch) -> pa.Table:
    names = set(batch.schema.names)
    missing = [
        name
        for name in layout.given
        if name not in names and not layout.schema.column(name).nullable
    ]
    unknown = sorted(names - set(layout.given) - set(STAMPS))
    if missing or unknown:
        parts = [f"lacks {', '.join(missing)}"] if missing else []
        parts += [f"has the unknown {', '.join(unknown)}"] if unknown else []
        raise DataError(
            f"dataset {layout.spec.dataset}: a batch {' and '.join(parts)}; "
            f"its columns are {', '.join(layout.given)}"
        )
    return pa.Table.from_batches([batch.select([n for n in layout.given if n in names])])


def to_block(table: pa.Table, schema: pa.Schema) -> pa.RecordBatch:
    """Return `table` as one block with exactly the columns of `schema`; missing ones are null."""
    columns = []
    for field in schema:
        if table.schema.get_field_index(field.name) < 0:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        columns.append(_single(table.column(field.name), field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _single(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        if not pa.types.is_dictionary(column.type):
            column = column.cast(pa.string()).dictionary_encode()
        if column.type != kind:
            column = column.cast(kind)
        if column.num_chunks > 1:
            column = column.unify_dictionaries()
    elif column.type != kind:
        column = column.cast(kind)
    if column.num_chunks == 1:
        return column.chunk(0)
    combined = column.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def concat(blocks: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Return the rows of `blocks`, which have one schema, as one block."""
    if len(blocks) == 1:
        return blocks[0]
    return to_block(pa.Table.from_batches(blocks), blocks[0].schema)


def take(
    block: pa.RecordBatch, order: Index | slice | None, *, pool: Executor | None = None
) -> pa.RecordBatch:
    """Return the rows of `block` at `order`; columns of one repeated text are not moved."""
    if order is None:
        return block
    if isinstance(order, slice):
        return block.slice(order.start, order.stop - order.start)
    columns = list((map if pool is None else pool.map)(partial(gather, order=order), block.columns))
    return pa.RecordBatch.from_arrays(columns, schema=block.schema)


def gather(column: pa.Array, order: Index) -> pa.Array:
    """Return the values of `column` at `order`."""
    kind = column.type
    if column.null_count == len(column):
        return pa.nulls(len(order), kind)
    if pa.types.is_dictionary(kind):
        is_one = len(column.dictionary) == 1 and not column.null_count
        if is_one and len(order) <= len(column):
            return column.slice(0, len(order))
        indices = gather(column.indices, order)
        return pa.DictionaryArray.from_arrays(indices, column.dictionary)
    if column.null_count or not _is_plain(kind):
        return column.take(pa.array(order))
    raw = column.view(pa.int64()) if pa.types.is_timestamp(kind) else column
    moved = pa.array(raw.to_numpy(zero_copy_only=False)[order])
    return moved.view(kind) if pa.types.is_timestamp(kind) else moved


def _is_plain(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_timestamp(kind)
    )


def times(column: pa.Array) -> npt.NDArray[np.int64]:
    """Return a timestamp column without nulls as int64 microseconds, uncopied."""
    values: npt.NDArray[np.int64] = column.view(pa.int64()).to_numpy(zero_copy_only=True)
    return values


def numbers(column: pa.Array) -> npt.NDArray[Any]:
    """Return a column's values as numpy, null as zero."""
    if pa.types.is_timestamp(column.type):
        column = column.view(pa.int64())
    elif pa.types.is_date32(column.type):
        column = column.view(pa.int32())
    if column.null_count:
        column = column.fill_null(False if pa.types.is_boolean(column.type) else 0)
    values: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def stamped(
    layout: TableLayout, block: pa.RecordBatch, *, ingested_us: int, run_id: str
) -> pa.RecordBatch:
    """Return `block` with the columns that a commit adds, in the table's order."""
    count = block.num_rows
    at = pa.array(np.full(count, ingested_us, dtype=np.int64)).view(pa.timestamp("us", "UTC"))
    run = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(count, dtype=np.int32)), pa.array([run_id], pa.string())
    )
    extra = {"ingested_at": at, "run_id": run}
    columns = [extra[n] if n in extra else block.column(n) for n in layout.names]
    return pa.RecordBatch.from_arrays(columns, schema=layout.block_schema)


def sorted_texts(column: pa.DictionaryArray) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Return (the texts that occur, sorted; the place of each row's text among them)."""
    codes = column.indices.to_numpy(zero_copy_only=False)
    words = column.dictionary.to_pylist()
    used = np.flatnonzero(np.bincount(codes, minlength=len(words)))
    order = sorted(used.tolist(), key=words.__getitem__)
    rank = np.zeros(max(len(words), 1), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return [words[i] for i in order], rank[codes]


def digest(block: pa.RecordBatch) -> str:
    """Return SHA-256 of the rows as they stand, the same for every encoding of the same rows."""
    summary = hashlib.sha256(str(block.num_rows).encode())
    for name, column in zip(block.schema.names, block.columns, strict=True):
        summary.update(f"\0{name}\0{column.null_count}\0".encode())
        if column.null_count:
            summary.update(np.packbits(numbers(pc.is_valid(column))).tobytes())
        if column.type == SYMBOL_TYPE:
            column = column.fill_null("") if column.null_count else column  # noqa: PLW2901 - the same column without nulls
            words, codes = sorted_texts(column)
            summary.update("\0".join(words).encode())
            if len(words) > 1:
                summary.update(np.ascontiguousarray(codes).data)
        elif column.null_count < len(column):
            summary.update(np.ascontiguousarray(numbers(column)).data)
    return summary.hexdigest()
