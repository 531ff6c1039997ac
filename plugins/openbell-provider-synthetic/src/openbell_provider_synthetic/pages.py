"""Pages: positions of the grid, all symbols, as one Arrow batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from openbell.sdk.arrow import provided_schema
from openbell.sdk.providers import FetchRequest
from openbell.sdk.schemas import BARS_OHLCV
from openbell_provider_synthetic.faults import Bars, Flags, Ints, RowFaults
from openbell_provider_synthetic.grid import Grid, Piece
from openbell_provider_synthetic.settings import SyntheticSettings
from openbell_provider_synthetic.splits import Splits
from openbell_provider_synthetic.walk import BLOCK, Block, Floats, Walk

_SCHEMA = provided_schema(BARS_OHLCV)
_FLOATS = ("open", "high", "low", "close", "volume", "vwap")


class PageMaker:
    """Makes the batches of one request."""

    def __init__(self, settings: SyntheticSettings, request: FetchRequest, grid: Grid) -> None:
        self._grid = grid
        self._symbols = pa.array(request.symbols, pa.string())
        self._symbol_count = len(request.symbols)
        self._walk = Walk(settings, request.symbols, width_s=request.interval.width_s)
        self._tick, self._ticks_in_one = settings.tick_size.as_integer_ratio()
        self._lot = float(settings.lot_size * max(1, request.interval.width_s // 60))
        self._splits = Splits(settings.faults.splits, request.symbols, self._walk.keys)
        self._faults = RowFaults(settings.faults, request, self._walk.keys)
        self._last: tuple[int, Block] | None = None

    def batch(self, start: int, stop: int) -> tuple[pa.RecordBatch, int]:
        """Return the rows of positions `start` up to `stop`, and the time of the last, in us."""
        first = max(0, start - self._faults.late_by)
        bars = self._make(first, stop)
        last_us = int(bars.times[-1])
        if not self._faults:
            return self._to_arrow(bars, None, {}), last_us
        nulls = self._faults.change(bars, tick=self._tick / self._ticks_in_one, lot=self._lot)
        rows = self._faults.arrange(
            bars.times, np.arange(first, stop), start=start, stop=stop, count=self._grid.count
        )
        return self._to_arrow(bars, rows, nulls), last_us

    def _make(self, start: int, stop: int) -> Bars:
        count = stop - start
        shape = (self._symbol_count, count)
        columns: dict[str, npt.NDArray[Any]] = {name: np.empty(shape) for name in _FLOATS}
        columns["trade_count"] = np.empty(shape, dtype=np.int64)
        times = np.empty(count, dtype=np.int64)
        for piece in self._grid.pieces(start, stop):
            end = piece.offset + piece.high - piece.low
            times[piece.offset : end] = self._grid.times(piece)
            self._fill(piece, columns)
        return Bars(times, columns)

    def _to_arrow(self, bars: Bars, rows: Ints | None, nulls: dict[str, Flags]) -> pa.RecordBatch:
        shape = (self._symbol_count, len(bars.times))
        codes = np.repeat(np.arange(self._symbol_count, dtype=np.int32), len(bars.times))
        flat = {"ts": np.broadcast_to(bars.times, shape).ravel()}
        flat |= {name: column.ravel() for name, column in bars.columns.items()}
        if rows is not None:
            codes = codes[rows]
            flat = {name: column[rows] for name, column in flat.items()}
        columns = [pa.DictionaryArray.from_arrays(pa.array(codes), self._symbols)]
        for name, column in flat.items():
            mask = None if name not in nulls else nulls[name].ravel()[rows]
            array = pa.array(column, mask=mask)
            columns.append(array.view(_SCHEMA.field("ts").type) if name == "ts" else array)
        return pa.RecordBatch.from_arrays(columns, schema=_SCHEMA)

    def _fill(self, piece: Piece, columns: dict[str, npt.NDArray[Any]]) -> None:
        """Write one session's bars into the page's arrays, block by block."""
        ratios = self._splits.ratios(piece.bars.day)
        low = piece.low
        while low < piece.high:
            first = low - low % BLOCK
            high = min(piece.high, first + BLOCK)
            block = self._block(piece, first, ratios)
            target = slice(piece.offset + low - piece.low, piece.offset + high - piece.low)
            views = {name: array[:, target] for name, array in columns.items()}
            self._bars(block, slice(low - first, high - first), ratios, views)
            low = high

    def _block(self, piece: Piece, first: int, ratios: Floats) -> Block:
        day = piece.bars.day
        if self._last is None or self._last[0] != day or self._last[1].first != first:
            bar_count = piece.bars.bar_count
            self._last = (day, self._walk.block(day, bar_count, first=first, ratios=ratios))
        return self._last[1]

    def _bars(
        self, block: Block, bars: slice, ratios: Floats, out: dict[str, npt.NDArray[Any]]
    ) -> None:
        opens, closes = block.path[:, :-1][:, bars], block.path[:, 1:][:, bars]
        words = np.ascontiguousarray(block.words[:, bars])
        octets: npt.NDArray[Any] = words.view(np.uint8).reshape(*opens.shape, 8)
        wick = (self._walk.wick_ticks / ratios / 256.0)[:, None]
        highs = np.maximum(opens, closes)
        highs += np.floor(octets[:, :, 2] * wick)
        lows = np.minimum(opens, closes)
        lows -= np.floor(octets[:, :, 3] * wick)
        np.maximum(lows, 1.0, out=lows)
        for name, ticks in (("open", opens), ("high", highs), ("low", lows), ("close", closes)):
            np.divide(ticks * self._tick, self._ticks_in_one, out=out[name])
        highs += lows
        highs += opens
        highs += closes
        np.divide(highs * self._tick, 4.0 * self._ticks_in_one, out=out["vwap"])
        lots = words.view(np.dtype("<u2")).reshape(*opens.shape, 4)[:, :, 2] * 2.0**-11
        lots *= lots
        np.floor(lots, out=lots)
        lots += 1.0
        np.multiply(lots, np.floor(self._lot * ratios)[:, None], out=out["volume"])
        lots *= (octets[:, :, 6] + 64.0) * 2.0**-10
        trades = out["trade_count"]
        trades[...] = lots
        trades += 1
