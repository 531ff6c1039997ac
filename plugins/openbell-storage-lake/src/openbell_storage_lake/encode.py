"""Writing Parquet files: sorted rows in small row groups, encodings by column, statistics."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from openbell_storage_lake.blocks import times
from openbell_storage_lake.files import INTERNAL, fsync_path, remove
from openbell_storage_lake.layout import TableLayout
from openbell_storage_lake.snapshot import FileEntry, Group

_SAMPLE_ROWS = 4096
_HUGE = sys.float_info.max
Bound = Any
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class _Range:
    low: Bound = None
    high: Bound = None
    null_count: int = 0

    def add(self, column: pa.Array) -> None:
        self.null_count += column.null_count
        if pa.types.is_dictionary(column.type):
            column = pc.unique(column).cast(pa.string())
        found = pc.min_max(column)
        low, high = _plain(found["min"]), _plain(found["max"])
        if low is None:
            return
        if isinstance(low, float):
            low, high = _json_bounds(column, low, high)
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)


def _json_bounds(column: pa.Array, low: float, high: float) -> tuple[float, float]:
    """Return bounds that JSON can write and from which no reader concludes what NaN breaks."""
    if math.isnan(pc.sum(column).as_py()):
        return -_HUGE, _HUGE
    return max(low, -_HUGE), min(high, _HUGE)


def _plain(scalar: pa.Scalar) -> Bound:
    if not scalar.is_valid:
        return None
    if pa.types.is_timestamp(scalar.type):
        return scalar.value
    return scalar.as_py()


class ParquetFile:
    """A file being written: blocks in key order, then `finish`. Gone again after an error."""

    def __init__(
        self,
        layout: TableLayout,
        root: Path,
        relative: str,
        *,
        compression_level: int,
        group_rows: int,
    ) -> None:
        self._layout = layout
        self._group_rows = group_rows
        self._is_base = not relative.startswith(INTERNAL)
        self.relative = relative
        self.path = root / relative
        self._level = compression_level
        self._writer: pq.ParquetWriter | None = None
        self._groups: list[Group] = []
        self._ranges = {name: _Range() for name in layout.names}
        self.row_count = 0

    def write(self, block: pa.RecordBatch, period: str) -> None:
        """Append the rows of `block`, all of `period`, as row groups of their own."""
        if not block.num_rows:
            return
        if self._writer is None:
            self._writer = self._open(block)
        table = pa.Table.from_batches([block]).replace_schema_metadata(None)
        self._writer.write_table(table, row_group_size=self._group_rows)
        self.row_count += block.num_rows
        if self._is_base:
            for name, column in zip(block.schema.names, block.columns, strict=True):
                self._ranges[name].add(column)
        series = block.column(self._layout.series)
        stamps = times(block.column(self._layout.time))
        for start in range(0, block.num_rows, self._group_rows):
            stop = min(start + self._group_rows, block.num_rows)
            part = stamps[start:stop]
            self._groups.append(
                Group(
                    period,
                    stop - start,
                    series[start].as_py(),
                    series[stop - 1].as_py(),
                    int(part.min()),
                    int(part.max()),
                )
            )

    def _open(self, block: pa.RecordBatch) -> pq.ParquetWriter:
        time = self._layout.time
        repeated, split = [], {time: "DELTA_BINARY_PACKED"}
        for name, column in zip(block.schema.names, block.columns, strict=True):
            if name == time:
                continue
            if _repeats(column):
                repeated.append(name)
            elif pa.types.is_floating(column.type) and self._is_base and _full_mantissa(column):
                split[name] = "BYTE_STREAM_SPLIT"
        is_long = self._is_base or block.num_rows > _SAMPLE_ROWS
        return pq.ParquetWriter(
            self.path,
            block.schema,
            compression="zstd" if is_long else "lz4",
            compression_level=self._level if is_long else None,
            use_dictionary=repeated,
            column_encoding=split,
            store_schema=False,
            write_page_index=False,
        )

    def finish(self) -> FileEntry:
        """Return the file's entry once the file is on the disk (its folder is the caller's)."""
        assert self._writer is not None
        self._writer.close()
        fsync_path(self.path)
        raw = [(g.period, g.row_count, g.min_series, g.max_series, g.min_ts, g.max_ts) for g in self._groups]  # fmt: skip
        return FileEntry(
            path=self.relative,
            level=int(self._is_base),
            period=self._groups[0].period if self._is_base else "",
            row_count=self.row_count,
            size_bytes=self.path.stat().st_size,
            min_ts=min(group.min_ts for group in self._groups),
            max_ts=max(group.max_ts for group in self._groups),
            min_series=min(group.min_series for group in self._groups),
            max_series=max(group.max_series for group in self._groups),
            groups_json=json.dumps(raw, separators=(",", ":")),
            stats=self._stats() if self._is_base else "",
        )

    def discard(self) -> None:
        """Delete the file, whole or not."""
        if self._writer is not None:
            try:
                self._writer.close()
            except OSError:
                self._writer = None
        remove(self.path)

    def _stats(self) -> str:
        low, high = {}, {}
        for name, found in self._ranges.items():
            if found.low is not None:
                kind = self._layout.schema.column(name).type
                low[name], high[name] = _json(found.low, kind), _json(found.high, kind)
        nulls = {name: found.null_count for name, found in self._ranges.items()}
        return json.dumps(
            {"numRecords": self.row_count, "minValues": low, "maxValues": high, "nullCount": nulls}
        )


def _json(value: Bound, kind: str) -> Bound:
    if kind == "timestamp":
        instant = _EPOCH + timedelta(microseconds=value)
        return instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value.isoformat() if isinstance(value, date) else value


def _repeats(column: pa.Array) -> bool:
    """Return whether a dictionary page pays for `column`, judged by its first rows."""
    if pa.types.is_dictionary(column.type) or column.null_count == len(column):
        return True
    if len(column) < _SAMPLE_ROWS:
        return False
    sample = column.slice(0, _SAMPLE_ROWS)
    return bool(pc.count_distinct(sample).as_py() * 2 < len(sample))


def _full_mantissa(column: pa.Array) -> bool:
    """Return whether the first values are no short decimals, so that splitting bytes pays."""
    sample = column.slice(0, _SAMPLE_ROWS).drop_null().to_numpy(zero_copy_only=False)
    scaled = sample * 10_000.0
    return bool(len(sample) and np.mean(np.rint(scaled) != scaled) > 0.5)
