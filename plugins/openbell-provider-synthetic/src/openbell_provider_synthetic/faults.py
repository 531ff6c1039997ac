"""Rows that something is wrong with: which, in what order, and how they change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from openbell.sdk.providers import FetchRequest
from openbell.sdk.values import to_us
from openbell_provider_synthetic.hashing import Words, derive, numbers
from openbell_provider_synthetic.settings import FaultSettings, RowFault

Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

_SALTS = {"gaps": 601, "duplicates": 602, "late": 603, "out_of_order": 604}
_SALTS |= {"bad_ohlc": 605, "nulls": 606, "revisions": 607}
_BY_HOW_MUCH = 700


@dataclass(slots=True)
class Bars:
    """Bars of all symbols: `times` of shape (bars,), each of `columns` (symbols, bars)."""

    times: Ints
    columns: dict[str, npt.NDArray[Any]]


class RowFaults:
    """The row faults of one request."""

    def __init__(self, faults: FaultSettings, request: FetchRequest, keys: Words) -> None:
        self._faults = faults
        self._symbols = request.symbols
        self._width_us = request.interval.width_s * 1_000_000
        self._now_us = to_us(request.now)
        self._keys = derive(keys, request.interval.width_s)
        row_faults: Mapping[str, RowFault] = {name: getattr(faults, name) for name in _SALTS}
        self._active = {n: fault for n, fault in row_faults.items() if fault.rate or fault.bars}
        self.late_by = faults.late.by_bars if "late" in self._active else 0

    def __bool__(self) -> bool:
        return bool(self._active)

    def change(self, bars: Bars, *, tick: float, lot: float) -> dict[str, Flags]:
        """Change values in place and return where columns are null."""
        columns = bars.columns
        revised = self._flags("revisions", bars.times)
        if revised is not None:
            after_us = self._width_us + self._faults.revisions.after_s * 1_000_000
            revised &= (bars.times + after_us <= self._now_us)[None, :]
            to_high = self._draws("revisions", bars.times) % np.uint64(2) == 0
            ends = np.where(to_high, columns["high"], columns["low"])
            columns["close"][revised] = ends[revised]
            columns["volume"][revised] += lot
        bad = self._flags("bad_ohlc", bars.times)
        if bad is not None:
            high, low = columns["high"][bad], columns["low"][bad]
            columns["high"][bad], columns["low"][bad] = low, high + tick
        nulls = self._flags("nulls", bars.times)
        return {} if nulls is None else dict.fromkeys(self._faults.nulls.columns, nulls)

    def arrange(self, times: Ints, positions: Ints, *, start: int, stop: int, count: int) -> Ints:
        """Return which bars make the page of positions `start` up to `stop`, as flat indices.

        `positions` are those of `times`, from `late_by` before `start`; the request has `count`.
        """
        shape = (len(self._symbols), len(times))
        arrival = np.broadcast_to(2 * positions, shape).copy()
        is_there = np.ones(shape, dtype=np.bool_)
        is_moved = False
        late = self._flags("late", times)
        if late is not None:
            delay = 1 + (self._draws("late", times) % np.uint64(self.late_by)).astype(np.int64)
            is_there &= ~late | (times + (1 + delay) * self._width_us <= self._now_us)
            arrives = np.minimum(positions + delay, count - 1)
            arrival = np.where(late, 2 * arrives + 1, arrival)
            is_moved = True
        is_there &= (arrival >= 2 * start) & (arrival < 2 * stop)
        swapped = self._flags("out_of_order", times)
        if swapped is not None:
            arrival = np.where(swapped, arrival + 3, arrival)
            is_moved = True
        gaps = self._flags("gaps", times)
        if gaps is not None:
            is_there &= ~gaps
        chosen = np.flatnonzero(is_there)
        if is_moved:
            symbols = chosen // shape[1]
            chosen = chosen[np.lexsort((arrival.ravel()[chosen], symbols))]
        twice = self._flags("duplicates", times)
        if twice is not None:
            chosen = np.repeat(chosen, 1 + twice.ravel()[chosen])
        return chosen

    def _draws(self, name: str, times: Ints) -> Words:
        keys = derive(self._keys, _BY_HOW_MUCH + _SALTS[name])
        return numbers(keys[:, None], (times // 1_000_000)[None, :])

    def _flags(self, name: str, times: Ints) -> Flags | None:
        """Return which bars have the fault, shape (symbols, bars), or None when it is not wanted."""
        fault = self._active.get(name)
        if fault is None:
            return None
        keys = derive(self._keys, _SALTS[name])
        draws = numbers(keys[:, None], (times // 1_000_000)[None, :]) >> np.uint64(11)
        flags: Flags = draws.astype(np.float64) * 2.0**-53 < fault.rate
        for bar in fault.bars:
            if bar.symbol in self._symbols:
                last = bar.at if bar.until is None else bar.until
                is_listed = (times >= to_us(bar.at)) & (times <= to_us(last))
                flags[self._symbols.index(bar.symbol)] |= is_listed
        return flags
