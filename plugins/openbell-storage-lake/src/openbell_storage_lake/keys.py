"""Keys as single integers, so that sorting, merging and comparing are numpy operations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from openbell_storage_lake.blocks import Index, times
from openbell_storage_lake.layout import TableLayout

Numbers = npt.NDArray[np.int64]
_LIMIT = 1 << 62


class KeySpace:
    """Numbers the keys of some blocks: order of numbers = order by (series, time, other keys).

    The space is made from the keys of `blocks`; a key outside of it has no number (-1).
    """

    def __init__(self, layout: TableLayout, blocks: Sequence[pa.RecordBatch]) -> None:
        self._layout = layout
        self._words = [_union(name, blocks) for name in layout.text_keys]
        stamps = [times(block.column(layout.time)) for block in blocks if block.num_rows]
        self.low = min((int(s.min()) for s in stamps), default=0)
        self.high = max((int(s.max()) for s in stamps), default=0)
        self._others = 1
        for words in self._words[1:]:
            self._others *= max(len(words), 1)
        self._instants: Numbers | None = None
        self._span = self.high - self.low + 1
        if max(len(self._words[0]), 1) * self._span * self._others >= _LIMIT:
            self._instants = np.unique(np.concatenate(stamps))
            self._span = len(self._instants)

    @property
    def series(self) -> pa.Array:
        """The series that the space knows, sorted."""
        return self._words[0]

    def numbers(self, block: pa.RecordBatch) -> Numbers:
        """Return the number of each row's key, -1 where the space does not know it."""
        series = _codes(block.column(self._layout.text_keys[0]), self._words[0])
        stamps = times(block.column(self._layout.time))
        moment, outside = self._moments(stamps)
        result: Numbers = series * self._span + moment
        outside = _either(outside, series < 0 if isinstance(series, np.ndarray) else None)
        if not isinstance(series, np.ndarray) and series < 0:
            return np.full(len(stamps), -1, dtype=np.int64)
        for name, words in zip(self._layout.text_keys[1:], self._words[1:], strict=True):
            other = _codes(block.column(name), words)
            if isinstance(other, np.ndarray):
                outside = _either(outside, other < 0)
            elif other < 0:
                return np.full(len(stamps), -1, dtype=np.int64)
            result = (
                result if len(words) == 1 and not np.any(other) else result * len(words) + other
            )
        if outside is not None and outside.any():
            result[outside] = -1
        return result

    def _moments(self, stamps: Numbers) -> tuple[Numbers, npt.NDArray[np.bool_] | None]:
        if not len(stamps):
            return stamps, None
        if self._instants is not None:
            places = np.searchsorted(self._instants, stamps)
            places = np.minimum(places, len(self._instants) - 1)
            return places.astype(np.int64), self._instants[places] != stamps
        if int(stamps.min()) >= self.low and int(stamps.max()) <= self.high:
            return stamps - self.low, None
        return stamps - self.low, (stamps < self.low) | (stamps > self.high)


def _either(
    left: npt.NDArray[np.bool_] | None, right: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.bool_] | None:
    if left is None or right is None:
        return right if left is None else left
    return left | right


def _union(name: str, blocks: Sequence[pa.RecordBatch]) -> pa.Array:
    """Return the texts that occur, sorted: a dictionary may list many that do not."""
    words: set[str] = set()
    for block in blocks:
        column = block.column(name)
        known = column.dictionary.to_pylist()
        if len(known) > 1:
            counts = np.bincount(column.indices.to_numpy(zero_copy_only=False))
            words.update(known[place] for place in np.flatnonzero(counts))
        elif block.num_rows:
            words.update(known)
    return pa.array(sorted(words), pa.string())


def _codes(column: pa.DictionaryArray, words: pa.Array) -> Numbers | np.int64:
    """Return each row's place among `words` (-1: not there); one number when all are the same."""
    if len(column.dictionary) == len(words) == 1:
        return np.int64(0 if column.dictionary[0].as_py() == words[0].as_py() else -1)
    places = pc.index_in(column.dictionary, value_set=words).fill_null(-1)
    table = places.to_numpy(zero_copy_only=False).astype(np.int64)
    if len(table) == 1:
        return np.int64(table[0])
    codes: Numbers = table[column.indices.to_numpy(zero_copy_only=False)]
    return codes


def ascending(keys: Numbers) -> bool:
    """Return whether `keys` is strictly increasing."""
    return len(keys) < 2 or bool((keys[1:] > keys[:-1]).all())


def order_last_wins(keys: Numbers) -> Index | None:
    """Return the rows in key order, the last row of each key; None when that is all as it is."""
    if ascending(keys):
        return None
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    last = np.empty(len(ranked), dtype=np.bool_)
    last[-1] = True
    np.not_equal(ranked[1:], ranked[:-1], out=last[:-1])
    return order if last.all() else order[last]


def order_newest_wins(keys: Numbers, ingested_us: Numbers) -> Index | None:
    """Return the rows in key order; of each key the newest `ingested_us`, the last of equals.

    So rows must come in the order of their commits.
    """
    if ascending(keys):
        return None
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    is_first = np.append(True, ranked[1:] != ranked[:-1])
    if is_first.all():
        return order
    starts = np.flatnonzero(is_first)
    at = ingested_us[order]
    newest = np.maximum.reduceat(at, starts)
    run = np.cumsum(is_first) - 1
    candidates = np.flatnonzero(at == newest[run])
    is_last = np.append(run[candidates][1:] != run[candidates][:-1], True)
    newest_rows: Index = order[candidates[is_last]]
    return newest_rows
