"""Pages: positions of the grid, all symbols, as one Arrow batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from openbell.sdk.arrow import provided_schema
from openbell.sdk.providers import FetchRequest
from openbell.sdk.schemas import BARS_OHLCV

from openbell_provider_synthetic.grid import Grid, Piece
from openbell_provider_synthetic.settings import SyntheticSettings
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
        self._ratios = np.ones(self._symbol_count)
        self._last: tuple[int, Block] | None = None

    def batch(self, start: int, stop: int) -> tuple[pa.RecordBatch, int]:
        """Return the rows of positions `start` up to `stop`, and the time of the last, in us."""
        count = stop - start
        shape = (self._symbol_count, count)
        floats = {name: np.empty(shape) for name in _FLOATS}
        trades = np.empty(shape, dtype=np.int64)
        times = np.empty(count, dtype=np.int64)
        for piece in self._grid.pieces(start, stop):
            end = piece.offset + piece.high - piece.low
            times[piece.offset : end] = self._grid.times(piece)
            self._fill(piece, floats, trades)
        codes = np.repeat(np.arange(self._symbol_count, dtype=np.int32), count)
        symbol = pa.DictionaryArray.from_arrays(pa.array(codes), self._symbols)
        stamps = np.broadcast_to(times, shape).ravel()
        columns = [symbol, pa.array(stamps).view(_SCHEMA.field("ts").type)]
        columns += [pa.array(floats[name].ravel()) for name in _FLOATS]
        columns.append(pa.array(trades.ravel()))
        return pa.RecordBatch.from_arrays(columns, schema=_SCHEMA), int(times[-1])

    def _fill(self, piece: Piece, floats: dict[str, Floats], trades: npt.NDArray[np.int64]) -> None:
        """Write one session's bars into the page's arrays, block by block."""
        low = piece.low
        while low < piece.high:
            first = low - low % BLOCK
            high = min(piece.high, first + BLOCK)
            block = self._block(piece, first)
            target = slice(piece.offset + low - piece.low, piece.offset + high - piece.low)
            views = {name: array[:, target] for name, array in floats.items()}
            self._bars(block, low, high, views, trades[:, target])
            low = high

    def _block(self, piece: Piece, first: int) -> Block:
        day = piece.bars.day
        if self._last is None or self._last[0] != day or self._last[1].first != first:
            bar_count = piece.bars.bar_count
            block = self._walk.block(day, bar_count, first=first, ratios=self._ratios)
            self._last = (day, block)
        return self._last[1]

    def _bars(
        self, block: Block, low: int, high: int, out: dict[str, Floats], trades: npt.NDArray[Any]
    ) -> None:
        low, high = low - block.first, high - block.first
        opens, closes = block.path[:, low:high], block.path[:, low + 1 : high + 1]
        words = np.ascontiguousarray(block.words[:, low:high])
        octets: npt.NDArray[Any] = words.view(np.uint8).reshape(*opens.shape, 8)
        wick = (self._walk.wick_ticks / self._ratios / 256.0)[:, None]
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
        np.multiply(lots, self._lot, out=out["volume"])
        lots *= (octets[:, :, 6] + 64.0) * 2.0**-10
        trades[...] = lots
        trades += 1
