"""Local wall-clock times to UTC and back, a whole column at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from openbell.sdk.values import EPOCH

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
SECOND_US = 1_000_000
_LOOK_S = 3 * 86_400
_YEAR_US = int(365.2425 * 86_400) * SECOND_US


@dataclass(frozen=True, slots=True)
class LocalResult:
    """Instants in UTC microseconds, and which local times were not plain.

    An ambiguous time (clocks go back) has `utc_us` of its first occurrence and `later_us` of its
    second. A time that does not exist (clocks go forward) is moved forward by what was skipped.
    """

    utc_us: Ints
    later_us: Ints
    ambiguous: Mask
    nonexistent: Mask


@dataclass(frozen=True, slots=True)
class _Table:
    """Changes of the UTC offset: from `at_us[i]` on it is `offset_us[i + 1]`."""

    at_us: Ints
    offset_us: Ints


def to_utc(local_us: Ints, zone: str) -> LocalResult:
    """Return the instants of wall-clock times, given as microseconds as if they were UTC."""
    none = np.zeros(len(local_us), dtype=bool)
    if zone == "UTC" or not len(local_us):
        return LocalResult(local_us, local_us, none, none)
    table = _table(zone, *_years(local_us))
    if not len(table.at_us):
        plain = local_us - table.offset_us[0]
        return LocalResult(plain, plain, none, none)
    before, after = table.offset_us[:-1], table.offset_us[1:]
    first = np.searchsorted(table.at_us + before, local_us, side="right")
    last = np.searchsorted(table.at_us + after, local_us, side="right")
    return LocalResult(
        utc_us=local_us - table.offset_us[np.minimum(first, last)],
        later_us=local_us - table.offset_us[last],
        ambiguous=last > first,
        nonexistent=first > last,
    )


def to_local(utc_us: Ints, zone: str) -> Ints:
    """Return the wall-clock times of instants, as microseconds as if they were UTC."""
    if zone == "UTC" or not len(utc_us):
        return utc_us
    table = _table(zone, *_years(utc_us))
    local: Ints = utc_us + table.offset_us[np.searchsorted(table.at_us, utc_us, side="right")]
    return local


def _years(moment_us: Ints) -> tuple[int, int]:
    low, high = int(moment_us.min()) // _YEAR_US + 1970, int(moment_us.max()) // _YEAR_US + 1970
    return max(low // 10 * 10 - 10, 2), min(high // 10 * 10 + 20, 9998)


@lru_cache(maxsize=64)
def _table(zone: str, first_year: int, last_year: int) -> _Table:
    """Find every change of offset by looking at every third day and then halving.

    No zone of tzdata has changed its offset twice within three days since 1900.
    """
    info = ZoneInfo(zone)

    def offset_us(at_s: int) -> int:
        local = (EPOCH + timedelta(seconds=at_s)).astimezone(info).utcoffset()
        assert local is not None
        return local // timedelta(microseconds=1)

    begin_s = int((datetime(first_year, 1, 1, tzinfo=UTC) - EPOCH).total_seconds())
    end_s = int((datetime(last_year, 1, 1, tzinfo=UTC) - EPOCH).total_seconds())
    known = offset_us(begin_s)
    changes, offsets = [], [known]
    for look_s in range(begin_s + _LOOK_S, end_s + 1, _LOOK_S):
        now = offset_us(look_s)
        if now != known:
            low, high = look_s - _LOOK_S, look_s
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset_us(middle) == known else (low, middle)
            changes.append(high * SECOND_US)
            offsets.append(now)
            known = now
    return _Table(np.array(changes, dtype=np.int64), np.array(offsets, dtype=np.int64))
