"""Dates and times written as text, parsed a whole column at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from openbell_provider_files.formats import TextFormat

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

DAY_US = 86_400_000_000
FIRST_YEAR, LAST_YEAR = 1800, 2200
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FULL_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august",
                "september", "october", "november", "december")  # fmt: skip
_MONTH_DAYS = np.array([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Moments:
    """Parsed dates and times of rows: days since 1970, microseconds since midnight, UTC offset.

    Where `ok` is False the other values mean nothing; `offset_us` counts where `has_offset`, and
    `has_time` says whether a time of day was written.
    """

    day: Ints
    of_day_us: Ints
    offset_us: Ints
    has_offset: Mask
    has_time: Mask
    ok: Mask

    @classmethod
    def nothing(cls, row_count: int) -> Moments:
        """Return moments of rows of which none is parsed yet."""
        return cls(
            day=np.zeros(row_count, dtype=np.int64),
            of_day_us=np.zeros(row_count, dtype=np.int64),
            offset_us=np.zeros(row_count, dtype=np.int64),
            has_offset=np.zeros(row_count, dtype=bool),
            has_time=np.zeros(row_count, dtype=bool),
            ok=np.zeros(row_count, dtype=bool),
        )

    def put(self, rows: npt.NDArray[np.int64], other: Moments) -> None:
        """Take over the values of `other` (one for each of `rows`) where it is ok."""
        good = rows[other.ok]
        for name in ("day", "of_day_us", "offset_us", "has_offset", "has_time", "ok"):
            getattr(self, name)[good] = getattr(other, name)[other.ok]


def parse_moments(column: pa.Array, formats: Sequence[TextFormat], *, has_date: bool) -> Moments:
    """Parse strings by the first of `formats` that fits each; null is never ok."""
    moments = Moments.nothing(len(column))
    for text_format in formats:
        left = np.flatnonzero(~moments.ok)
        if not len(left):
            break
        if text_format.fixed:
            _parse_fixed(column, text_format, moments, has_date=has_date)
            left = np.flatnonzero(~moments.ok)
        if text_format.regex and len(left):
            rest = column if len(left) == len(column) else column.take(pa.array(left))
            moments.put(left, _parse_regex(rest, text_format, has_date=has_date))
    return moments


def _parse_fixed(
    column: pa.Array, text_format: TextFormat, moments: Moments, *, has_date: bool
) -> None:
    width = text_format.width_bytes
    fits = pc.equal(pc.binary_length(column), width).fill_null(False)
    rows = np.flatnonzero(fits.to_numpy(zero_copy_only=False) & ~moments.ok)
    if not len(rows):
        return
    dense = column if len(rows) == len(column) else column.take(pa.array(rows))
    offsets = np.frombuffer(dense.buffers()[1], dtype=np.int32)[dense.offset :]
    content = np.frombuffer(dense.buffers()[2], dtype=np.uint8)
    start = int(offsets[0])
    matrix = content[start : start + len(rows) * width].reshape(len(rows), width)
    ok = np.ones(len(rows), dtype=bool)
    parts: dict[str, Ints] = {}
    for letter, at_byte, count in text_format.fixed:
        if count == 0:
            ok &= matrix[:, at_byte] == ord(letter)
            continue
        digits = matrix[:, at_byte : at_byte + count].astype(np.int64) - ord("0")
        ok &= ((digits >= 0) & (digits <= 9)).all(axis=1)
        parts[letter] = digits @ (10 ** np.arange(count - 1, -1, -1, dtype=np.int64))
    found = _combine(parts, ok, has_date=has_date)
    found.has_time[:] = "H" in parts
    moments.put(rows, found)


def _parse_regex(column: pa.Array, text_format: TextFormat, *, has_date: bool) -> Moments:
    found = pc.extract_regex(column, pattern=text_format.regex)
    ok = pc.is_valid(found).to_numpy(zero_copy_only=False)
    names = [found.type.field(i).name for i in range(found.type.num_fields)]
    texts = {name: pc.struct_field(found, name) for name in names}
    parts = {
        name: _integers(text)
        for name, text in texts.items()
        if name in {"Y", "m", "d", "H", "M", "S", "y", "I"}
    }
    if "f" in texts:
        nine = pc.utf8_slice_codeunits(pc.utf8_rpad(texts["f"], 9, "0"), 0, 9)
        parts["f"] = _integers(nine) // 1000
    if "b" in texts:
        parts["m"] = _month_numbers(texts["b"])
    if "p" in texts:
        afternoon = _flags(pc.equal(pc.utf8_lower(texts["p"]), "pm"))
        ok = ok & (parts["I"] >= 1) & (parts["I"] <= 12)
        parts["H"] = parts["I"] % 12 + 12 * afternoon
    elif "I" in texts:
        parts["H"] = parts["I"]
    moments = _combine(parts, ok, has_date=has_date)
    hours = texts.get("H", texts.get("I"))
    if hours is not None:
        moments.has_time[:] = _flags(pc.greater(pc.binary_length(hours), 0))
    if "z" in texts:
        _add_offsets(moments, texts["z"])
    return moments


def _integers(column: pa.Array) -> Ints:
    filled = pc.if_else(pc.equal(pc.binary_length(column), 0), "0", column).fill_null("0")
    numbers: Ints = filled.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return numbers


def _flags(column: pa.Array) -> Mask:
    flags: Mask = column.fill_null(False).to_numpy(zero_copy_only=False)
    return flags


def _month_numbers(column: pa.Array) -> Ints:
    lower = pc.utf8_lower(column)
    short = pc.index_in(lower, value_set=pa.array(_MONTHS))
    full = pc.index_in(lower, value_set=pa.array(_FULL_MONTHS))
    index = pc.coalesce(short, full).fill_null(-1)
    numbers: Ints = index.to_numpy(zero_copy_only=False).astype(np.int64) + 1
    return numbers


def _add_offsets(moments: Moments, column: pa.Array) -> None:
    digits = pc.replace_substring(column, pattern=":", replacement="")
    is_numeric = _flags(pc.equal(pc.binary_length(digits), 5))
    hhmm = _integers(pc.if_else(pa.array(is_numeric), pc.utf8_slice_codeunits(digits, 1, 5), "0"))
    sign = np.where(_flags(pc.starts_with(digits, "-")), -1, 1)
    minutes = hhmm // 100 * 60 + hhmm % 100
    moments.has_offset[:] = is_numeric | _flags(pc.equal(digits, "Z"))
    moments.offset_us[:] = sign * minutes * 60_000_000
    moments.ok[:] &= (hhmm % 100 < 60) & (minutes < 24 * 60)


def _combine(parts: dict[str, Any], ok: Mask, *, has_date: bool) -> Moments:
    moments = Moments.nothing(len(ok))
    zero = moments.day.copy()
    hour, minute, second = (parts.get(letter, zero) for letter in "HMS")
    ok = ok & (hour < 24) & (minute < 60) & (second < 60)
    if has_date:
        short = parts.get("y", zero)
        year = parts["Y"] if "Y" in parts else np.where(short < 69, 2000 + short, 1900 + short)
        month, day = parts["m"], parts["d"]
        ok = ok & (year >= FIRST_YEAR) & (year <= LAST_YEAR) & is_date(year, month, day)
        moments.day[:] = days_since_epoch(year, month, day)
    moments.of_day_us[:] = (hour * 3600 + minute * 60 + second) * 10**6 + parts.get("f", zero)
    moments.ok[:] = ok
    return moments


def is_date(year: Ints, month: Ints, day: Ints) -> Mask:
    """Return where year, month and day name a day of the Gregorian calendar."""
    in_year = (month >= 1) & (month <= 12)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    last = _MONTH_DAYS[np.clip(month, 1, 12) - 1] - ((month == 2) & ~leap)
    good: Mask = in_year & (day >= 1) & (day <= last)
    return good


def days_since_epoch(year: Ints, month: Ints, day: Ints) -> Ints:
    """Return days since 1970-01-01; the year is counted from March so that leap days come last."""
    shifted = year - (month <= 2)
    era = shifted // 400
    of_era = shifted - era * 400
    of_year = (153 * (month + np.where(month > 2, -3, 9)) + 2) // 5 + day - 1
    days: Ints = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
    return days
