"""Parquet and Arrow IPC: columns with types, read a stretch at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from openbell.sdk.errors import SchemaChangedError
from openbell_provider_files.layout import resolve
from openbell_provider_files.numbers import is_text
from openbell_provider_files.opening import OpenFile
from openbell_provider_files.raw import RawRows
from openbell_provider_files.settings import FilesSettings

_USABLE = (
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_boolean,
    pa.types.is_null,
    pa.types.is_timestamp,
    pa.types.is_date,
    pa.types.is_time,
    is_text,
)


class ColumnarReader:
    """Reads one Parquet or Arrow IPC file (file or stream format); a row's line is its number."""

    def __init__(self, file: OpenFile, settings: FilesSettings) -> None:
        self._file = file
        self._settings = settings

    def stretches(self, start_row: int, batch_rows: int) -> Iterator[RawRows]:
        """Yield the rows from `start_row` on."""
        source: pa.NativeFile | str
        source = (
            str(self._file.path)
            if self._file.is_plain
            else pa.BufferReader(self._file.stream.read_all())
        )
        read = _parquet if self._file.kind == "parquet" else _arrow
        at = 0
        for table in read(source, self._file):
            begin = max(0, start_row - at)
            for start in range(begin, table.num_rows, batch_rows):
                yield self._rows(table.slice(start, batch_rows), at + start)
            at += table.num_rows

    def _rows(self, table: pa.Table, first_row: int) -> RawRows:
        names = table.schema.names
        layout = resolve(
            self._settings.mapping, names=names, width=len(names), source=self._file.source
        )
        columns = {
            field: [_plain(table.column(i), self._file.source, names[i]) for i in indexes]
            for field, indexes in layout.items()
        }
        return RawRows(
            columns=columns,
            lines=np.arange(first_row + 1, first_row + 1 + table.num_rows, dtype=np.int64),
            raw_text=lambda index: json.dumps(table.slice(index, 1).to_pylist()[0], default=str),
            next_row=first_row + table.num_rows,
        )


def _plain(column: pa.ChunkedArray, source: str, name: str) -> pa.Array:
    """Return a column as one valid array of a type that a field can be made from."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], column.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        array = array.cast(pa.string())
    if not any(fits(array.type) for fits in _USABLE):
        raise SchemaChangedError(
            f"{source}: column {name!r} is of type {array.type}, which holds no number, text or "
            "time; correct `columns:`"
        )
    if is_text(array.type):
        array.validate(full=True)
    return array


def _parquet(source: pa.NativeFile | str, file: OpenFile) -> Iterator[pa.Table]:
    with pq.ParquetFile(source, pre_buffer=False) as parquet:
        for group in range(parquet.num_row_groups):
            file.stream.check(parquet.metadata.row_group(group).total_byte_size)
            table = parquet.read_row_group(group, use_threads=False)
            table.validate()
            yield table


def _arrow(source: pa.NativeFile | str, file: OpenFile) -> Iterator[pa.Table]:
    with pa.OSFile(source) if isinstance(source, str) else source as opened:
        for batch in _batches(opened):
            file.stream.check(batch.nbytes)
            batch.validate(full=True)
            yield pa.Table.from_batches([batch])


def _batches(opened: pa.NativeFile) -> Iterator[pa.RecordBatch]:
    """Yield the batches of the file format, else of the stream format."""
    try:
        reader = pa.ipc.open_file(opened)
    except pa.ArrowInvalid:
        opened.seek(0)
        yield from pa.ipc.open_stream(opened)
        return
    for index in range(reader.num_record_batches):
        yield reader.get_batch(index)
