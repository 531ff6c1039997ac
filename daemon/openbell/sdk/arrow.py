"""The sdk's data-plane part: schemas in Arrow, and a cached numpy view of a batch.

Only code that runs in worker processes may import this module; the control plane never does.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import datetime
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from openbell.sdk.schemas import ColumnType, TableSchema

SYMBOL_TYPE = pa.dictionary(pa.int32(), pa.string())
"""How strings that repeat travel between nodes: symbol, provider, interval, run_id."""

_T = TypeVar("_T")

_TYPES: dict[ColumnType, Any] = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
}


def arrow_type(column_type: ColumnType) -> pa.DataType:
    """Return the Arrow type a table column of `column_type` has at rest."""
    return _TYPES[column_type]


def table_schema(schema: TableSchema) -> pa.Schema:
    """Return every column of `schema`, strings as plain strings: the table at rest."""
    return pa.schema(
        [pa.field(c.name, arrow_type(c.type), nullable=c.nullable) for c in schema.columns]
    )


def _in_flight(schema: TableSchema, names: tuple[str, ...]) -> pa.Schema:
    fields = []
    for column in schema.columns:
        if column.name in names:
            is_text = column.type == "string"
            kind = SYMBOL_TYPE if is_text else arrow_type(column.type)
            fields.append(pa.field(column.name, kind, nullable=column.nullable))
    return pa.schema(fields)


def provided_schema(schema: TableSchema) -> pa.Schema:
    """Return the columns that a provider yields, strings dictionary-encoded (int32)."""
    return _in_flight(schema, schema.provided)


def chunk_schema(schema: TableSchema) -> pa.Schema:
    """Return the columns of a chunk between nodes: all but `ingested_at` and `run_id`."""
    names = tuple(c.name for c in schema.columns if c.name not in {"ingested_at", "run_id"})
    return _in_flight(schema, names)


def constant(text: str, row_count: int) -> pa.DictionaryArray:
    """Return a column of `row_count` times the same text, dictionary-encoded."""
    indices = pa.array(np.zeros(row_count, dtype=np.int32))
    return pa.DictionaryArray.from_arrays(indices, pa.array([text], pa.string()))


def timestamp_scalar(instant: datetime) -> pa.Scalar:
    """Return an aware instant as a scalar of the table's timestamp type."""
    return pa.scalar(instant, _TYPES["timestamp"])


class BatchView:
    """One batch with its columns as numpy arrays, each converted at most once.

    Several rules look at the same columns; sharing a view between them makes that free.
    """

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch
        self.row_count: int = batch.num_rows
        self._values: dict[str, npt.NDArray[Any]] = {}
        self._valid: dict[str, npt.NDArray[np.bool_] | None] = {}
        self._codes: dict[str, tuple[npt.NDArray[np.int32], pa.Array]] = {}
        self._bounds: dict[str, tuple[float, float]] = {}
        self._products: dict[Hashable, Any] = {}

    def has(self, name: str) -> bool:
        """Return whether the batch has a column called `name`."""
        return bool(self.batch.schema.get_field_index(name) >= 0)

    def valid(self, name: str) -> npt.NDArray[np.bool_] | None:
        """Return True where `name` is not null, or None when no value is null."""
        if name not in self._valid:
            column = self.batch.column(name)
            nothing_null = column.null_count == 0
            mask = None if nothing_null else pc.is_valid(column).to_numpy(zero_copy_only=False)
            self._valid[name] = mask
        return self._valid[name]

    def values(self, name: str) -> npt.NDArray[Any]:
        """Return numbers as they are and timestamps as int64 microseconds; null is NaN or 0."""
        if name not in self._values:
            column = self.batch.column(name)
            if pa.types.is_timestamp(column.type):
                column = column.cast(pa.timestamp("us", tz=column.type.tz)).view(pa.int64())
            if column.null_count:
                column = column.fill_null(float("nan") if pa.types.is_floating(column.type) else 0)
            self._values[name] = column.to_numpy(zero_copy_only=False)
        return self._values[name]

    def codes(self, name: str) -> tuple[npt.NDArray[np.int32], pa.Array]:
        """Return (code of each row, dictionary) of a text column; null has code -1."""
        if name not in self._codes:
            column = self.batch.column(name)
            if not pa.types.is_dictionary(column.type):
                column = column.dictionary_encode()
            indices = column.indices
            if indices.null_count:
                indices = indices.fill_null(-1)
            codes = indices.to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
            self._codes[name] = (codes, column.dictionary)
        return self._codes[name]

    def bounds(self, name: str) -> tuple[float, float]:
        """Return (smallest, largest) of `values(name)`; both NaN when a value is, or without rows."""
        if name not in self._bounds:
            values = self.values(name)
            nothing = float("nan")
            has_rows = len(values) > 0
            bounds = (values.min().item(), values.max().item()) if has_rows else (nothing, nothing)
            self._bounds[name] = bounds
        return self._bounds[name]

    def product(self, key: Hashable, make: Callable[[BatchView], _T]) -> _T:
        """Return `make(self)`, computed once for each `key`: what several rules need of a batch."""
        if key not in self._products:
            self._products[key] = make(self)
        found: _T = self._products[key]
        return found
