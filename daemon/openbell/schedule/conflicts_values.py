"""What a look ahead works on and what it finds. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Literal, NamedTuple

from openbell.calendars.table import from_day
from openbell.model.pipelines import Pipeline
from openbell.schedule.durations import DAY_US, SECOND_US
from openbell.schedule.grammar import Anchored, Schedule

Kind = Literal[
    "writers", "early", "never_produced", "pool", "budget", "horizon", "calendar", "fires"
]
Severity = Literal["conflict", "note"]

MOST_DATES = 5
MOST_WEEKS = 10
_ROUND_US = 300 * SECOND_US


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLength:
    """How long a run of a pipeline takes, in seconds, None when nobody knows, and who says so."""

    seconds: float | None = None
    source: Literal["history", "declared", "rehearsal", "unknown"] = "unknown"

    @property
    def us(self) -> int:
        """Microseconds; of what is unknown one, so that only equal instants meet."""
        return 1 if self.seconds is None else max(1, round(self.seconds * SECOND_US))

    @property
    def text(self) -> str:
        """What people are told."""
        if self.seconds is None:
            return "its duration is unknown"
        words = {"history": "by its last runs", "declared": "as declared"}
        return f"{span_text(self.us)} {words.get(self.source, 'by its rehearsal')}"


class Run(NamedTuple):
    """A run that will be: `[start_us, end_us)`, and the session it is about, if it is about one.

    `is_stale` says that the daemon would take it for an older session's: it comes before that
    session's close.
    """

    start_us: int
    end_us: int
    pipeline: str
    day: int | None
    is_stale: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The runs of one pipeline in order of time, and the schedules that they come from.

    They are all there is to the day `known_to` (days since 1970).
    """

    pipeline: Pipeline
    schedules: tuple[Schedule, ...]
    length: RunLength
    runs: Sequence[Run]
    known_to: int

    def within(self, start_us: int, end_us: int) -> Plan:
        """Return the plan with only the runs that begin in `[start_us, end_us)`."""
        return replace(self, runs=[r for r in self.runs if start_us <= r.start_us < end_us])


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Something that will not go as planned, what it is about, and what to do.

    `count` is on how many days (or at how many moments) it happens; `first` are the first of
    them, `weeks` the Mondays of the first weeks. A `note` is no fault: it happens as it is written.
    """

    kind: Kind
    severity: Severity
    pipelines: tuple[str, ...]
    about: Mapping[str, str] = field(default_factory=dict)
    count: int = 0
    first: tuple[date, ...] = ()
    weeks: tuple[date, ...] = ()
    message: str = ""
    fix: str = ""


def dated(conflict: Conflict, days: Iterable[int]) -> Conflict:
    """Return a conflict with when it happens; `days` counts from 1970, once for each time."""
    every = sorted(days)
    labels = [from_day(day) for day in dict.fromkeys(every)]
    mondays = dict.fromkeys(label - timedelta(days=label.weekday()) for label in labels)
    return replace(
        conflict,
        count=len(every),
        first=tuple(labels[:MOST_DATES]),
        weeks=tuple(mondays)[:MOST_WEEKS],
    )


def length_of(pipeline: Pipeline, samples_s: Sequence[float] = ()) -> RunLength:
    """Return how long a run takes: by its last runs, else as declared, else as rehearsed."""
    if samples_s:
        return RunLength(seconds=p95(samples_s), source="history")
    if pipeline.expected_s is not None:
        return RunLength(seconds=pipeline.expected_s, source="declared")
    rehearsed_s = sum(node.duration_s for node in pipeline.rehearsal.values())
    if rehearsed_s > 0:
        return RunLength(seconds=rehearsed_s, source="rehearsal")
    return RunLength()


def p95(samples: Sequence[float]) -> float:
    """Return the sample that 95 of 100 do not exceed (nearest rank); at least one is given."""
    return sorted(samples)[math.ceil(len(samples) * 0.95) - 1]


def span_text(span_us: int) -> str:
    """Return a duration as people write it, to the second, rounded up."""
    left_s = -(-span_us // SECOND_US)
    parts: list[str] = []
    for unit, size_s in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left_s = divmod(left_s, size_s)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def later(schedule: Schedule, by_us: int) -> str | None:
    """Return the text of a schedule that fires so much later, to whole five minutes; or None."""
    trigger = schedule.trigger
    if not isinstance(trigger, Anchored):
        return None
    rounded_us = -(-by_us // _ROUND_US) * _ROUND_US
    return replace(
        schedule, trigger=replace(trigger, offset_us=trigger.offset_us + rounded_us)
    ).text


def day_of(instant_us: int) -> int:
    """Return the UTC day of an instant, in days since 1970."""
    return instant_us // DAY_US
