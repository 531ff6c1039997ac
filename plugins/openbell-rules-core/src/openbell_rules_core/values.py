"""`not_null`, `range`, `positive` and `ohlc`.

A null is the business of `not_null` and `null_share` alone; the others pass over it. NaN and
infinity are values to them, and wrong ones. Clean batches cost a minimum and a maximum of each
column, which rules share; masks are made only when those tell that something is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from openbell.sdk.arrow import BatchView
from openbell.sdk.rules import RuleContext
from openbell_rules_core.columns import FLOATS, NUMBERS, columns_in_flight, require
from openbell_rules_core.rowwise import Demand, RowwiseState
from openbell_rules_core.settings import (
    NotNullSettings,
    OhlcSettings,
    PositiveSettings,
    RangeSettings,
)
from openbell_rules_core.tally import Mask


def missing(view: BatchView, name: str) -> Mask | None:
    """Return the mask of nulls and NaN, or None when there are none."""
    valid = view.valid(name)
    if not _is_float(view, name):
        return None if valid is None else ~valid
    if valid is None and not math.isnan(view.bounds(name)[0]):
        return None
    mask: Mask = np.isnan(view.values(name))
    return mask


def _is_float(view: BatchView, name: str) -> bool:
    return str(view.batch.schema.field(name).type) in {"float", "double"}


def outside(view: BatchView, name: str, *, low: float, high: float) -> Mask | None:
    """Return the mask of values not within `low` to `high`, both allowed; nulls are passed over."""
    values = view.values(name)
    if values.dtype.kind == "i":
        low, high = math.ceil(low), math.floor(high)  # exact beyond 2^53, where floats are not
    smallest, largest = view.bounds(name)
    if low <= smallest and largest <= high:
        return None
    mask: Mask = ~((values >= low) & (values <= high))
    valid = view.valid(name)
    return mask if valid is None else mask & valid


class NotNull:
    """Rule `not_null`: the columns are neither null nor NaN in any row."""

    def __init__(self, settings: NotNullSettings) -> None:
        self._columns = settings.columns

    def begin(self, context: RuleContext) -> RowwiseState:
        """Return a state that has seen no row."""
        names: Sequence[str]
        if self._columns is None:
            schema = context.schema
            names = [n for n in columns_in_flight(context) if not schema.column(n).nullable]
        else:
            names = self._columns
        require(context, "not_null", names)
        demands = [
            Demand(name, f"{name} is missing", partial(missing, name=name), (name,))
            for name in dict.fromkeys(names)
        ]
        return RowwiseState("not_null", context, demands)


_LARGEST = float(np.finfo(np.float64).max)


class Range:
    """Rule `range`: the value lies between `min` and `max`, both allowed, and is finite."""

    def __init__(self, settings: RangeSettings) -> None:
        self._column = settings.column
        self._low = -_LARGEST if settings.min is None else max(settings.min, -_LARGEST)
        self._high = _LARGEST if settings.max is None else min(settings.max, _LARGEST)
        parts = [
            f"below {settings.min:g}" if settings.min is not None else "",
            f"above {settings.max:g}" if settings.max is not None else "",
        ]
        self._words = f"{self._column} is " + " or ".join(part for part in parts if part)

    def begin(self, context: RuleContext) -> RowwiseState:
        """Return a state that has seen no row."""
        require(context, "range", [self._column], NUMBERS)
        demand = Demand(self._column, self._words, self._judge, (self._column,))
        return RowwiseState("range", context, [demand])

    def _judge(self, view: BatchView) -> Mask | None:
        return outside(view, self._column, low=self._low, high=self._high)


_SMALLEST = math.ulp(0.0)


class Positive:
    """Rule `positive`: the values are above zero and finite."""

    def __init__(self, settings: PositiveSettings) -> None:
        self._columns = settings.columns

    def begin(self, context: RuleContext) -> RowwiseState:
        """Return a state that has seen no row."""
        require(context, "positive", self._columns, NUMBERS)
        demands = [
            Demand(
                name,
                f"{name} is not a positive number",
                partial(outside, name=name, low=_SMALLEST, high=_LARGEST),
                (name,),
            )
            for name in dict.fromkeys(self._columns)
        ]
        return RowwiseState("positive", context, demands)


class Ohlc:
    """Rule `ohlc`: no price of the bar is below its low or above its high.

    `tolerance` is a share of the price: 1e-9 forgives the last digits of vendors that adjust
    prices and do not round them. Pairs with a null are passed over.
    """

    def __init__(self, settings: OhlcSettings) -> None:
        names = settings.open, settings.high, settings.low, settings.close
        self._open, self._high, self._low, self._close = self._names = names
        self._tolerance = settings.tolerance

    def begin(self, context: RuleContext) -> RowwiseState:
        """Return a state that has seen no row."""
        require(context, "ohlc", self._names, FLOATS)
        words = f"{self._open} or {self._close} is outside {self._low} to {self._high}"
        demand = Demand("", words, self._judge, self._names)
        return RowwiseState("ohlc", context, [demand])

    def _judge(self, view: BatchView) -> Mask | None:
        pairs = (
            (self._low, self._open),
            (self._low, self._close),
            (self._open, self._high),
            (self._close, self._high),
            (self._low, self._high),
        )
        bad: Mask | None = None
        for below, above in pairs:
            mask = self._breaks(view, below, above)
            if mask is not None:
                bad = mask if bad is None else bad | mask
        return bad

    def _breaks(self, view: BatchView, below: str, above: str) -> Mask | None:
        """Return the mask of rows whose `below` is above `above`, or None when there are none."""
        low, high = view.values(below), view.values(above)
        fine = low <= high
        if fine.all():
            return None
        mask: Mask = ~fine
        for name in (below, above):
            valid = view.valid(name)
            if valid is not None:
                mask &= valid
        if self._tolerance:
            with np.errstate(invalid="ignore"):
                excess = low - high
                allowed = self._tolerance * np.maximum(np.abs(low), np.abs(high))
                mask &= ~((excess <= allowed) & np.isfinite(excess))
        return mask
