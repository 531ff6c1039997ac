"""Key columns as one small integer a row, and the same series recognised from batch to batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from openbell.sdk.arrow import BatchView

Codes = npt.NDArray[np.int32]
SeriesName = tuple[Any, ...]

_ALWAYS_FINE = 1 << 16


@dataclass(slots=True)
class KeyCodes:
    """The values of some columns as a code from 0 to `count` - 1 for each row.

    `valid` is False where one of them is null, or None when nowhere. `name` gives the values that a code
    stands for. `dictionaries` identify the coding; None when it holds for this batch only.
    """

    codes: Codes
    count: int
    valid: npt.NDArray[np.bool_] | None
    name: Callable[[int], SeriesName]
    dictionaries: tuple[pa.Array, ...] | None


def key_codes(view: BatchView, columns: Sequence[str]) -> KeyCodes:
    """Return the codes of the columns taken together."""
    codes: npt.NDArray[Any] = np.zeros(view.row_count, dtype=np.int32)
    count, valid, is_lasting = 1, None, True
    name: Callable[[int], SeriesName] = _nothing
    dictionaries = []
    for column in columns:
        own, dictionary = view.codes(column)
        has_value = view.valid(column)
        if has_value is not None:
            valid = has_value if valid is None else valid & has_value
            own = np.maximum(own, 0)
        size = max(1, len(dictionary))
        if count * size > max(_ALWAYS_FINE, 4 * view.row_count):
            codes, count, name = _dense(codes, name)
            is_lasting = False
        if count == 1:
            codes = own
        elif size > 1:
            codes = codes.astype(np.int64) * size + own
        name = _product(name, dictionary, size)
        count *= size
        dictionaries.append(dictionary)
    if count > max(_ALWAYS_FINE, 4 * view.row_count):
        codes, count, name = _dense(codes, name)
        is_lasting = False
    lasting = tuple(dictionaries) if is_lasting else None
    return KeyCodes(codes.astype(np.int32, copy=False), count, valid, name, lasting)


def _nothing(_code: int) -> SeriesName:
    return ()


def _product(
    before: Callable[[int], SeriesName], dictionary: pa.Array, size: int
) -> Callable[[int], SeriesName]:
    return lambda code: (*before(code // size), dictionary[code % size].as_py())


def _dense(
    codes: npt.NDArray[Any], name: Callable[[int], SeriesName]
) -> tuple[npt.NDArray[Any], int, Callable[[int], SeriesName]]:
    """Return a coding with no more codes than rows."""
    present, dense = np.unique(codes, return_inverse=True)
    return dense, max(1, len(present)), lambda code: name(int(present[code]))


class SeriesIndex:
    """Numbers series 0, 1, 2, ... in the order they are first met."""

    def __init__(self) -> None:
        self.numbers: dict[SeriesName, int] = {}
        self._dictionaries: tuple[pa.Array, ...] | None = None
        self._known: npt.NDArray[np.int32] = np.empty(0, dtype=np.int32)

    def number(self, keys: KeyCodes, series: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """Return a table from code to number, filled for the codes `series`."""
        if not self._is_same_coding(keys):
            self._known = np.full(keys.count, -1, dtype=np.int32)
            self._dictionaries = keys.dictionaries
        for code in series[self._known[series] < 0].tolist():
            self._known[code] = self.add(keys.name(code))
        return self._known

    def add(self, name: SeriesName) -> int:
        """Return the number of a series, a new one if it was never met."""
        return self.numbers.setdefault(name, len(self.numbers))

    def _is_same_coding(self, keys: KeyCodes) -> bool:
        mine, its = self._dictionaries, keys.dictionaries
        if mine is None or its is None:
            return False
        return all(a.equals(b) for a, b in zip(mine, its, strict=True))
