"""Local times as instants, through every change of the clocks. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from heapq import merge
from itertools import groupby, takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from openbell.schedule.grammar import DstPolicy

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_LOCAL = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall clock's time, before it has a zone
FIRST_YEAR, LAST_YEAR = 1970, 2999
"""Local times are planned in these years."""


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which a zone's offset stays the same, `[start_s, end_s)` in seconds since 1970."""

    start_s: int
    end_s: int
    offset_s: int


def zone_named(name: str) -> ZoneInfo | None:
    """Return the time zone with this name, or None when there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


class LocalTime:
    """A zone's offsets, looked up once a year and kept."""

    def __init__(self, name: str) -> None:
        self._zone = ZoneInfo(name)
        self._year = lru_cache(maxsize=None)(self._spans_of)

    def offset_s(self, instant_s: int) -> int:
        """Return how far local time is ahead of UTC at an instant."""
        there = (_EPOCH + timedelta(seconds=instant_s)).astimezone(self._zone)
        return _whole_s(there.utcoffset())

    def instants_s(self, wall_s: int, dst: DstPolicy) -> tuple[int, ...]:
        """Return the instants at which a wall clock shows this time: none, one or two."""
        local = _EPOCH_LOCAL + timedelta(seconds=wall_s)
        before_s = _whole_s(local.replace(tzinfo=self._zone, fold=0).utcoffset())
        after_s = _whole_s(local.replace(tzinfo=self._zone, fold=1).utcoffset())
        first, last = wall_s - before_s, wall_s - after_s
        if before_s == after_s:
            return (first,)
        if before_s < after_s:
            return (first,) if dst.missing == "shift" else ()
        return {"first": (first,), "last": (last,), "both": (first, last)}[dst.duplicate]

    def spans(self, start_s: int) -> Iterator[Span]:
        """Yield the spans of constant offset that end after `start_s`; none crosses a new year."""
        year = min(max((_EPOCH + timedelta(seconds=start_s)).year, FIRST_YEAR), LAST_YEAR)
        for number in range(year, LAST_YEAR + 1):
            for span in self._year(number):
                if span.end_s > start_s:
                    yield span

    def walls_to_instants(
        self, walls: Callable[[int], Iterator[int]], start_s: int, dst: DstPolicy
    ) -> Iterator[int]:
        """Yield the instants from `start_s` on at which a wall clock shows one of some times.

        `walls(wall_s)` yields those times from `wall_s` on, ascending. So are the instants, each
        once, through every change of the clocks.
        """
        for span in self.spans(start_s):
            before_s = self.offset_s(span.start_s - 1)
            after_s = self.offset_s(span.end_s)
            low_s, high_s = span.start_s + span.offset_s, span.end_s + span.offset_s
            if dst.duplicate == "first":
                low_s = max(low_s, span.start_s + before_s)
            elif dst.duplicate == "last":
                high_s = min(high_s, span.end_s + after_s)
            found: Iterator[int] = (
                wall_s - span.offset_s
                for wall_s in takewhile(high_s.__gt__, walls(max(low_s, start_s + span.offset_s)))
            )
            if before_s < span.offset_s and dst.missing == "shift":
                gap = range(span.start_s + before_s, span.start_s + span.offset_s)
                lost = takewhile(gap.stop.__gt__, walls(max(gap.start, start_s + before_s)))
                moved = [wall_s - before_s for wall_s in lost]
                found = (instant_s for instant_s, _ in groupby(merge(found, moved)))
            yield from found

    def _spans_of(self, year: int) -> tuple[Span, ...]:
        at_s = start_s = _seconds(datetime(year, 1, 1, tzinfo=UTC))
        end_s = _seconds(datetime(year + 1, 1, 1, tzinfo=UTC))
        spans: list[Span] = []
        offset_s = self.offset_s(at_s)
        while at_s < end_s - 1:
            probe_s = min(at_s + 86_400, end_s - 1)
            if self.offset_s(probe_s) != offset_s:
                change_s = self._change(at_s, probe_s, offset_s)
                spans.append(Span(start_s, change_s, offset_s))
                start_s, offset_s = change_s, self.offset_s(change_s)
            at_s = probe_s
        return (*spans, Span(start_s, end_s, offset_s))

    def _change(self, low_s: int, high_s: int, offset_s: int) -> int:
        while high_s - low_s > 1:
            middle_s = (low_s + high_s) // 2
            if self.offset_s(middle_s) == offset_s:
                low_s = middle_s
            else:
                high_s = middle_s
        return high_s


def _whole_s(offset: timedelta | None) -> int:
    return 0 if offset is None else int(offset.total_seconds())


def _seconds(instant: datetime) -> int:
    return int((instant - _EPOCH).total_seconds())
