"""Merging: rows of many files, the newest of each key, in key order, a bounded slice at a time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from openbell_storage_lake.blocks import Index, concat, take, times
from openbell_storage_lake.keys import KeySpace, order_newest_wins
from openbell_storage_lake.layout import TableLayout
from openbell_storage_lake.scan import Scanner
from openbell_storage_lake.snapshot import FileEntry, Group

_SAMPLES = 16
_OPEN_COST_ROWS = 2000
_FOREVER = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """A box of rows: instants both included, series from `first` to before `end` (None: open)."""

    low_us: int = -_FOREVER
    high_us: int = _FOREVER
    first: str | None = None
    end: str | None = None

    def meets(self, group: Group) -> bool:
        """Return whether some row of `group` may be inside."""
        return (
            group.min_ts <= self.high_us
            and group.max_ts >= self.low_us
            and (self.first is None or group.max_series >= self.first)
            and (self.end is None or group.min_series < self.end)
        )

    def rows(self, layout: TableLayout, block: pa.RecordBatch) -> Index | None:
        """Return which rows of `block` are inside, None for all of them."""
        mask = None
        stamps = times(block.column(layout.time))
        if len(stamps) and (int(stamps.min()) < self.low_us or int(stamps.max()) > self.high_us):
            mask = (stamps >= self.low_us) & (stamps <= self.high_us)
        if self.first is not None or self.end is not None:
            column = block.column(layout.series)
            allowed = np.array([self._has(word) for word in column.dictionary.to_pylist()], bool)
            if not allowed.all():
                inside = allowed[column.indices.to_numpy(zero_copy_only=False)]
                mask = inside if mask is None else mask & inside
        return None if mask is None or mask.all() else np.flatnonzero(mask)

    def _has(self, series: str) -> bool:
        return (self.first is None or series >= self.first) and (
            self.end is None or series < self.end
        )


@dataclass(frozen=True, slots=True)
class Piece:
    """Row groups of one file."""

    entry: FileEntry
    groups: tuple[int, ...]

    def within(self, bounds: Bounds) -> Piece | None:
        """Return the part that may have rows inside `bounds`."""
        found = tuple(g for g in self.groups if bounds.meets(self.entry.groups[g]))
        return Piece(self.entry, found) if found else None


def pieces_of(entries: Iterable[FileEntry], period: str | None = None) -> list[Piece]:
    """Return the row groups of `entries` (of one period), files in the order of their commits."""
    pieces = []
    for entry in sorted(entries, key=lambda e: (e.content_seq, e.id)):
        groups = tuple(
            n for n, group in enumerate(entry.groups) if period is None or group.period == period
        )
        if groups:
            pieces.append(Piece(entry, groups))
    return pieces


def merged(
    layout: TableLayout,
    scanner: Scanner,
    pieces: Sequence[Piece],
    bounds: Bounds,
    *,
    columns: Sequence[str],
    pool: Executor | None = None,
) -> pa.RecordBatch | None:
    """Return the rows inside `bounds`, the newest of each key, in key order; None for no rows.

    `columns` must have the keys and `ingested_at`. Files are read in `pool`, if there is one.
    """
    parts = [part for piece in pieces if (part := piece.within(bounds)) is not None]

    def load(part: Piece) -> pa.RecordBatch:
        block = scanner.read(layout, part.entry, part.groups, columns)
        return take(block, bounds.rows(layout, block))

    loaded = map(load, parts) if pool is None else pool.map(load, parts)
    blocks = [block for block in loaded if block.num_rows]
    if not blocks:
        return None
    whole = concat(blocks)
    keys = KeySpace(layout, [whole]).numbers(whole)
    return take(whole, order_newest_wins(keys, times(whole.column("ingested_at"))))


def series_slices(
    layout: TableLayout, scanner: Scanner, pieces: Sequence[Piece], slice_rows: int
) -> list[Bounds]:
    """Return bounds that cut the rows by series into parts of about `slice_rows`."""
    groups = [piece.entry.groups[g] for piece in pieces for g in piece.groups]
    if sum(group.row_count for group in groups) <= slice_rows:
        return [Bounds()]
    words = sorted(
        {g.min_series for g in groups}
        | {g.max_series for g in groups}
        | _sampled(layout, scanner, pieces)
    )
    density = np.zeros(len(words) + 1)
    for group in groups:
        low = bisect_left(words, group.min_series)
        high = bisect_right(words, group.max_series)
        share = group.row_count / (high - low)
        density[low] += share
        density[high] -= share
    total = np.cumsum(np.cumsum(density)[:-1])
    cuts: list[str] = []
    wanted = int(total[-1] // slice_rows) if len(total) else 0
    for number in range(1, wanted + 1):
        place = int(np.searchsorted(total, number * total[-1] / (wanted + 1), side="right"))
        if 0 < place < len(words) and (not cuts or words[place] > cuts[-1]):
            cuts.append(words[place])
    ends = [None, *cuts, None]
    return [Bounds(first=a, end=b) for a, b in pairwise(ends)]


def _sampled(layout: TableLayout, scanner: Scanner, pieces: Sequence[Piece]) -> set[str]:
    """Return series inside the widest groups, so that cuts fall where rows are."""
    wide = [
        (piece.entry, number)
        for piece in pieces
        for number in piece.groups
        if piece.entry.groups[number].min_series != piece.entry.groups[number].max_series
    ]
    found: set[str] = set()
    for entry, number in wide[:: max(1, len(wide) // _SAMPLES)]:
        block = scanner.read(layout, entry, [number], [layout.series])
        found.update(block.column(0).dictionary.to_pylist())
    return found


def time_slices(pieces: Sequence[Piece], slice_rows: int) -> list[Bounds]:
    """Return bounds that cut the rows by time into parts of about `slice_rows`."""
    groups = sorted(
        (piece.entry.groups[g] for piece in pieces for g in piece.groups), key=lambda g: g.min_ts
    )
    total = sum(group.row_count for group in groups)
    each = total / (total // slice_rows + 1)
    cuts: list[int] = []
    have = 0
    for group in groups:
        if have >= each and (not cuts or group.min_ts > cuts[-1]):
            cuts.append(group.min_ts)
            have = 0
        have += group.row_count
    ends = [-_FOREVER, *cuts, _FOREVER]
    return [Bounds(low_us=a, high_us=b - 1) for a, b in pairwise(ends)]


def reading_cost(pieces: Sequence[Piece], slices: Sequence[Bounds]) -> int:
    """Return about how many rows are decoded when `pieces` are read slice by slice."""
    groups = [piece.entry.groups[g] for piece in pieces for g in piece.groups]
    return sum(
        group.row_count + _OPEN_COST_ROWS
        for bounds in slices
        for group in groups
        if bounds.meets(group)
    )
