"""Reading row groups of the table's files, normalised to the table's present columns."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from openbell.sdk.errors import FatalError
from openbell_storage_lake.blocks import to_block
from openbell_storage_lake.layout import TableLayout
from openbell_storage_lake.snapshot import FileEntry

_FOOTERS = 512
_STRIDE = 16
_THREADED_ROWS = 65_536


class Scanner:
    """Reads files of one table and remembers their footers (files never change)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._footers: OrderedDict[str, Any] = OrderedDict()
        self._lock = Lock()

    def read(
        self,
        layout: TableLayout,
        entry: FileEntry,
        groups: Sequence[int] | None,
        columns: Sequence[str],
    ) -> pa.RecordBatch:
        """Return the rows of row groups `groups` (None: all) as one block of `columns`."""
        schema = pa.schema([layout.block_schema.field(name) for name in columns])
        try:
            with self._open(layout, entry) as file:
                there = set(file.schema_arrow.names)
                wanted = [name for name in columns if name in there]
                numbers = list(range(len(entry.groups)) if groups is None else groups)
                is_long = sum(entry.groups[n].row_count for n in numbers) > _THREADED_ROWS
                table = file.read_row_groups(numbers, columns=wanted, use_threads=is_long)
        except (pa.ArrowInvalid, OSError) as error:
            if getattr(error, "errno", None) is not None:
                raise
            raise FatalError(
                f"{self.root / entry.path} is damaged: {error}; restore it from a backup"
            ) from error
        return to_block(table, schema)

    def strides(
        self,
        layout: TableLayout,
        entry: FileEntry,
        groups: Sequence[int],
        columns: Sequence[str],
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of `groups` in blocks of a few row groups each."""
        for start in range(0, len(groups), _STRIDE):
            yield self.read(layout, entry, groups[start : start + _STRIDE], columns)

    def _open(self, layout: TableLayout, entry: FileEntry) -> pq.ParquetFile:
        with self._lock:
            footer = self._footers.get(entry.path)
        file = pq.ParquetFile(
            self.root / entry.path, metadata=footer, read_dictionary=list(layout.texts)
        )
        if footer is None:
            with self._lock:
                self._footers[entry.path] = file.metadata
                while len(self._footers) > _FOOTERS:
                    self._footers.popitem(last=False)
        return file
