"""Which keys were seen: exact, and small while times come in order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from openbell_rules_core.order import Ints

Numbers = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]

_PENDING_ROWS = 1 << 21
_NEVER = np.iinfo(np.int64).min
_RUN_SIZE = 20  # bytes: number, start, count


def grouped(numbers: Numbers) -> Ints:
    """Return the order that sorts rows by series and keeps the order within one."""
    is_narrow = not len(numbers) or numbers.max() < 2**15
    narrow = numbers.astype(np.int16) if is_narrow else numbers  # int16 is sorted by radix
    return np.argsort(narrow, kind="stable")


def sorted_keys(numbers: Numbers, times: Ints) -> Ints:
    """Return the order that sorts rows by (series, time) and keeps the order of equal keys."""
    by_time = np.argsort(times, kind="stable")
    order: Ints = by_time[grouped(numbers[by_time])]
    return order


class Stretches:
    """Keys (series, time) as stretches: `counts` times from `starts`, one `step` apart.

    Sorted by (series, start); stretches of a series do not overlap. A session of bars without gaps
    is one stretch, so a year of minutes of one symbol takes 5 kB and not 800.
    """

    def __init__(self, numbers: Numbers, starts: Ints, counts: Ints, step: int) -> None:
        self.numbers, self.starts, self.counts, self.step = numbers, starts, counts, step

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def of(cls, numbers: Numbers, times: Ints, step: int) -> Stretches:
        """Return stretches of keys that are sorted by (series, time) and differ."""
        return cls(numbers, times, np.ones(len(times), dtype=np.int64), step).joined()

    def joined(self) -> Stretches:
        """Return the same keys with stretches that touch made one."""
        if not len(self):
            return self
        stops = self.starts + self.counts * self.step
        is_head = np.ones(len(self), dtype=np.bool_)
        np.not_equal(self.starts[1:], stops[:-1], out=is_head[1:])
        is_head[1:] |= self.numbers[1:] != self.numbers[:-1]
        heads = np.flatnonzero(is_head)
        counts = np.add.reduceat(self.counts, heads)
        return Stretches(self.numbers[heads], self.starts[heads], counts, self.step)

    def followed_by(self, later: Stretches) -> Stretches:
        """Return the keys of both; each series' times in `later` are later than those here."""
        numbers = np.concatenate((self.numbers, later.numbers))
        order = grouped(numbers)
        starts = np.concatenate((self.starts, later.starts))[order]
        counts = np.concatenate((self.counts, later.counts))[order]
        return Stretches(numbers[order], starts, counts, self.step).joined()

    def bounds(self, numbers: Numbers) -> tuple[Ints, Ints]:
        """Return where the stretches of each series begin and end."""
        return (
            np.searchsorted(self.numbers, numbers, side="left"),
            np.searchsorted(self.numbers, numbers, side="right"),
        )

    def contains(self, bounds: tuple[int, int], times: Ints) -> Mask:
        """Return which of `times` are here for the series whose stretches lie within `bounds`."""
        low, high = bounds
        if low == high:
            return np.zeros(len(times), dtype=np.bool_)
        places = self.starts[low:high].searchsorted(times, side="right") - 1
        has_place = places >= 0
        places = np.maximum(places, 0) + low
        steps, rest = np.divmod(times - self.starts[places], self.step)
        found: Mask = has_place & (rest == 0) & (steps >= 0)  # below zero: the difference wrapped
        found &= steps < self.counts[places]
        return found

    def keys(self) -> tuple[Numbers, Ints]:
        """Return every key."""
        ends = np.cumsum(self.counts)
        within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(
            ends - self.counts, self.counts
        )
        times = np.repeat(self.starts, self.counts) + within * self.step
        return np.repeat(self.numbers, self.counts), times

    def since(self, instant: int) -> Stretches:
        """Return the stretches that start at `instant` or later."""
        is_kept = self.starts >= instant
        return Stretches(
            self.numbers[is_kept], self.starts[is_kept], self.counts[is_kept], self.step
        )


