"""`complete_session`: answered at the end of the interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from openbell.sdk.arrow import BatchView
from openbell.sdk.rules import RuleContext
from openbell.sdk.values import Finding, to_us
from openbell_rules_core.columns import TEXTS, require
from openbell_rules_core.order import Ints
from openbell_rules_core.settings import CompleteSessionSettings
from openbell_rules_core.tally import EXAMPLE_LIMIT

_DAY_US = 86_400_000_000
_EPOCH = date(1970, 1, 1)

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ExpectedBars:
    """Which bars there should be: stretches without a break, in order of time.

    Stretch i has `counts[i]` bars from `starts[i]`, `width_us` apart; they belong to session
    `sessions[i]`, where they are numbered from `firsts[i]`. `totals` counts the bars of each session.
    """

    width_us: int
    starts: Ints
    counts: Ints
    sessions: Ints
    firsts: Ints
    totals: Ints

    @classmethod
    def of(cls, context: RuleContext) -> ExpectedBars:
        """Return the bars of the context's sessions whose time lies in its span."""
        width_us = context.bar.width_s * 1_000_000
        span_end_us = to_us(context.span.end)
        totals = np.zeros(len(context.sessions), dtype=np.int64)
        rows = []
        for session, start_us, end_us in _stretches(context, width_us):
            low = max(0, -((start_us - to_us(context.span.start)) // width_us))
            count = -((start_us - min(end_us, span_end_us)) // width_us) - low
            if count > 0:
                rows.append((start_us + low * width_us, count, session, int(totals[session])))
                totals[session] += count
        rows.sort()
        starts, counts, sessions, firsts = np.array(rows, dtype=np.int64).reshape(-1, 4).T
        return cls(width_us, starts, counts, sessions, firsts, totals)

    def locate(self, times: Ints) -> tuple[Ints, Ints]:
        """Return (session, number of the bar in it) of each time; session -1 where no bar is due."""
        places = np.searchsorted(self.starts, times, side="right") - 1
        is_due = places >= 0
        places = np.maximum(places, 0)
        behind = times - self.starts[places]
        is_due &= (behind % self.width_us == 0) & (behind >= 0)
        steps = behind // self.width_us
        is_due &= steps < self.counts[places]
        return np.where(is_due, self.sessions[places], -1), self.firsts[places] + steps


def _stretches(context: RuleContext, width_us: int) -> Iterator[tuple[int, int, int]]:
    """Yield (session, start, end) of every part of a session without a break."""
    table = context.sessions
    breaks: dict[int, list[tuple[int, int]]] = {}
    for session, start_us, end_us in table.breaks:
        breaks.setdefault(session, []).append((start_us, end_us))
    for session, day in enumerate(table.labels_day):
        if context.bar.is_daily:
            yield session, day * _DAY_US, day * _DAY_US + width_us
            continue
        start_us, close_us = table.opens_us[session], table.closes_us[session]
        for pause_us, resume_us in [*sorted(breaks.get(session, ())), (close_us, close_us)]:
            yield session, start_us, pause_us
            start_us = resume_us


class CompleteSession:
    """Rule `complete_session`: each symbol has the bars that its calendar's sessions should have.

    Expected is a bar every bar width from a session's open (and from the end of a break) to its close,
    as far as it lies in the span; for daily bars one at the session's label. A symbol passes when
    it has at least `min_ratio` of a session's bars, each counted once. Rows of other symbols or
    at other times are not this rule's business.
    """

    def __init__(self, settings: CompleteSessionSettings) -> None:
        self._settings = settings

    def begin(self, context: RuleContext) -> CompleteSessionState:
        """Return a state that has seen no row."""
        require(context, "complete_session", [context.schema.series_column], TEXTS)
        return CompleteSessionState(context, min_ratio=self._settings.min_ratio)


class CompleteSessionState:
    """Which of the expected bars were seen.

    Memory: one byte for each expected bar of a session while batches bring its rows, one bit
    later, nothing once it is complete. The laws hold without exception.
    """

    def __init__(self, context: RuleContext, *, min_ratio: float) -> None:
        self._context = context
        self._min_ratio = min_ratio
        self._expected = ExpectedBars.of(context)
        self._numbers = {symbol: i for i, symbol in enumerate(context.symbols)}
        self._seen: dict[int, Presence] = {}

    def observe(self, view: BatchView) -> None:
        """Note the bars of a batch."""
        if not len(self._expected.starts):
            return
        codes, dictionary = view.codes(self._context.schema.series_column)
        table = [self._numbers.get(name, -1) for name in dictionary.to_pylist()]
        symbols = np.array([*table, -1], dtype=np.int64)[codes]  # a null has code -1: the last
        time = self._context.schema.time_column
        sessions, bars = self._expected.locate(view.values(time))
        is_due = (symbols >= 0) & (sessions >= 0)
        has_time = view.valid(time)
        rows = np.flatnonzero(is_due if has_time is None else is_due & has_time)
        if not len(rows):
            return
        rows = rows[np.argsort(sessions[rows], kind="stable")]
        sessions, symbols, bars = sessions[rows], symbols[rows], bars[rows]
        touched, starts = np.unique(sessions, return_index=True)
        stops = np.append(starts[1:], len(rows))
        for session, low, high in zip(touched.tolist(), starts, stops, strict=True):
            self._of(session).mark(symbols[low:high], bars[low:high])
        for session in self._seen.keys() - set(touched.tolist()):
            self._seen[session].pack()

    def merge(self, later: CompleteSessionState) -> None:
        """Note the bars that `later` saw."""
        for session, presence in later._seen.items():
            self._of(session).merge(presence)

    def _of(self, session: int) -> Presence:
        if session not in self._seen:
            shape = (len(self._numbers), int(self._expected.totals[session]))
            self._seen[session] = Presence(shape)
        return self._seen[session]

    def conclude(self) -> Sequence[Finding]:
        """Return one finding when a symbol has too few bars in some session."""
        examples: list[str] = []
        short_count, missing_count, pair_count, worst = 0, 0, 0, 1.0
        days: list[str] = []
        for session, total in enumerate(self._expected.totals.tolist()):
            if not total:
                continue
            counts = self._of(session).counts() if session in self._seen else None
            if counts is None:
                counts = np.zeros(len(self._numbers), dtype=np.int64)
            pair_count += len(counts)
            short = np.flatnonzero(counts < self._min_ratio * total)
            if not len(short):
                continue
            day = (_EPOCH + timedelta(days=self._context.sessions.labels_day[session])).isoformat()
            days.append(day)
            short_count += len(short)
            missing_count += int((total - counts[short]).sum())
            worst = min(worst, float(counts.min()) / total)
            for symbol in short[: EXAMPLE_LIMIT - len(examples)].tolist():
                name = self._context.symbols[symbol]
                examples.append(f"session={day} symbol={name} bars={counts[symbol]}/{total}")
        if not short_count:
            return []
        listed = ", ".join(days[:5]) + (f" and {len(days) - 5:,} more" if len(days) > 5 else "")
        return [
            Finding(
                rule="complete_session",
                severity=self._context.severity,
                column=self._context.schema.time_column,
                message=f"{missing_count:,} bars are missing: {short_count:,} of {pair_count:,} symbol "
                f"sessions have too few, in {listed}",
                metric=worst,
                threshold=self._min_ratio,
                examples=tuple(examples),
            )
        ]


class Presence:
    """Which bars of one session were seen, as a flag for each symbol and bar.

    Kept as bytes, as bits once packed, and as nothing at all when every bar was seen.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        self._flags: Flags | None = np.zeros(shape, dtype=np.bool_)
        self._bits: npt.NDArray[np.uint8] | None = None

    def mark(self, symbols: Ints, bars: Ints) -> None:
        """Note bars as seen."""
        flags = self._open()
        if flags is not None:
            flags[symbols, bars] = True
            self._close_if_full(flags)

    def merge(self, other: Presence) -> None:
        """Note what `other` saw, and leave `other` as it is."""
        flags, theirs = self._open(), other.flags()
        if flags is not None:
            flags |= theirs
            self._close_if_full(flags)

    def pack(self) -> None:
        """Take an eighth of the memory until the next bar."""
        if self._flags is not None:
            self._bits, self._flags = np.packbits(self._flags), None

    def flags(self) -> Flags:
        """Return the flags, shape (symbols, bars)."""
        if self._flags is not None:
            return self._flags
        if self._bits is None:
            return np.ones(self._shape, dtype=np.bool_)
        size = self._shape[0] * self._shape[1]
        return np.unpackbits(self._bits, count=size).view(np.bool_).reshape(self._shape)

    def counts(self) -> Ints:
        """Return how many bars of each symbol were seen."""
        counts: Ints = self.flags().sum(axis=1)
        return counts

    def _open(self) -> Flags | None:
        if self._bits is not None:
            self._flags, self._bits = self.flags(), None
        return self._flags

    def _close_if_full(self, flags: Flags) -> None:
        if flags.all():
            self._flags = None
