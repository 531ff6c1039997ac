"""Which rows of a stage are news: compared with what the table holds of the same keys."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from openbell.sdk.values import BarWidth
from openbell_storage_lake.blocks import Index, concat, gather, numbers, take, times
from openbell_storage_lake.keys import KeySpace, Numbers, ascending
from openbell_storage_lake.layout import TableLayout
from openbell_storage_lake.recall import Recall, Window
from openbell_storage_lake.scan import Scanner
from openbell_storage_lake.snapshot import FileEntry

Flags = npt.NDArray[np.bool_]
_WHOLE_ROWS = 65_536
_DIRECT_ROWS = 131_072
_SHARED_ROWS = 65_536
_LONG_AGO = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Incoming:
    """Rows in key order without a key twice, and the numbers of their keys."""

    layout: TableLayout
    block: pa.RecordBatch
    space: KeySpace
    keys: Numbers

    @property
    def box(self) -> tuple[int, int, str, str]:
        """(first instant, last instant, first series, last series)."""
        series = self.space.series
        return self.space.low, self.space.high, series[0].as_py(), series[-1].as_py()


@dataclass(frozen=True, slots=True)
class Comparison:
    """For each row: whether its key is in the table, and whether the row would change it."""

    known: Flags
    news: Flags


@dataclass(frozen=True, slots=True)
class _Match:
    """Rows `mine` of the incoming block have the keys of rows `theirs` of `block`."""

    block: pa.RecordBatch
    mine: Index
    theirs: Index


def compare(
    incoming: Incoming,
    memory: Memory,
    entries: Sequence[FileEntry],
    *,
    ingested_us: int,
    pool: Executor,
) -> Comparison:
    """Compare with the rows in `entries` (oldest first); the newest row of each key counts."""
    count = len(incoming.keys)
    known, news = np.zeros(count, dtype=np.bool_), np.ones(count, dtype=np.bool_)
    spread = pool.map if count > _SHARED_ROWS else map
    found = spread(lambda entry: list(memory.matches(incoming, entry)), entries)
    matches = [match for several in found for match in several]
    if not matches:
        return Comparison(known, news)
    best_at = np.full(count, _LONG_AGO, dtype=np.int64)
    best = np.full(count, -1, dtype=np.int32)
    for number, match in enumerate(matches):
        known[match.mine] = True
        at = times(match.block.column("ingested_at"))[match.theirs]
        wins = at >= best_at[match.mine]
        best_at[match.mine[wins]] = at[wins]
        best[match.mine[wins]] = number

    def judge(number: int) -> None:
        match = matches[number]
        counts = best[match.mine] == number
        mine, theirs = match.mine, match.theirs
        if not counts.all():
            mine, theirs = mine[counts], theirs[counts]
        news[mine] = ~_same(incoming, match.block, mine, theirs) & (best_at[mine] <= ingested_us)

    list(spread(judge, range(len(matches))))
    return Comparison(known, news)


def _same(incoming: Incoming, block: pa.RecordBatch, mine: Index, theirs: Index) -> Flags:
    """Return for each pair of rows whether all values are equal."""
    same: Flags = np.ones(len(mine), dtype=np.bool_)
    ours, others = _span(mine), _span(theirs)
    for name in incoming.layout.values:
        left = _pick(incoming.block.column(name), ours)
        right = _pick(block.column(name), others)
        same &= same_values(left, right)
    return same


def _span(order: Index) -> Index | slice:
    """Return `order` as a slice where it is one."""
    if len(order) and int(order[-1] - order[0]) + 1 == len(order) and ascending(order):
        return slice(int(order[0]), int(order[-1]) + 1)
    return order


def _pick(column: pa.Array, order: Index | slice) -> pa.Array:
    if isinstance(order, slice):
        return column.slice(order.start, order.stop - order.start)
    return gather(column, order)


def same_values(left: pa.Array, right: pa.Array) -> Flags:
    """Return where two columns are equal; null equals null and NaN equals NaN."""
    count = len(left)
    if left.null_count == count and right.null_count == count:
        return np.ones(count, dtype=np.bool_)
    if pa.types.is_dictionary(left.type):
        return _same_texts(left, right)
    ours, theirs = numbers(left), numbers(right)
    equal: Flags = ours == theirs
    if pa.types.is_floating(left.type) and not equal.all():
        equal |= np.isnan(ours) & np.isnan(theirs)
    if left.null_count or right.null_count:
        here = pc.is_valid(left).to_numpy(zero_copy_only=False)
        there = pc.is_valid(right).to_numpy(zero_copy_only=False)
        equal = (here == there) & (equal | ~here)
    return equal


def _same_texts(left: pa.Array, right: pa.Array) -> Flags:
    ours, theirs = left.cast(pa.string()), right.cast(pa.string())
    equal = pc.fill_null(pc.equal(ours, theirs), False)
    both_null = pc.and_(pc.is_null(ours), pc.is_null(theirs))
    flags: Flags = pc.or_(equal, both_null).to_numpy(zero_copy_only=False)
    return flags


class Memory:
    """Finds rows of the table by key: from memory, from a few row groups, or through a window."""

    def __init__(self, scanner: Scanner, recall: Recall) -> None:
        self._scanner = scanner
        self._recall = recall

    def remember(self, layout: TableLayout, entry: FileEntry, block: pa.RecordBatch) -> None:
        """Keep the rows of a small file that was just written."""
        if entry.row_count <= _WHOLE_ROWS:
            window = Window(entry.min_ts, entry.max_ts, block.select(list(layout.compared)))
            self._recall.put(entry.path, window)

    def matches(self, incoming: Incoming, entry: FileEntry) -> Iterator[_Match]:
        """Yield the rows of `entry` that have keys of `incoming`."""
        layout = incoming.layout
        stamps = times(incoming.block.column(layout.time))
        inside = (stamps >= entry.min_ts) & (stamps <= entry.max_ts)
        count = int(np.count_nonzero(inside))
        if not count:
            return
        everything = count == len(stamps)
        low = int(stamps.min() if everything else stamps[inside].min())
        high = int(stamps.max() if everything else stamps[inside].max())
        block = self._recall.get(entry.path, low, high)
        if block is None:
            groups = _groups(entry, incoming.space.series.to_pylist(), low, high)
            if not groups:
                return
            group_rows = sum(entry.groups[g].row_count for g in groups)
            if entry.row_count <= _WHOLE_ROWS:
                block = self._scanner.read(layout, entry, None, layout.compared)
                self.remember(layout, entry, block)
            elif group_rows <= max(_DIRECT_ROWS, 2 * count):
                yield from self._direct(incoming, entry, groups)
                return
            else:
                block = self._window(layout, entry, low, high)
        match = _match(incoming, block)
        if match is not None:
            yield match

    def _direct(
        self, incoming: Incoming, entry: FileEntry, groups: Sequence[int]
    ) -> Iterator[_Match]:
        """Read the keys of `groups`, and their values only when a key is met."""
        layout = incoming.layout
        keys = self._scanner.read(layout, entry, groups, (*layout.text_keys, layout.time))
        match = _match(incoming, keys)
        if match is not None:
            block = self._scanner.read(layout, entry, groups, (*layout.values, "ingested_at"))
            yield _Match(block, match.mine, match.theirs)

    def _window(
        self, layout: TableLayout, entry: FileEntry, low_us: int, high_us: int
    ) -> pa.RecordBatch:
        """Read all rows of a span around [low, high], as long as memory allows, and keep them."""
        width_us = BarWidth.parse(layout.spec.bar_interval).width_s * 1_000_000
        rows = self._recall.limit_bytes // (8 * len(layout.compared))
        span_us = (entry.max_ts - entry.min_ts + 1) * rows // entry.row_count
        low_us = max(entry.min_ts, low_us - 64 * width_us)
        high_us = min(entry.max_ts, max(high_us, low_us + span_us))
        groups = [
            number
            for number, group in enumerate(entry.groups)
            if group.min_ts <= high_us and group.max_ts >= low_us
        ]
        parts = []
        for block in self._scanner.strides(layout, entry, groups, layout.compared):
            stamps = times(block.column(layout.time))
            inside = np.flatnonzero((stamps >= low_us) & (stamps <= high_us))
            parts.append(take(block, inside))
        whole = concat(parts)
        self._recall.put(entry.path, Window(low_us, high_us, whole))
        return whole


def _groups(entry: FileEntry, series: list[str], low_us: int, high_us: int) -> list[int]:
    """Return the row groups that may hold one of `series` (sorted) between two instants."""
    found = []
    for number, group in enumerate(entry.groups):
        if group.min_ts > high_us or group.max_ts < low_us:
            continue
        place = bisect_left(series, group.min_series)
        if place < len(series) and series[place] <= group.max_series:
            found.append(number)
    return found


def _match(incoming: Incoming, block: pa.RecordBatch) -> _Match | None:
    theirs = incoming.space.numbers(block)
    mine = incoming.keys
    if len(theirs) == len(mine) and np.array_equal(theirs, mine):
        everything = np.arange(len(mine))
        return _Match(block, everything, everything)
    rows: Index | None = None
    if not len(theirs) or int(theirs.min()) < 0:
        rows = np.flatnonzero(theirs >= 0)
        theirs = theirs[rows]
    if not ascending(theirs):
        order = np.argsort(theirs, kind="stable")
        rows = order if rows is None else rows[order]
        theirs = theirs[order]
    if not len(theirs):
        return None
    start = int(np.searchsorted(mine, theirs[0]))
    if rows is None and np.array_equal(mine[start : start + len(theirs)], theirs):
        return _Match(block, np.arange(start, start + len(theirs)), np.arange(len(theirs)))
    if len(theirs) < len(mine):
        places = np.minimum(np.searchsorted(mine, theirs), len(mine) - 1)
        hit = np.flatnonzero(mine[places] == theirs)
        ours, found = places[hit], hit
    else:
        places = np.minimum(np.searchsorted(theirs, mine), len(theirs) - 1)
        ours = np.flatnonzero(theirs[places] == mine)
        found = places[ours]
    if not len(ours):
        return None
    return _Match(block, ours, found if rows is None else rows[found])