class SeenKeys:
    """Every key given so far, as far as `memory_bytes` allow.

    Keys later than all of their series are the rule: they are noted as they come and folded into
    stretches two million at a time. The others are looked up, and those not found are kept one by
    one, 8 bytes each. When all of it outgrows the memory, the older half of time is forgotten;
    a key older than `horizon_us` can then not be decided, and is counted in `undecided_count`.
    """

    def __init__(self, *, step_us: int, memory_bytes: int) -> None:
        self.horizon_us = _NEVER
        self.undecided_count = 0
        self.forgotten_count = 0
        self._step = step_us
        self._memory = memory_bytes
        self._latest = np.empty(0, dtype=np.int64)
        self._pending: list[tuple[Numbers, Ints]] = []
        self._pending_rows = 0
        self._levels: list[Stretches] = []
        self._others: dict[int, Ints] = {}

    def latest(self, numbers: Numbers) -> Ints:
        """Return the latest time of each series; a time before all times when it has none."""
        missing = int(numbers.max()) + 1 - len(self._latest) if len(numbers) else 0
        if missing > 0:
            self._latest = np.append(self._latest, np.full(missing, _NEVER))
        return self._latest[numbers]

    def note(self, numbers: Numbers, times: Ints, *, series: Numbers, last: Ints) -> None:
        """Take in keys that are later than all before of their series, each series in order.

        `last` is the time of the last one of each of `series`.
        """
        self._latest[series] = last
        self._pending.append((numbers, times))
        self._pending_rows += len(times)
        if self._pending_rows >= min(_PENDING_ROWS, self._memory // 48):  # a quarter of the memory
            self._fold()

    def add(self, numbers: Numbers, times: Ints) -> Mask:
        """Take in keys sorted by (series, time) that differ; return which were here before."""
        is_late = times <= self.latest(numbers)
        is_known = np.zeros(len(times), dtype=np.bool_)
        late = np.flatnonzero(is_late)
        if len(late):
            self._fold()
            is_known[late] = self._find_or_keep(numbers[late], times[late])
        fresh = ~is_late
        numbers, times = numbers[fresh], times[fresh]
        is_last = np.append(numbers[1:] != numbers[:-1], [True])[: len(numbers)]
        self.note(numbers, times, series=numbers[is_last], last=times[is_last])
        return is_known

    def merge(self, later: SeenKeys, mapping: Numbers) -> int:
        """Take in every key of `later`, whose series i is `mapping[i]` here; return how many were known."""
        later._fold()
        parts = [level.keys() for level in later._levels]
        parts += [
            (np.full(len(times), number, dtype=np.int32), times)
            for number, times in later._others.items()
        ]
        known = 0
        for theirs, times in parts:
            numbers = mapping[theirs]
            order = sorted_keys(numbers, times)
            known += int(np.count_nonzero(self.add(numbers[order], times[order])))
        self.undecided_count += later.undecided_count + later.forgotten_count
        return known

    def _find_or_keep(self, numbers: Numbers, times: Ints) -> Mask:
        """Return which of the keys were seen; keep the others. Sorted by (series, time)."""
        known = np.zeros(len(times), dtype=np.bool_)
        is_undecided = times < self.horizon_us
        self.undecided_count += int(np.count_nonzero(is_undecided))
        heads = np.append([0], np.flatnonzero(numbers[1:] != numbers[:-1]) + 1)
        stops = np.append(heads[1:], len(numbers))
        bounds = [level.bounds(numbers[heads]) for level in self._levels]
        for i, (low, high) in enumerate(zip(heads.tolist(), stops.tolist(), strict=True)):
            number, wanted = int(numbers[low]), times[low:high]
            others = self._others.get(number, times[:0])
            found = _is_among(others, wanted)
            for level, (lows, highs) in zip(self._levels, bounds, strict=True):
                found |= level.contains((int(lows[i]), int(highs[i])), wanted)
            known[low:high] = found
            fresh = wanted[~found & ~is_undecided[low:high]]
            merged = np.concatenate((others, fresh))
            merged.sort(kind="stable")  # two sorted parts: merged, not sorted anew
            self._others[number] = merged
        return known

    def _fold(self) -> None:
        """Make stretches of what was noted, and forget the oldest when there is too much."""
        if self._pending:
            numbers = np.concatenate([part for part, _ in self._pending])
            times = np.concatenate([part for _, part in self._pending])
            self._pending, self._pending_rows = [], 0
            order = grouped(numbers)
            self._levels.append(Stretches.of(numbers[order], times[order], self._step))
            while len(self._levels) > 1 and len(self._levels[-2]) < 2 * len(self._levels[-1]):
                last = self._levels.pop()
                self._levels.append(self._levels.pop().followed_by(last))
        if self._size() > self._memory:
            self._forget()

    def _size(self) -> int:
        stretches = sum(len(level) for level in self._levels)
        return _RUN_SIZE * stretches + 8 * sum(len(times) for times in self._others.values())

    def _forget(self) -> None:
        """Drop the older half of time."""
        every = [level.starts for level in self._levels] + list(self._others.values())
        self.horizon_us = int(np.median(np.concatenate(every)))
        before = self._key_count()
        self._levels = [level.since(self.horizon_us) for level in self._levels]
        self._others = {
            number: times[times >= self.horizon_us] for number, times in self._others.items()
        }
        self.forgotten_count += before - self._key_count()

    def _key_count(self) -> int:
        stretches = sum(int(level.counts.sum()) for level in self._levels)
        return stretches + sum(len(times) for times in self._others.values())


def _is_among(ordered: Ints, wanted: Ints) -> Mask:
    if not len(ordered):
        return np.zeros(len(wanted), dtype=np.bool_)
    places = np.minimum(ordered.searchsorted(wanted), len(ordered) - 1)
    found: Mask = ordered[places] == wanted
    return found
