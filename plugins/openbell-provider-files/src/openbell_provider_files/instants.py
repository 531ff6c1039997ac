"""From the time columns of a file to `ts`, by the conventions of bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from openbell.sdk.values import BarWidth
from openbell_provider_files.formats import (
    EPOCH_UNITS_NS,
    SINCE_MIDNIGHT_US,
    TextFormat,
    compile_format,
)
from openbell_provider_files.numbers import NumberStyle, is_text, to_numbers
from openbell_provider_files.settings import FilesSettings
from openbell_provider_files.texts import DAY_US, Ints, Mask, Moments, parse_moments
from openbell_provider_files.zones import to_local, to_utc

_WHOLE = r"^[+-]?\d{1,18}$"
_FIRST_DAY, _LAST_DAY = -62_091, 84_371  # 1800-01-01 and 2201-01-01, in days since 1970


@dataclass(frozen=True, slots=True)
class BarTimes:
    """`ts` of each row in microseconds, or why it has none: 0 ok, else an index into `WHY`."""

    ts_us: Ints
    why: npt.NDArray[np.int8]


WHY = (
    "",
    "is not a time in {formats}",
    "does not exist in {zone}, clocks were put forward; nonexistent: shift moves it forward",
    "occurs twice in {zone}, clocks were put back; ambiguous: earlier or later chooses",
    "has no time of day, which bars shorter than a day need",
)


@dataclass(frozen=True, slots=True)
class _Reading:
    """Rows as instants (`is_utc`) or as local wall-clock times, both in microseconds."""

    moment_us: Ints
    is_utc: Mask
    written_day: Ints
    ok: Mask
    has_time: Mask


class Timekeeper:
    """Turns time columns into `ts`; made once for a file tree."""

    def __init__(self, settings: FilesSettings) -> None:
        self._settings = settings
        self._style = NumberStyle(nulls=settings.nulls)
        self._formats = {
            "ts": _compile(settings.ts_format, "ts"),
            "date": _compile(settings.date_format, "date"),
            "time": _compile(settings.time_format, "time"),
        }

    def bar_times(
        self, columns: Mapping[str, pa.Array], *, day: date | None, width: BarWidth
    ) -> BarTimes:
        """Return `ts` of each row; `day` is the one that the file's path names."""
        if "ts" in columns:
            reading = self._read_ts(columns["ts"])
        else:
            reading = self._read_parts(columns, day)
        if width.is_daily:
            ts_us = reading.written_day * DAY_US
            return BarTimes(ts_us, (~reading.ok).astype(np.int8))
        return self._to_instants(reading, width)

    def explain(self, code: int, name: str) -> str:
        """Return the reason behind a code of `BarTimes.why` for the column `name`."""
        settings = self._settings
        formats = {"ts": settings.ts_format, "date": settings.date_format}.get(
            name, settings.time_format
        )
        return WHY[code].format(formats=" or ".join(formats), zone=settings.zone)

    def _to_instants(self, reading: _Reading, width: BarWidth) -> BarTimes:
        local_us = np.where(reading.ok & ~reading.is_utc, reading.moment_us, 0)
        local = to_utc(local_us, self._settings.zone)
        later = self._settings.ambiguous == "later"
        instant_us = np.where(
            reading.is_utc, reading.moment_us, local.later_us if later else local.utc_us
        )
        why = (~reading.ok).astype(np.int8)
        why[reading.ok & ~reading.has_time] = 4
        is_local = reading.ok & ~reading.is_utc
        if self._settings.nonexistent == "reject":
            why[is_local & local.nonexistent] = 2
        if self._settings.ambiguous == "reject":
            why[is_local & local.ambiguous] = 3
        if self._settings.stamp == "end":
            instant_us = instant_us - width.width_s * 1_000_000
        return BarTimes(instant_us, why)

    def _read_ts(self, column: pa.Array) -> _Reading:
        kind = column.type
        if pa.types.is_timestamp(kind):
            return _from_timestamps(column)
        if pa.types.is_date(kind):
            return _wall(*_from_dates(column))
        units = [unit for unit in self._settings.ts_format if unit in EPOCH_UNITS_NS]
        if units:
            return self._read_epoch(column, EPOCH_UNITS_NS[units[0]])
        return _from_moments(parse_moments(_as_text(column), self._formats["ts"], has_date=True))

    def _read_epoch(self, column: pa.Array, unit_ns: int) -> _Reading:
        """Return epoch numbers as instants; their day is the local one."""
        counts, ok = _whole_numbers(column)
        if not ok.all():
            numbers = to_numbers(column, self._style)
            fractions = ~ok & ~numbers.bad & ~numbers.null & (np.abs(numbers.values) < 1e18)
            moment_us = np.rint(np.where(fractions, numbers.values, 0) * (unit_ns / 1000))
            fractions &= np.abs(moment_us) < 2.0**62
            from_fraction = np.where(fractions, moment_us, 0).astype(np.int64)
        else:
            fractions, from_fraction = ~ok, counts
        in_range = np.abs(counts) < 2**62 // max(unit_ns // 1000, 1)
        counts = np.where(ok & in_range, counts, 0)
        whole_us = counts * (unit_ns // 1000) if unit_ns >= 1000 else counts // 1000
        moment_us = np.where(fractions, from_fraction, whole_us)
        ok = (ok & in_range) | fractions
        in_years = (moment_us >= _FIRST_DAY * DAY_US) & (moment_us < _LAST_DAY * DAY_US)
        moment_us = np.where(in_years, moment_us, 0)
        local_day = to_local(moment_us, self._settings.zone) // DAY_US
        always = np.ones(len(ok), dtype=bool)
        return _Reading(moment_us, always, local_day, ok & in_years, always)

    def _read_parts(self, columns: Mapping[str, pa.Array], day: date | None) -> _Reading:
        row_count = len(next(iter(columns.values())))
        if "date" in columns:
            days, ok = self._read_dates(columns["date"])
        else:
            assert day is not None  # the settings demand {date} in the path
            days = np.full(row_count, (day - date(1970, 1, 1)).days, dtype=np.int64)
            ok = np.ones(row_count, dtype=bool)
        if "time" not in columns:
            return _wall(days, ok)
        of_day_us, time_ok = self._read_times(columns["time"])
        moment_us = days * DAY_US + of_day_us
        is_utc = np.zeros(row_count, dtype=bool)
        return _Reading(moment_us, is_utc, days, ok & time_ok, ~is_utc)

    def _read_dates(self, column: pa.Array) -> tuple[Ints, Mask]:
        if pa.types.is_date(column.type):
            return _from_dates(column)
        if pa.types.is_timestamp(column.type):
            reading = _from_timestamps(column)
            return reading.written_day, reading.ok
        moments = parse_moments(_as_text(column), self._formats["date"], has_date=True)
        return moments.day, moments.ok

    def _read_times(self, column: pa.Array) -> tuple[Ints, Mask]:
        if pa.types.is_time(column.type):
            whole = column.cast(pa.time64("us"), safe=False).view(pa.int64())
            return _filled(whole), _valid(column)
        units = [unit for unit in self._settings.time_format if unit in SINCE_MIDNIGHT_US]
        if units:
            numbers = to_numbers(column, self._style)
            of_day_us = numbers.values * SINCE_MIDNIGHT_US[units[0]]
            ok = ~numbers.bad & ~numbers.null & (of_day_us >= 0) & (of_day_us < DAY_US)
            return np.rint(np.where(ok, of_day_us, 0)).astype(np.int64), ok
        moments = parse_moments(_as_text(column), self._formats["time"], has_date=False)
        return moments.of_day_us, moments.ok & ~moments.has_offset


def _compile(texts: Sequence[str], kind: str) -> list[TextFormat]:
    patterns = [
        text for text in texts if text not in EPOCH_UNITS_NS and text not in SINCE_MIDNIGHT_US
    ]
    return [one for text in patterns for one in compile_format(text, kind)]


def _as_text(column: pa.Array) -> pa.Array:
    text = column if is_text(column.type) else column.cast(pa.string(), safe=False)
    return pc.utf8_trim_whitespace(text.cast(pa.string()))


def _valid(column: pa.Array) -> Mask:
    mask: Mask = pc.is_valid(column).to_numpy(zero_copy_only=False)
    return mask


def _filled(column: pa.Array) -> Ints:
    numbers: Ints = column.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers


def _wall(days: Ints, ok: Mask) -> _Reading:
    never = np.zeros(len(days), dtype=bool)
    return _Reading(days * DAY_US, never, days, ok, never)


def _from_dates(column: pa.Array) -> tuple[Ints, Mask]:
    days = _filled(column.cast(pa.date32(), safe=False).view(pa.int32()))
    ok = _valid(column) & (days >= _FIRST_DAY) & (days < _LAST_DAY)
    return np.where(ok, days, 0), ok


def _from_timestamps(column: pa.Array) -> _Reading:
    """Read typed timestamps: with a zone they are instants, without one local times."""
    zone = column.type.tz
    counts = _filled(column.view(pa.int64()))
    unit_ns = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[column.type.unit]
    per_us = max(unit_ns // 1000, 1)
    ok = _valid(column) & (np.abs(counts) < 2**62 // per_us)
    moment_us = np.where(ok, counts, 0) * per_us if unit_ns >= 1000 else counts // 1000
    ok &= (moment_us >= _FIRST_DAY * DAY_US) & (moment_us < _LAST_DAY * DAY_US)
    moment_us = np.where(ok, moment_us, 0)
    always = np.ones(len(ok), dtype=bool)
    if zone is None:
        return _Reading(moment_us, ~always, moment_us // DAY_US, ok, always)
    return _Reading(moment_us, always, _in_zone(moment_us, zone) // DAY_US, ok, always)


def _in_zone(moment_us: Ints, zone: str) -> Ints:
    """Return local times in a zone of an Arrow type: a name or an offset such as +05:30."""
    if zone[:1] in "+-":
        sign = -1 if zone[0] == "-" else 1
        return moment_us + sign * (int(zone[1:3]) * 60 + int(zone[4:6])) * 60_000_000
    return to_local(moment_us, zone)


def _from_moments(moments: Moments) -> _Reading:
    moment_us = moments.day * DAY_US + moments.of_day_us
    moment_us = moment_us - np.where(moments.has_offset, moments.offset_us, 0)
    return _Reading(moment_us, moments.has_offset, moments.day, moments.ok, moments.has_time)


def _whole_numbers(column: pa.Array) -> tuple[Ints, Mask]:
    if pa.types.is_integer(column.type):
        return _filled(column), _valid(column)
    if not is_text(column.type):
        return np.zeros(len(column), dtype=np.int64), np.zeros(len(column), dtype=bool)
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    fits = pc.match_substring_regex(text, pattern=_WHOLE).fill_null(False)
    digits = pc.replace_substring_regex(pc.if_else(fits, text, "0"), pattern=r"^\+", replacement="")
    return _filled(digits.cast(pa.int64())), fits.to_numpy(zero_copy_only=False)
