"""Numbers of a rehearsal, a pipeline at a time: what a person wants to read."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

LATE_S = 60.0
"""A run is late when it begins more than this after its fire was due."""

_FIRST = 3


@dataclass(slots=True)
class Failure:
    """One run that failed."""

    at: datetime
    session: str | None
    node: str
    error: str


@dataclass(slots=True)
class Queue:
    """Those who wait, and when they were most."""

    length: int = 0
    longest: int = 0
    longest_at: datetime | None = None

    def join(self, at: datetime) -> None:
        """One more waits."""
        self.length += 1
        if self.length > self.longest:
            self.longest, self.longest_at = self.length, at

    def leave(self) -> None:
        """One waits no more."""
        self.length -= 1


@dataclass(slots=True)
class Tally:
    """One pipeline's year. Durations are seconds from a run's start to its end."""

    fires: int = 0
    runs: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    retried_runs: int = 0
    retries: int = 0
    late_runs: int = 0
    latest_s: float = 0.0
    queue: Queue = field(default_factory=Queue)
    durations_s: array[float] = field(default_factory=lambda: array("d"))
    failures: list[Failure] = field(default_factory=list)

    def ran(self, state: str, duration_s: float, *, retries: int) -> None:
        """Count a run that ended."""
        self.runs[state] = self.runs.get(state, 0) + 1
        self.durations_s.append(duration_s)
        self.retries += retries
        self.retried_runs += bool(retries)

    def began(self, late_s: float) -> None:
        """Count how late a run began."""
        self.late_runs += late_s > LATE_S
        self.latest_s = max(self.latest_s, late_s)

    def skip(self, reason: str) -> None:
        """Count a fire that began no run."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1

    def fail(self, failure: Failure) -> None:
        """Keep the first failures."""
        if len(self.failures) < _FIRST:
            self.failures.append(failure)

    def percentile_s(self, share: float) -> float:
        """Return the duration that this share of the runs does not exceed, 0 without runs."""
        if not self.durations_s:
            return 0.0
        ordered = sorted(self.durations_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def plain(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        return {
            "fires": self.fires,
            "runs": sum(self.runs.values()),
            "states": dict(sorted(self.runs.items())),
            "skipped": dict(sorted(self.skipped.items())),
            "retried_runs": self.retried_runs,
            "retries": self.retries,
            "late_runs": self.late_runs,
            "latest_start_s": round(self.latest_s, 6),
            "p50_s": round(self.percentile_s(0.5), 6),
            "p95_s": round(self.percentile_s(0.95), 6),
            "longest_queue": self.queue.longest,
            "longest_queue_at": self.queue.longest_at,
            "first_failures": [
                {
                    "at": failure.at,
                    "session": failure.session,
                    "node": failure.node,
                    "error": failure.error,
                }
                for failure in self.failures
            ],
        }
