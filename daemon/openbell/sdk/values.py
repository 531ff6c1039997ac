"""Values that cross the plugin boundary: intervals, bar widths, findings, verdicts, receipts."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from typing_extensions import override

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_WIDTH = re.compile(r"([1-9][0-9]{0,5})(s|min|h|d)")
_UNIT_S = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def to_us(instant: datetime) -> int:
    """Return microseconds since 1970-01-01T00:00Z of an aware `instant`."""
    return (instant - EPOCH) // _MICROSECOND


def from_us(instant_us: int) -> datetime:
    """Return the aware UTC instant that is `instant_us` microseconds after 1970-01-01T00:00Z."""
    return EPOCH + timedelta(microseconds=instant_us)


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """Half-open span of time `[start, end)` between two aware UTC instants, `start < end`."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("an interval's instants must be timezone-aware")
        if not self.start < self.end:
            raise ValueError(f"an interval must not be empty: {self}")

    @override
    def __str__(self) -> str:
        return f"[{self.start.isoformat()}, {self.end.isoformat()})"

    def overlaps(self, other: Interval) -> bool:
        """Return whether some instant lies in both."""
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True, order=True)
class BarWidth:
    """The width of a bar, written `1s`, `5min`, `1h` or `1d`; `width_s` is in seconds.

    A bar of width `1d` is a session of its calendar, not 24 hours.
    """

    width_s: int
    text: str = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> BarWidth:
        """Return the width that `text` writes; raises ValueError with the accepted forms."""
        match = _WIDTH.fullmatch(text)
        if match is None:
            raise ValueError(
                f"bar interval {text!r} is not understood; write a number and one of "
                "s, min, h, d, such as 1min or 1d"
            )
        return cls(int(match[1]) * _UNIT_S[match[2]], text)

    @property
    def is_daily(self) -> bool:
        """Whether bars are whole sessions, labelled by date."""
        return self.width_s >= _UNIT_S["d"]


class Severity(enum.StrEnum):
    """What a finding asks the gate to do, mildest first."""

    WARN = "warn"
    QUARANTINE = "quarantine"
    FAIL = "fail"


class Verdict(enum.StrEnum):
    """A gate's answer, mildest first.

    `pass` and `warn` publish everything, `quarantine` publishes the good rows and holds the
    bad ones, `fail` holds everything.
    """

    PASS = "pass"  # noqa: S105 - the word of the vocabulary, not a password
    WARN = "warn"
    QUARANTINE = "quarantine"
    FAIL = "fail"

    @property
    def rank(self) -> int:
        """Position from mildest (0) to worst (3)."""
        return list(Verdict).index(self)


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the worst of `verdicts`, `pass` for none."""
    return max(verdicts, key=lambda verdict: verdict.rank, default=Verdict.PASS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule found: how many rows, by which measure, and examples to look at.

    `metric` is the measured value that was compared with `threshold` (a share, a count, ...);
    `examples` holds at most ten rows, written for people.
    """

    rule: str
    severity: Severity
    message: str
    column: str = ""
    row_count: int = 0
    metric: float | None = None
    threshold: float | None = None
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedRow:
    """A row that could not become data: where it stands, its raw text, and why.

    `line` counts from 1; `raw` is cut at 2,000 characters by whoever stores it.
    """

    source: str
    line: int
    raw: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Proof of one commit.

    `row_count` rows came in; `written_count` of them changed the table, `unchanged_count` were
    there already (or lost to newer knowledge). `size_bytes` is what was written to disk. `digest` is over the rows
    as given, so the same batch has the same digest on every machine. `version` names the table
    state that first contains the rows and grows with every change; a commit that changed nothing
    carries the version it found. `key` is the idempotency key under which it was made.
    """

    key: str
    dataset: str
    interval: Interval
    row_count: int
    written_count: int
    unchanged_count: int
    size_bytes: int
    digest: str
    version: int
    committed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTable:
    """Sessions of one calendar, as parallel tuples in label order.

    `labels_day` are days since 1970-01-01, `opens_us` and `closes_us` microseconds since the
    epoch. `breaks` holds (session index, start_us, end_us). A CME session opens on the evening
    before its label. `digest` identifies the content.
    """

    calendar: str
    labels_day: tuple[int, ...] = ()
    opens_us: tuple[int, ...] = ()
    closes_us: tuple[int, ...] = ()
    breaks: tuple[tuple[int, int, int], ...] = ()
    digest: str = ""

    def __len__(self) -> int:
        return len(self.labels_day)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something a person should know. `fields` are plain values without secrets."""

    id: str
    at: datetime
    severity: str
    title: str
    text: str
    fields: Mapping[str, str | int | float | bool] = field(default_factory=dict)
