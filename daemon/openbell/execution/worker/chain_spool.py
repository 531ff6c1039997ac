"""The rows that a node of a chain passes on, kept for other units, each exactly once.

The file is Arrow's streaming format from its first byte. Every batch carries the number of its
chunk, and is on disk before that chunk is reported: an attempt that goes on after chunk n keeps the
batches before it, and cuts off whatever a dead attempt wrote behind them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from openbell.execution.worker.outputs import END_OF_STREAM, rows_output, sync_folder
from openbell.sdk.errors import FatalError
from openbell.sdk.operators import Chunk

_CHUNK = b"openbell.chunk"


class ChunkSpool:
    """The spool file of one node in one attempt of its chain."""

    def __init__(
        self, node: str, path: Path, schema: pa.Schema, *, first_chunk: int, before: Path | None
    ) -> None:
        self._node = node
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._schema = _plain(schema)
        self._head = self._schema.serialize().to_pybytes()
        self._last = first_chunk - 1
        self._row_count = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._take_over(before)
        self._file = self._opened(first_chunk)

    def add(self, chunk: Chunk) -> None:
        """Keep the good rows of a chunk; they are durable after the next `settle` or `finish`."""
        batch = chunk.batch
        if chunk.bad is not None:
            batch = batch.filter(pa.array(~chunk.bad))
        self._write(batch.cast(self._schema), chunk.number)

    def settle(self, number: int) -> None:
        """Make everything up to a chunk durable, also that it had no rows."""
        if self._last < number:
            self._write(pa.RecordBatch.from_pylist([], schema=self._schema), number)
        self._file.flush()
        os.fsync(self._file.fileno())

    def finish(self) -> dict[str, Any]:
        """Put the file in its place; return the reference to it."""
        self._file.write(END_OF_STREAM)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self._path)
        sync_folder(self._path.parent)
        return rows_output(self._path, self._row_count)

    def close(self) -> None:
        """Leave what is there for another attempt. Safe to call twice."""
        self._file.close()

    def _take_over(self, before: Path | None) -> None:
        """Go on with the file of an attempt that was not heard of, or of the run retried."""
        if self._part.exists():
            return
        if self._path.exists():
            self._path.replace(self._part)
            return
        if before is None:
            return
        for candidate in (before.with_name(f"{before.name}.part"), before):
            if candidate.exists():
                shutil.copyfile(candidate, self._part)
                return

    def _opened(self, first_chunk: int) -> BinaryIO:
        kept_bytes = 0
        if first_chunk and self._part.exists():
            kept_bytes = self._kept_bytes(first_chunk)
        if first_chunk and not kept_bytes:
            raise FatalError(
                f"the rows that node {self._node!r} passed on before chunk {first_chunk} are no "
                "longer there; start a new run"
            )
        file = self._part.open("r+b" if kept_bytes else "wb")
        if kept_bytes:
            file.truncate(kept_bytes)
            file.seek(kept_bytes)
        else:
            file.write(self._head)
        return file

    def _kept_bytes(self, first_chunk: int) -> int:
        """Return how many bytes hold the chunks before `first_chunk`; 0 when some are missing."""
        last, end = -1, 0
        try:
            with pa.memory_map(str(self._part)) as file:
                reader = pa.ipc.open_stream(file)
                if not reader.schema.equals(self._schema):
                    return 0
                while True:
                    found = reader.read_next_batch_with_custom_metadata()
                    number = int(found.custom_metadata[_CHUNK])
                    if number >= first_chunk:
                        break
                    last, end = number, file.tell()
                    self._row_count += found.batch.num_rows
        except (StopIteration, OSError, pa.ArrowException):
            pass
        return end if last == first_chunk - 1 else 0

    def _write(self, batch: pa.RecordBatch, number: int) -> None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self._schema) as stream:
            stream.write_batch(batch, custom_metadata={_CHUNK: str(number)})
        written = sink.getvalue()
        self._file.write(
            written.slice(len(self._head), written.size - len(self._head) - len(END_OF_STREAM))
        )
        self._last = number
        self._row_count += batch.num_rows


def _plain(schema: pa.Schema) -> pa.Schema:
    """Return a schema without dictionaries, so that each batch stands for itself."""
    return pa.schema(
        [
            field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
            for field in schema
        ]
    )
