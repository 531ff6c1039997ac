"""Splits: by how much the prices of each symbol are divided on a day."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from openbell_provider_synthetic.hashing import Words, derive, numbers
from openbell_provider_synthetic.settings import SplitFault
from openbell_provider_synthetic.walk import Floats

_EPOCH = date(1970, 1, 1)
_FIRST_YEAR = 1900
_SALT = 501


class Splits:
    """The splits of some symbols."""

    def __init__(self, fault: SplitFault, symbols: tuple[str, ...], keys: Words) -> None:
        self._rate = fault.rate
        self._keys = derive(keys, _SALT)
        self._listed = [
            (symbols.index(split.symbol), (split.session - _EPOCH).days, split.ratio)
            for split in fault.splits
            if split.symbol in symbols
        ]

    def ratios(self, day: int) -> Floats:
        """Return what each symbol's prices are divided by on `day` (days since 1970-01-01)."""
        ratios = np.ones(len(self._keys))
        when = _EPOCH + timedelta(days=day)
        if self._rate and when.year >= _FIRST_YEAR:
            years = np.arange(_FIRST_YEAR, when.year + 1)
            draws = numbers(self._keys[:, None], years[None, :])
            is_split = (draws >> np.uint64(11)).astype(np.float64) * 2.0**-53 < self._rate
            day_in_year = when.timetuple().tm_yday - 1
            is_split[:, -1] &= (draws[:, -1] % np.uint64(365)).astype(np.int64) <= day_in_year
            ratios += is_split.sum(axis=1) % 2
        for symbol, first_day, ratio in self._listed:
            if first_day <= day:
                ratios[symbol] *= ratio
        return ratios
