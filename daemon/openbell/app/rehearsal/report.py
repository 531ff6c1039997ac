"""The result of a rehearsal, as plain values for every way of showing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openbell.app.rehearsal.calendar_notes import CalendarNotes
from openbell.app.rehearsal.stage import Span
from openbell.app.rehearsal.waits import Wait
from openbell.app.rehearsal.watcher import Watcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a rehearsal found. The digest is SHA-256 of the timeline's lines."""

    span: Span
    profile: str
    seed: int
    digest: str
    watcher: Watcher
    waits: Mapping[str, Wait]
    calendars: Sequence[CalendarNotes]

    def pipelines(self) -> list[dict[str, Any]]:
        """Return the numbers of each pipeline that fired or ran, by name."""
        tallies = self.watcher.tallies
        return [{"pipeline": name, **tallies[name].plain()} for name in sorted(tallies)]

    def totals(self) -> dict[str, Any]:
        """Return the numbers of all pipelines together."""
        tallies = self.watcher.tallies.values()
        states: Counter[str] = Counter()
        skipped: Counter[str] = Counter()
        for tally in tallies:
            states.update(tally.runs)
            skipped.update(tally.skipped)
        return {
            "pipelines": len(self.watcher.tallies),
            "fires": sum(tally.fires for tally in tallies),
            "runs": sum(states.values()),
            "states": dict(sorted(states.items())),
            "skipped": dict(sorted(skipped.items())),
            "retries": sum(tally.retries for tally in tallies),
            "late_runs": sum(tally.late_runs for tally in tallies),
        }

    def plain(self) -> dict[str, Any]:
        """Return everything but the timeline."""
        return {
            "from": self.span.first.isoformat(),
            "to": self.span.last.isoformat(),
            "profile": self.profile,
            "seed": self.seed,
            "digest": self.digest,
            "totals": self.totals(),
            "pipelines": self.pipelines(),
            "waits": [{"for": what, **self.waits[what].plain()} for what in sorted(self.waits)],
            "calendars": [found.plain() for found in self.calendars],
            "notes": self.watcher.notes,
        }

    def timeline(self) -> Iterator[dict[str, Any]]:
        """Yield what happened, in order of time."""
        return self.watcher.timeline.entries()
