"""`monotonic_time`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from openbell.sdk.arrow import BatchView
from openbell.sdk.rules import RuleContext
from openbell.sdk.values import Finding
from openbell_rules_core.keys import SeriesIndex, SeriesName
from openbell_rules_core.order import Ints, SeriesOrder, order_of
from openbell_rules_core.settings import MonotonicTimeSettings
from openbell_rules_core.tally import EXAMPLE_LIMIT, Mask, instant_text


class MonotonicTime:
    """Rule `monotonic_time`: each row is later than the row before it in its series.

    A series is the dataset's keys without the time. A row that steps back is bad, and the next
    one is compared with it: a break of order counts once. Rows without time or key are passed over.
    """

    def __init__(self, settings: MonotonicTimeSettings) -> None:
        self._settings = settings

    def begin(self, context: RuleContext) -> MonotonicTimeState:
        """Return a state that has seen no row."""
        return MonotonicTimeState(context, strict=self._settings.strict)


@dataclass(frozen=True, slots=True, order=True)
class _Break:
    """A row out of order: its number in the stream, its series and its time."""

    row: int
    series: SeriesName
    time_us: int


class MonotonicTimeState:
    """The first and last time of each series, and the breaks. Memory: a few words a series.

    The laws hold without exception: however a stream is cut, bad rows and findings are the same,
    and merging equals observing all.
    """

    def __init__(self, context: RuleContext, *, strict: bool) -> None:
        self._context = context
        self._strict = strict
        self._time = context.schema.time_column
        self._columns = tuple(key for key in context.keys if key != self._time)
        self._index = SeriesIndex()
        self._first_row = np.empty(0, dtype=np.int64)
        self._first = np.empty(0, dtype=np.int64)
        self._last = np.empty(0, dtype=np.int64)
        self._seen = 0
        self._count = 0
        self._breaks: list[_Break] = []

    def observe(self, view: BatchView) -> Mask | None:
        """Compare each row with the one before it in its series."""
        order = order_of(view, self._columns, self._time)
        numbers = self._index.number(order.keys, order.series)[order.series]
        first, last = order.times[order.first], order.times[order.last]
        known = len(self._last)
        self._grow()
        is_old = numbers < known
        back = order.steps_back(strict=self._strict)
        crossing = np.flatnonzero(is_old)
        is_back = self._is_back(first[crossing], self._last[numbers[crossing]])
        back = np.sort(np.concatenate((back, order.first[crossing[is_back]])))
        is_new = ~is_old
        self._first[numbers[is_new]] = first[is_new]
        self._first_row[numbers[is_new]] = self._seen + order.positions(order.first[is_new])
        self._last[numbers] = last
        mask = self._mark(view, order, back) if len(back) else None
        self._seen += view.row_count
        return mask

    def _grow(self) -> None:
        """Make room for every series that has a number."""
        missing = len(self._index.numbers) - len(self._last)
        self._first, self._first_row, self._last = (
            np.append(array, np.zeros(missing, dtype=np.int64))
            for array in (self._first, self._first_row, self._last)
        )

    def _is_back(self, times: Ints, before: Ints) -> Mask:
        return times <= before if self._strict else times < before

    def _mark(self, view: BatchView, order: SeriesOrder, back: Ints) -> Mask:
        """Count the rows `back` and return them as a mask of the batch."""
        self._count += len(back)
        places = order.positions(back)
        wanted = EXAMPLE_LIMIT - len(self._breaks)
        for kept, place in zip(back[:wanted].tolist(), places[:wanted].tolist(), strict=True):
            name = order.keys.name(int(order.codes[kept]))
            self._breaks.append(_Break(self._seen + place, name, int(order.times[kept])))
        mask = np.zeros(view.row_count, dtype=np.bool_)
        mask[places] = True
        return mask

    def merge(self, later: MonotonicTimeState) -> None:
        """Compare the first row of each of `later`'s series with the last one here."""
        names = list(later._index.numbers)
        their_row, their_first, their_last = later._first_row, later._first, later._last
        known = len(self._last)
        numbers = np.array([self._index.add(name) for name in names], dtype=np.int64)
        self._grow()
        found = [_Break(b.row + self._seen, b.series, b.time_us) for b in later._breaks]
        for theirs, mine in enumerate(numbers.tolist()):
            row = self._seen + int(their_row[theirs])
            if mine >= known:
                self._first[mine], self._first_row[mine] = their_first[theirs], row
            elif self._is_back(their_first[theirs], self._last[mine]):
                found.append(_Break(row, names[theirs], int(their_first[theirs])))
                self._count += 1
            self._last[mine] = their_last[theirs]
        self._count += later._count
        self._seen += later._seen
        found.sort(key=lambda b: b.row)
        self._breaks = (self._breaks + found)[:EXAMPLE_LIMIT]

    def conclude(self) -> Sequence[Finding]:
        """Return one finding when some row stepped back."""
        if not self._count:
            return []
        demand = (
            "not later than the row before it" if self._strict else "earlier than the one before"
        )
        return [
            Finding(
                rule="monotonic_time",
                severity=self._context.severity,
                column=self._time,
                message=f"{self._count:,} of {self._seen:,} rows: {self._time} is {demand}",
                row_count=self._count,
                metric=float(self._count),
                threshold=0.0,
                examples=tuple(self._words(b) for b in self._breaks),
            )
        ]

    def _words(self, one: _Break) -> str:
        parts = [
            f"{column}={value}" for column, value in zip(self._columns, one.series, strict=True)
        ]
        return " ".join([*parts, f"{self._time}={instant_text(one.time_us)}"])
