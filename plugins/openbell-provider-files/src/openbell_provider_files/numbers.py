"""Numbers, as text or typed, to float64: correctly rounded, row by row good or bad."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
_EXACT_BELOW = 2.0**53
_MEAN_DIGITS = 9


@dataclass(frozen=True, slots=True)
class NumberStyle:
    """How numbers are written: decimal sign, thousands separator, spellings of null."""

    decimal: str = "."
    thousands: str = ""
    nulls: tuple[str, ...] = ("",)

    @property
    def null_values(self) -> tuple[float, ...]:
        """Spellings of null that are numbers, such as -9999."""
        found = []
        for text in self.nulls:
            with suppress(ValueError):
                found.append(float(text))
        return tuple(value for value in found if math.isfinite(value))

    @property
    def regex(self) -> str:
        """A pattern of a whole number."""
        point, group = re.escape(self.decimal), re.escape(self.thousands)
        whole = rf"\d{{1,3}}(?:{group}\d{{2,3}})*{group}\d{{3}}|\d+" if group else r"\d+"
        return rf"^[+-]?(?:(?:{whole})(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d{{1,3}})?$"


@dataclass(frozen=True, slots=True)
class Numbers:
    """Values of rows; where `null` or `bad` is True the value means nothing."""

    values: Floats
    null: Mask
    bad: Mask


def to_numbers(column: pa.Array, style: NumberStyle, scale: float = 1.0) -> Numbers:
    """Return `column` divided by `scale`. What `style.nulls` spells is null, NaN in a float too.

    Whole numbers below 2**53 divided by a power of ten, and decimal text with such a scale, give
    the float64 that is nearest to the true decimal.
    """
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.string())  # Arrow's own cast to float64 is off by one ulp
    if is_text(column.type):
        return _from_text(column.cast(pa.string()), style, scale)
    null = ~pc.is_valid(column).to_numpy(zero_copy_only=False)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return Numbers(np.zeros(len(column)), null, ~null)
    values = column.cast(pa.float64(), safe=False).fill_null(0.0).to_numpy(zero_copy_only=False)
    null = null | np.isnan(values) | np.isin(values, style.null_values)
    return Numbers(values / scale, null, np.isinf(values))


def is_text(kind: pa.DataType) -> bool:
    """Return whether values of this Arrow type are strings."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _from_text(column: pa.Array, style: NumberStyle, scale: float) -> Numbers:
    plain = style.decimal == "." and not style.thousands
    if plain and column.null_count == 0:
        try:
            values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            return _one_by_one(column, style, scale)
        if np.isfinite(values).all():
            none = np.zeros(len(values), dtype=bool)
            null = np.isin(values, style.null_values) if style.null_values else none
            return Numbers(_scaled(values, column, scale), null, none)
    return _one_by_one(column, style, scale)


def _one_by_one(column: pa.Array, style: NumberStyle, scale: float) -> Numbers:
    text = pc.utf8_trim_whitespace(column)
    null = pc.is_in(text, value_set=pa.array(style.nulls, pa.string()))
    null = pc.or_(pc.is_null(text), null)
    fits = pc.match_substring_regex(text, pattern=style.regex).fill_null(False)
    usable = pc.and_not(fits, null)
    text = pc.if_else(usable, text, "0")
    if style.thousands:
        text = pc.replace_substring(text, pattern=style.thousands, replacement="")
    if style.decimal != ".":
        text = pc.replace_substring(text, pattern=style.decimal, replacement=".")
    values = text.cast(pa.float64()).to_numpy(zero_copy_only=False)
    is_null = null.to_numpy(zero_copy_only=False)
    if style.null_values:
        is_null = is_null | (
            np.isin(values, style.null_values) & fits.to_numpy(zero_copy_only=False)
        )
    bad = ~(usable.to_numpy(zero_copy_only=False) | is_null) | ~np.isfinite(values)
    return Numbers(_scaled(values, text, scale), is_null, bad)


def _scaled(values: Floats, text: pa.Array, scale: float) -> Floats:
    if scale == 1.0:
        return values
    exact = (values == np.rint(values)) & (np.abs(values) < _EXACT_BELOW)
    exponent = round(math.log10(scale))
    if exact.all() or 10.0**exponent != scale or exponent < 0:
        divided: Floats = values / scale
        return divided
    shiftable = pc.invert(pc.match_substring_regex(text, pattern="[eE]"))
    shifted = pc.binary_join_element_wise(text, f"e-{exponent}", "")
    nearest = pc.if_else(shiftable, shifted, "0").cast(pa.float64()).to_numpy(zero_copy_only=False)
    use = shiftable.to_numpy(zero_copy_only=False) & ~exact
    return np.where(use, nearest, values / scale)


def mean(parts: Sequence[Floats]) -> Floats:
    """Return the mean of several columns, row by row.

    In a row whose values have at most nine decimals, so that they are whole numbers in some unit,
    it is the float64 nearest to the true mean; otherwise it is off by rounding.
    """
    values = np.asarray(parts)
    means: Floats = values.sum(axis=0) / len(parts)
    left = np.abs(values).max(axis=0) < _EXACT_BELOW / 10**_MEAN_DIGITS / len(parts)
    for digits in range(_MEAN_DIGITS + 1):
        unit = 10.0**digits
        whole = np.rint(values * unit)
        fits = left & (whole / unit == values).all(axis=0)
        means[fits] = whole.sum(axis=0)[fits] / (unit * len(parts))
        left &= ~fits
        if not left.any():
            break
    return means
