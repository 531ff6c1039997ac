"""The random walk: prices in ticks for any bar of any session, without the bars before it.

A session's open and close are points of a fractal noise over trading days. Between them the
walk is a bridge of random steps, in blocks of at most 512 bars: block ends are a bridge over
the session, bars a bridge over the block. So a bar needs its block and no more, and every bar
width starts and ends a session at the same prices. Only integers and single IEEE operations
are used, so the bits are the same everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from openbell_provider_synthetic.hashing import Words, derive, mix_inplace, numbers, text_key
from openbell_provider_synthetic.settings import SyntheticSettings

BLOCK = 512
Floats = npt.NDArray[np.float64]

_PERIODS = (1, 4, 16, 64, 256, 1024)  # half days; an octave's weight is the root of its period
_UNIT = 1.0 / 128.0  # all weights together stay under 0.5, so levels stay positive
_SALT_BASE, _SALT_BLOCKS = 1, 2
_SALT_OCTAVE = 16
_GAMMA = np.uint64(0x9E3779B97F4A7C15)


@dataclass(slots=True)
class Block:
    """Bars `first` and following of a session, all symbols: arrays of shape (symbols, bars).

    `path` has one column more: column i is the price in ticks where bar i opens and the one
    before closes. `words` are 64 random bits a bar.
    """

    first: int
    path: Floats
    words: Words


class Walk:
    """The prices of some symbols at one bar width."""

    def __init__(
        self, settings: SyntheticSettings, symbols: tuple[str, ...], *, width_s: int
    ) -> None:
        self.keys = np.array([text_key(s, settings.seed) for s in symbols], dtype=np.uint64)
        self._bar_keys = derive(self.keys, 1000 + width_s)
        self._base = _base_ticks(settings, derive(self.keys, _SALT_BASE))
        minutes_root = math.sqrt(width_s / 60.0)
        # A step is the count of 16 random bits less 8: standard deviation 2.
        self._scale = np.maximum(
            self._base * (settings.volatility_bp * minutes_root / 20_000.0), 0.25
        )
        self.wick_ticks = np.floor(self._scale * 2.0) + 2.0

    def levels(self, half_day: int, ratios: Floats) -> Floats:
        """Return each symbol's level in ticks at an open (2 x day) or close (2 x day + 1)."""
        level = np.zeros(len(self.keys))
        for octave, period in enumerate(_PERIODS):
            index, rest = divmod(half_day, period)
            keys = derive(self.keys, _SALT_OCTAVE + octave)
            ends = np.array([index, index + 1], dtype=np.int64)[:, None]
            left, right = (numbers(keys, ends) >> np.uint64(43)).astype(np.float64) * 2.0**-20 - 1.0
            level += (left + (right - left) * (rest / period)) * (2.0**octave * _UNIT)
        ticks: Floats = np.maximum(np.floor(self._base * (1.0 + level) / ratios), 1.0)
        return ticks

    def block(self, day: int, bar_count: int, *, first: int, ratios: Floats) -> Block:
        """Return the block that begins at bar `first` (a multiple of 512) of the session `day`."""
        keys = derive(self._bar_keys, day)
        scale = self._scale / ratios
        start, end = self.levels(2 * day, ratios), self.levels(2 * day + 1, ratios)
        block_count = -(-bar_count // BLOCK)
        if block_count > 1:
            words = numbers(derive(keys, _SALT_BLOCKS)[:, None], np.arange(block_count)[None, :])
            ends = _bridge(start, end, words, scale * math.sqrt(BLOCK))
            number = first // BLOCK
            start, end = ends[:, number].copy(), ends[:, number + 1].copy()
        count = min(BLOCK, bar_count - first)
        words = np.add(
            keys[:, None], (np.arange(first, first + count, dtype=np.uint64) + 1) * _GAMMA
        )
        mix_inplace(words, np.empty_like(words))
        return Block(first, _bridge(start, end, words, scale), words)


def _base_ticks(settings: SyntheticSettings, words: Words) -> Floats:
    tick_size = float(settings.tick_size)
    if settings.price is not None:
        return np.full(len(words), max(1.0, float(settings.price // settings.tick_size)))
    draws = (words >> np.uint64(44)).astype(np.float64) * 2.0**-20
    ticks: Floats = np.maximum(np.floor((20.0 + 480.0 * draws) / tick_size), 1.0)
    return ticks


def _bridge(start: Floats, end: Floats, words: Words, scale: Floats) -> Floats:
    """Return whole ticks from `start` to `end` in as many steps as `words` has columns."""
    symbol_count, count = words.shape
    path = np.empty((symbol_count, count + 1))
    path[:, 0] = start
    inner = path[:, 1:]
    lanes: npt.NDArray[Any] = words.view(np.dtype("<u2")).reshape(symbol_count, count, 4)
    np.subtract(np.bitwise_count(lanes[:, :, 0]), 8.0, out=inner)
    np.cumsum(inner, axis=1, out=inner)
    np.multiply(inner, scale[:, None], out=inner)
    slope = (end - start - inner[:, -1]) / count
    inner += slope[:, None] * np.arange(1.0, count + 1.0)[None, :] + start[:, None]
    np.floor(inner, out=inner)
    np.maximum(inner, 1.0, out=inner)
    path[:, count] = end
    return path
