"""Reading: both levels merged, sorted by series and time within the whole answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor

import numpy as np
import pyarrow as pa

from openbell.sdk.backends import ReadFilter
from openbell.sdk.errors import NotFoundError
from openbell.sdk.values import to_us
from openbell_storage_lake.blocks import take
from openbell_storage_lake.layout import TableLayout
from openbell_storage_lake.merge import Bounds, Piece, merged, pieces_of, series_slices
from openbell_storage_lake.scan import Scanner
from openbell_storage_lake.snapshot import FileEntry

_BATCH_ROWS = 65_536


def read_rows(
    layout: TableLayout,
    scanner: Scanner,
    entries: Sequence[FileEntry],
    rows: ReadFilter,
    *,
    slice_rows: int,
    pool: Executor,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of `entries` that `rows` asks for, a bounded number in memory at a time."""
    columns = _columns(layout, rows)
    low_us = to_us(rows.start) if rows.start is not None else Bounds().low_us
    high_us = to_us(rows.end) - 1 if rows.end is not None else Bounds().high_us
    wanted = sorted(set(rows.symbols))
    box = Bounds(low_us=low_us, high_us=high_us)
    pieces = [part for piece in pieces_of(entries) if (part := _narrow(piece, box, wanted))]
    if not pieces:
        return
    needed = [n for n in layout.names if n in {*columns, *layout.text_keys, layout.time, "ingested_at"}]  # fmt: skip
    size = max(slice_rows, 8 * len(pieces) * 32_768 if not wanted else slice_rows)
    span = Bounds(first=wanted[0], end=f"{wanted[-1]}\0") if wanted else Bounds()
    for cut in series_slices(layout, scanner, pieces, min(size, 4 * slice_rows)):
        bounds = Bounds(
            low_us=low_us, high_us=high_us, first=cut.first or span.first, end=cut.end or span.end
        )
        block = merged(layout, scanner, pieces, bounds, columns=needed, pool=pool)
        if block is None:
            continue
        block = take(block, _mask(layout, block, rows)).select(columns)
        for start in range(0, block.num_rows, _BATCH_ROWS):
            yield block.slice(start, _BATCH_ROWS)


def _columns(layout: TableLayout, rows: ReadFilter) -> list[str]:
    unknown = [name for name in rows.columns if name not in layout.names]
    if unknown:
        raise NotFoundError(
            f"dataset {layout.spec.dataset} has no column {', '.join(unknown)}; "
            f"it has {', '.join(layout.names)}"
        )
    return list(rows.columns or layout.names)


def _narrow(piece: Piece, box: Bounds, wanted: Sequence[str]) -> Piece | None:
    part = piece.within(box)
    if part is None or not wanted:
        return part
    found = tuple(
        number
        for number in part.groups
        if any(
            part.entry.groups[number].min_series <= word <= part.entry.groups[number].max_series
            for word in wanted
        )
    )
    return Piece(part.entry, found) if found else None


def _mask(layout: TableLayout, block: pa.RecordBatch, rows: ReadFilter) -> np.ndarray | None:
    mask = None
    for name, wanted in ((layout.series, rows.symbols), ("provider", rows.providers)):
        if not wanted:
            continue
        column = block.column(name)
        allowed = np.isin(np.array(column.dictionary.to_pylist(), dtype=object), list(wanted))
        if not allowed.all():
            inside = allowed[column.indices.to_numpy(zero_copy_only=False)]
            mask = inside if mask is None else mask & inside
    return None if mask is None else np.flatnonzero(mask)
