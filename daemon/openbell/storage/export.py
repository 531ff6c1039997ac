"""Write batches of rows as CSV, JSON, JSON lines or Parquet, one batch in memory at a time."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from typing_extensions import override

_SPECIAL = '[",\r\n]'
_ISO = "%Y-%m-%dT%H:%M:%SZ"


def write(batches: Iterable[pa.RecordBatch], form: str, sink: BinaryIO) -> int:
    """Write `batches` to `sink` as `form` (csv, json, jsonl or parquet); return how many rows.

    Instants are UTC, written `2024-01-02T14:30:00.000000Z` in text. No batch, no output, except
    `[]` in JSON.
    """
    return _WRITERS[form](iter(batches), sink)


def _csv(batches: Iterator[pa.RecordBatch], sink: BinaryIO) -> int:
    row_count = 0
    for batch in batches:
        shown = _with_iso_instants(batch)
        if row_count == 0:
            sink.write((",".join(shown.schema.names) + "\n").encode())
        style = "needed" if _has_specials(shown) else "none"
        options = pyarrow.csv.WriteOptions(include_header=False, quoting_style=style)
        with pa.PythonFile(_Unclosed(sink), mode="w") as target:
            pyarrow.csv.write_csv(shown, target, write_options=options)
        row_count += batch.num_rows
    return row_count


class _Unclosed(io.RawIOBase):
    """Writes to a stream that stays open."""

    def __init__(self, sink: BinaryIO) -> None:
        super().__init__()
        self._sink = sink

    @override
    def writable(self) -> bool:
        return True

    @override
    def write(self, data: Any) -> int:
        return self._sink.write(data)


def _has_specials(batch: pa.RecordBatch) -> bool:
    """Return whether some text has to be quoted (RFC 4180)."""
    return any(
        pc.any(pc.match_substring_regex(column, _SPECIAL)).as_py()
        for column in batch.columns
        if pa.types.is_string(column.type)
    )


def _with_iso_instants(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [
        pc.strftime(column, format=_ISO) if pa.types.is_timestamp(column.type) else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _parquet(batches: Iterator[pa.RecordBatch], sink: BinaryIO) -> int:
    row_count = 0
    writer: pq.ParquetWriter | None = None
    try:
        for batch in batches:
            if writer is None:
                writer = pq.ParquetWriter(sink, batch.schema, compression="zstd")
            writer.write_batch(batch)
            row_count += batch.num_rows
    finally:
        if writer is not None:
            writer.close()
    return row_count


def _jsonl(batches: Iterator[pa.RecordBatch], sink: BinaryIO) -> int:
    return _lines(batches, sink, between=b"\n", end=b"\n")


def _json(batches: Iterator[pa.RecordBatch], sink: BinaryIO) -> int:
    sink.write(b"[\n")
    row_count = _lines(batches, sink, between=b",\n", end=b"\n")
    sink.write(b"]\n")
    return row_count


def _lines(batches: Iterator[pa.RecordBatch], sink: BinaryIO, *, between: bytes, end: bytes) -> int:
    row_count = 0
    for batch in batches:
        text = io.BytesIO()
        for row in _with_iso_instants(batch).to_pylist():
            if row_count:
                text.write(between)
            text.write(json.dumps(row, ensure_ascii=False, default=str, allow_nan=True).encode())
            row_count += 1
        sink.write(text.getvalue())
    if row_count:
        sink.write(end)
    return row_count


_WRITERS: Mapping[str, Callable[[Iterator[Any], BinaryIO], int]] = {
    "csv": _csv,
    "json": _json,
    "jsonl": _jsonl,
    "parquet": _parquet,
}
