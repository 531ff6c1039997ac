"""Rows as a file has them, before they become bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A row that could not be split into columns."""

    line: int
    raw: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRows:
    """A stretch of rows: for each field its columns (several for a mean), as text or typed.

    `lines` holds each row's line (or row number), from 1. `raw_text` gives one row as it stands in
    the file. `next_row` is how many rows of the file, broken ones too, come before what follows.
    """

    columns: Mapping[str, Sequence[pa.Array]]
    lines: npt.NDArray[np.int64]
    raw_text: Callable[[int], str]
    next_row: int
    broken: Sequence[BrokenRow] = field(default_factory=tuple)


class RowReader(Protocol):
    """Reads one open file."""

    def stretches(self, start_row: int, batch_rows: int) -> Iterator[RawRows]:
        """Yield the rows from `start_row` on, at most `batch_rows` at a time."""
        ...
