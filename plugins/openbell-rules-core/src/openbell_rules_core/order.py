"""Which series the rows of a batch belong to, and whether each comes in order of time.

`monotonic_time` and `unique_key` ask the same of every batch; the answer is a product of the
`BatchView`, made once. Two layouts are recognised without sorting: rows by (time, series), as
live batches come, and each series in one stretch, as a symbol's history comes. Other batches
are sorted by series.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from openbell.sdk.arrow import BatchView
from openbell_rules_core.keys import KeyCodes, key_codes

Ints = npt.NDArray[np.int64]


@dataclass(slots=True)
class SeriesOrder:
    """The rows of a batch by series. Rows with a null in the series' columns or time are left out.

    Row i of those kept belongs to series `codes[i]`, has time `times[i]` and stands at
    `rows[i]` of the batch (None: at i). Series `series[k]` occurs, first in row `first[k]` and last in
    `last[k]`. `is_strict`: inside this batch every series comes in strictly increasing time.
    `sorting` sorts rows by series and keeps their order within one; None: not needed so far, or
    `is_contiguous`, and they are sorted by series as they are.
    """

    keys: KeyCodes
    codes: npt.NDArray[np.int32]
    times: Ints
    rows: Ints | None
    series: Ints
    first: Ints
    last: Ints
    is_strict: bool
    is_contiguous: bool = False
    sorting: Ints | None = None

    def positions(self, kept: Ints) -> Ints:
        """Return where the rows `kept` stand in the batch."""
        return kept if self.rows is None else self.rows[kept]

    def steps_back(self, *, strict: bool) -> Ints:
        """Return, ascending, the rows that are not later than the row before them in their series.

        With `strict` false, rows at the same time as the one before are fine.
        """
        if self.is_strict:
            return np.empty(0, dtype=np.int64)
        codes, times = self.codes, self.times
        if self.sorting is not None:
            codes, times = codes[self.sorting], times[self.sorting]
        is_back = times[1:] <= times[:-1] if strict else times[1:] < times[:-1]
        is_back &= codes[1:] == codes[:-1]
        places = np.flatnonzero(is_back) + 1
        return places if self.sorting is None else np.sort(self.sorting[places])


def order_of(view: BatchView, columns: tuple[str, ...], time_column: str | None) -> SeriesOrder:
    """Return the order of a batch, made once for all rules that ask.

    `columns` name a series; without a time column every row has the same time.
    """
    key = ("openbell_rules_core.order", columns, time_column)
    return view.product(key, partial(_order, columns=columns, time_column=time_column))


def _order(view: BatchView, columns: tuple[str, ...], time_column: str | None) -> SeriesOrder:
    keys = key_codes(view, columns)
    codes = keys.codes
    valid = keys.valid
    if time_column is None:
        times: Ints = np.zeros(len(codes), dtype=np.int64)
    else:
        times = view.values(time_column)
        has_time = view.valid(time_column)
        if has_time is not None:
            valid = has_time if valid is None else valid & has_time
    rows: Ints | None = None
    if valid is not None:
        rows = np.flatnonzero(valid)
        codes, times = codes[rows], times[rows]
    is_change = codes[1:] != codes[:-1]
    if np.count_nonzero(is_change) < keys.count:
        starts = _starts(is_change, len(codes))
        series = codes[starts].astype(np.int64)
        if len(np.unique(series)) == len(series):
            is_strict = bool(((times[1:] > times[:-1]) | is_change).all())
            last = _stops(starts, len(codes)) - 1
            return SeriesOrder(
                keys, codes, times, rows, series, starts, last, is_strict, is_contiguous=True
            )
    elif _is_by_time(codes, times):
        series, first, last = _ends(codes, keys.count)
        return SeriesOrder(keys, codes, times, rows, series, first, last, is_strict=True)
    narrow = codes.astype(np.int16) if keys.count < 2**15 else codes  # int16 is sorted by radix
    sorting = np.argsort(narrow, kind="stable")
    ordered, ordered_times = codes[sorting], times[sorting]
    is_change = ordered[1:] != ordered[:-1]
    starts = _starts(is_change, len(codes))
    is_strict = bool(((ordered_times[1:] > ordered_times[:-1]) | is_change).all())
    return SeriesOrder(
        keys,
        codes,
        times,
        rows,
        series=ordered[starts].astype(np.int64),
        first=sorting[starts],
        last=sorting[_stops(starts, len(codes)) - 1],
        is_strict=is_strict,
        sorting=sorting,
    )


def _is_by_time(codes: npt.NDArray[np.int32], times: Ints) -> bool:
    """Return whether rows are strictly increasing by (time, code): then so is every series."""
    is_later = times[1:] > times[:-1]
    is_same = times[1:] == times[:-1]
    is_same &= codes[1:] > codes[:-1]
    is_later |= is_same
    return bool(is_later.all())


def _starts(is_change: npt.NDArray[np.bool_], row_count: int) -> Ints:
    if row_count == 0:
        return np.empty(0, dtype=np.int64)
    return np.concatenate(([0], np.flatnonzero(is_change) + 1))


def _stops(starts: Ints, row_count: int) -> Ints:
    return np.append(starts[1:], row_count) if len(starts) else starts


def _ends(codes: npt.NDArray[np.int32], code_count: int) -> tuple[Ints, Ints, Ints]:
    """Return (codes that occur, first row of each, last row of each)."""
    last: Ints = np.full(code_count, -1, dtype=np.int64)
    last[codes] = np.arange(len(codes))  # of repeated indices the last one counts
    series = np.flatnonzero(last >= 0)
    first: Ints = np.full(code_count, -1, dtype=np.int64)
    _note_first(first, codes[: 2 * code_count])  # most often these show every series
    if (first[series] < 0).any():
        _note_first(first, codes)
    return series, first[series], last[series]


def _note_first(first: Ints, codes: npt.NDArray[np.int32]) -> None:
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
