"""The instants at which bars stand: sessions cut into bars, without making them all."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from openbell.sdk.providers import FetchRequest
from openbell.sdk.values import SessionTable, to_us

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Segment:
    """Bars without a break: `count` of them from `start_us`, numbered from `first` in the session."""

    start_us: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class SessionBars:
    """The bars of one session. Wanted are those numbered `low` up to, not including, `high`."""

    day: int
    segments: tuple[Segment, ...]
    bar_count: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Bars `low` up to `high` of one session, which start at `offset` in their page."""

    bars: SessionBars
    low: int
    high: int
    offset: int


class Grid:
    """Every bar time of a request, as positions 0, 1, 2, ... in order of time."""

    def __init__(self, request: FetchRequest) -> None:
        self.width_us = request.interval.width_s * 1_000_000
        self.is_daily = request.interval.is_daily
        self._start_us = to_us(request.span.start)
        self._end_us = to_us(request.span.end)
        self._now_us = to_us(request.now)
        self.sessions: list[SessionBars] = []
        self._offsets: list[int] = []
        self.count = 0
        for bars in _sessions(request.sessions, self):
            self.sessions.append(bars)
            self._offsets.append(self.count)
            self.count += bars.high - bars.low

    def wanted(self, segments: tuple[Segment, ...], *, close_us: int) -> tuple[int, int]:
        """Return which bar numbers of a session lie in the span and are complete.

        A bar is complete when it has ended; a daily bar ends with its session.
        """
        if self.is_daily:
            ts_us = segments[0].start_us
            is_due = self._start_us <= ts_us < self._end_us and close_us <= self._now_us > ts_us
            return (0, int(is_due))
        end_us = min(self._end_us, self._now_us - self.width_us + 1)
        return (self._number(segments, self._start_us), self._number(segments, end_us))

    def _number(self, segments: tuple[Segment, ...], instant_us: int) -> int:
        """Return the number of the first bar that starts at or after `instant_us`."""
        for segment in segments:
            behind = -((segment.start_us - instant_us) // self.width_us)
            if behind < segment.count:
                return segment.first + max(0, behind)
        return segments[-1].first + segments[-1].count

    def position(self, instant_us: int) -> int:
        """Return the position of the first bar at or after `instant_us`."""
        index = bisect.bisect_right(self.sessions, instant_us, key=lambda s: s.segments[0].start_us)
        if index == 0:
            return 0
        bars = self.sessions[index - 1]
        number = min(max(self._number(bars.segments, instant_us), bars.low), bars.high)
        return self._offsets[index - 1] + number - bars.low

    def pieces(self, start: int, stop: int) -> list[Piece]:
        """Return the parts of sessions that positions `start` up to `stop` cover."""
        found = []
        index = bisect.bisect_right(self._offsets, start) - 1
        position = start
        while position < stop:
            bars = self.sessions[index]
            low = bars.low + position - self._offsets[index]
            high = min(bars.high, low + stop - position)
            found.append(Piece(bars, low, high, position - start))
            position += high - low
            index += 1
        return found

    def times(self, piece: Piece) -> npt.NDArray[np.int64]:
        """Return the times of a piece's bars, microseconds."""
        parts: list[npt.NDArray[Any]] = []
        for segment in piece.bars.segments:
            low = max(piece.low, segment.first) - segment.first
            high = min(piece.high, segment.first + segment.count) - segment.first
            if low < high:
                numbers = np.arange(low, high, dtype=np.int64)
                parts.append(segment.start_us + numbers * self.width_us)
        return np.concatenate(parts)


def _sessions(table: SessionTable, grid: Grid) -> list[SessionBars]:
    breaks: dict[int, list[tuple[int, int]]] = {}
    for index, start_us, end_us in table.breaks:
        breaks.setdefault(index, []).append((start_us, end_us))
    found = []
    for index, day in enumerate(table.labels_day):
        close_us = table.closes_us[index]
        if grid.is_daily:
            segments: tuple[Segment, ...] = (Segment(day * DAY_US, 0, 1),)
        else:
            open_us = table.opens_us[index]
            segments = _cut(open_us, close_us, breaks.get(index, ()), width_us=grid.width_us)
        bar_count = sum(segment.count for segment in segments)
        low, high = grid.wanted(segments, close_us=close_us)
        if low < high:
            found.append(SessionBars(day, segments, bar_count, low, high))
    return found


def _cut(
    open_us: int, close_us: int, breaks: list[tuple[int, int]] | tuple[()], *, width_us: int
) -> tuple[Segment, ...]:
    """Return the segments of a session; bars start anew after a break, the last may be cut."""
    segments = []
    start_us, first = open_us, 0
    for pause_us, resume_us in [*sorted(breaks), (close_us, close_us)]:
        count = -((start_us - pause_us) // width_us)
        if count > 0:
            segments.append(Segment(start_us, first, count))
            first += count
        start_us = resume_us
    return tuple(segments)
