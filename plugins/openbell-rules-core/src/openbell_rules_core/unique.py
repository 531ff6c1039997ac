"""`unique_key`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from openbell.sdk.arrow import BatchView
from openbell.sdk.rules import RuleContext
from openbell.sdk.values import Finding
from openbell_rules_core.columns import require
from openbell_rules_core.keys import SeriesIndex
from openbell_rules_core.order import Ints, SeriesOrder, order_of
from openbell_rules_core.seen import Numbers, SeenKeys, sorted_keys
from openbell_rules_core.settings import UniqueKeySettings
from openbell_rules_core.tally import Mask, Tally, finding, instant_text


class UniqueKey:
    """Rule `unique_key`: no two rows have the same key; the first one is good, the others are bad.

    Keys with a null among them are passed over. A row later than all rows of its series is new for sure, which
    costs nothing to know; only the others are looked up among the keys seen.
    """

    def __init__(self, settings: UniqueKeySettings) -> None:
        self._settings = settings

    def begin(self, context: RuleContext) -> UniqueKeyState:
        """Return a state that has seen no row."""
        columns = tuple(dict.fromkeys(self._settings.columns or context.keys))
        require(context, "unique_key", columns)
        return UniqueKeyState(context, columns, memory_bytes=self._settings.memory_mb * 1_000_000)


class UniqueKeyState:
    """The keys seen.

    The laws hold while they fit into `memory_mb`: however a stream is cut, bad rows and findings are
    the same, and merging equals observing all, but for the examples: duplicates found by merging have none.
    Beyond, the oldest keys are forgotten, and a finding tells how many rows could not be
    decided: no answer is ever wrong, and none is silently missing.
    """

    def __init__(
        self, context: RuleContext, columns: tuple[str, ...], *, memory_bytes: int
    ) -> None:
        self._context = context
        self._columns = columns
        time = context.schema.time_column
        self._time = time if time in columns else None
        self._series = tuple(name for name in columns if name != self._time)
        self._index = SeriesIndex()
        step_us = context.bar.width_s * 1_000_000
        self._keys = SeenKeys(step_us=step_us, memory_bytes=memory_bytes)
        self._seen = 0
        self._tally = Tally(columns)

    def observe(self, view: BatchView) -> Mask | None:
        """Mark the rows whose key came before."""
        self._seen += view.row_count
        order = order_of(view, self._series, self._time)
        if not len(order.series):
            return None
        table = self._index.number(order.keys, order.series)
        numbers = table[order.series]
        first, last = order.times[order.first], order.times[order.last]
        if order.is_strict and (first > self._keys.latest(numbers)).all():
            if order.sorting is None:
                self._keys.note(table[order.codes], order.times.copy(), series=numbers, last=last)
            else:
                sorting = order.sorting
                self._keys.note(
                    table[order.codes[sorting]], order.times[sorting], series=numbers, last=last
                )
            return None
        rows = np.sort(self._repeated(order, table))
        if not len(rows):
            return None
        places = order.positions(rows)
        self._tally.add_rows(view, places)
        mask = np.zeros(view.row_count, dtype=np.bool_)
        mask[places] = True
        return mask

    def _repeated(self, order: SeriesOrder, table: Numbers) -> Ints:
        """Take in every key of a batch and return the rows that repeat one."""
        numbers = table[order.codes]
        sorting = sorted_keys(numbers, order.times)
        numbers, times = numbers[sorting], order.times[sorting]
        is_same = (numbers[1:] == numbers[:-1]) & (times[1:] == times[:-1])
        is_repeat = np.append([False], is_same)
        heads = np.flatnonzero(~is_repeat)
        is_repeat[heads] = self._keys.add(numbers[heads], times[heads])
        repeats: Ints = sorting[is_repeat]
        return repeats

    def merge(self, later: UniqueKeyState) -> None:
        """Look up every key that `later` saw."""
        names = later._index.numbers
        mapping = np.array([self._index.add(name) for name in names], dtype=np.int32)
        self._seen += later._seen
        self._tally.merge(later._tally)
        self._tally.count += self._keys.merge(later._keys, mapping)

    def conclude(self) -> Sequence[Finding]:
        """Return a finding for repeated keys, and one for rows that could not be decided."""
        found = []
        if self._tally.count:
            demand = f"the key ({', '.join(self._columns)}) came before"
            found.append(
                finding(
                    self._context,
                    self._tally,
                    rule="unique_key",
                    column=self._time or self._columns[0],
                    demand=demand,
                    seen=self._seen,
                )
            )
        undecided = self._keys.undecided_count
        if undecided:
            horizon = instant_text(self._keys.horizon_us)
            found.append(
                Finding(
                    rule="unique_key",
                    severity=self._context.severity,
                    message=f"{undecided:,} rows before {horizon} could not be compared with all "
                    "others: give the rule more memory_mb or rows in order of time",
                    row_count=undecided,
                    metric=float(undecided),
                    threshold=0.0,
                )
            )
        return found
