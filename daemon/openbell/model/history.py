"""What the rest of the daemon asks of history; `openbell.history` and the in-memory one answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from openbell.model.calendars import OverlayRecord
from openbell.model.events import Event, StoredEvent
from openbell.model.graph_history import GraphHistory
from openbell.model.letters import DeadLetter, Decision, LetterFilter
from openbell.model.runs import (
    AttemptRecord,
    Checkpoint,
    NodeRecord,
    OpenRun,
    QualityRecord,
    RunRecord,
    RunState,
    StoredLogLine,
    WorkflowRecord,
)
from openbell.model.schedules import FireRecord, ScheduleRecord


class RecordRefusedError(Exception):
    """History does not take this event, and took nothing of the call it came with."""

    def __init__(self, event_name: str, reason: str) -> None:
        super().__init__(f"{event_name} is refused: {reason}")
        self.event_name = event_name
        self.reason = reason


class DuplicateSubmissionError(RecordRefusedError):
    """The idempotency key is known: `run_id` is the first run that was submitted under it."""

    def __init__(self, run_id: str) -> None:
        super().__init__("run.submitted", f"its idempotency key already stands for {run_id}")
        self.run_id = run_id


class DuplicateFireError(RecordRefusedError):
    """This fire of the pipeline was decided before, or so long ago that it was forgotten."""

    def __init__(self, pipeline: str, identity: str) -> None:
        super().__init__("fire.decided", f"fire {identity} of {pipeline!r} was decided before")
        self.pipeline = pipeline
        self.identity = identity


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs to list, newest first. `before` is a run id: only older ones (cursor paging)."""

    pipeline: str | None = None
    job_id: str | None = None
    states: tuple[RunState, ...] = ()
    before: str | None = None
    limit: int = 50


@runtime_checkable
class ImmediateHistory(Protocol):
    """A history that has nothing to wait for: one that is gone with its process."""

    def record_now(self, *events: Event) -> tuple[StoredEvent, ...]:
        """Apply durable `events`, all or none, before anything else happens; see `History.record`."""
        ...


class History(GraphHistory, Protocol):
    """The record of everything that was accepted and what became of it."""

    async def record(self, *events: Event) -> tuple[StoredEvent, ...]:
        """Apply durable `events` in one transaction; they are on disk when this returns.

        Returns them as stored, in order. Recording the same submission, checkpoint or step twice is refused by
        a constraint or changes nothing; it never applies half. Raises DuplicateSubmissionError for a known
        idempotency key, IllegalStepError for a step that a life cycle does not have, and
        RecordRefusedError for what history cannot place.
        """
        ...

    async def run(self, run_id: str) -> RunRecord | None:
        """Return a run, or None."""
        ...

    async def runs(self, wanted: RunFilter) -> Sequence[RunRecord]:
        """Return runs, newest first."""
        ...

    async def durations(self, pipeline: str, *, limit: int = 100) -> Sequence[float]:
        """Return how long the newest successful runs of `pipeline` took, in seconds, newest first.

        Dry runs do not count.
        """
        ...

    async def node_durations(
        self, pipeline: str, *, limit: int = 20
    ) -> Mapping[str, Sequence[float]]:
        """Return how long nodes took in the newest successful runs of `pipeline`, in seconds.

        By node, newest run first; those that a run did not do itself do not count.
        """
        ...

    async def submission(self, idempotency_key: str) -> RunRecord | None:
        """Return the first run that was submitted under this key, or None."""
        ...

    async def nodes(self, run_id: str) -> Sequence[NodeRecord]:
        """Return a run's nodes in definition order."""
        ...

    async def attempts(
        self, run_id: str, node: str | None = None, *, item: int | None = None
    ) -> Sequence[AttemptRecord]:
        """Return attempts, oldest first, of a run or of one of its nodes.

        Of nodes with `for_each` only what runs, or with `item` all attempts at that item of `node`.
        """
        ...

    async def checkpoint(self, run_id: str, node: str) -> Checkpoint | None:
        """Return how far the run's source `node` came, or None before its first chunk."""
        ...

    async def logs(
        self,
        run_id: str,
        *,
        node: str | None = None,
        item: int | None = None,
        after_id: int = 0,
        limit: int = 1000,
    ) -> Sequence[StoredLogLine]:
        """Return log lines after `after_id`, oldest first; `item` is the number of one of `node`.

        A page ends early as one of events does.
        """
        ...

    async def quality(self, run_id: str) -> Sequence[QualityRecord]:
        """Return what the run's gates found, oldest first."""
        ...

    async def events(
        self, *, after_id: int = 0, limit: int = 1000, run_id: str | None = None
    ) -> Sequence[StoredEvent]:
        """Return stored events after `after_id`, oldest first; fewer than `limit` where they are large.

        There are no more when there are none.
        """
        ...

    async def last_event_id(self) -> int:
        """Return the id of the newest stored event, 0 for none."""
        ...

    async def workflow(self, name: str, version: int | None = None) -> WorkflowRecord | None:
        """Return one version of a definition, the newest by default."""
        ...

    async def workflows(self) -> Sequence[WorkflowRecord]:
        """Return the newest version of every definition, by name."""
        ...

    async def lineage(self, dataset: str, *, limit: int = 100) -> Sequence[Mapping[str, Any]]:
        """Return the newest commits into `dataset`: run, node, interval, rows, digest, version."""
        ...

    async def overlays(self) -> Sequence[OverlayRecord]:
        """Return corrections made by hand, oldest first, with those that were taken back."""
        ...

    async def schedules(self, *, with_removed: bool = False) -> Sequence[ScheduleRecord]:
        """Return schedules by pipeline and meaning."""
        ...

    async def pauses(self) -> frozenset[str]:
        """Return the pipelines that somebody paused."""
        ...

    async def fires(
        self, *, pipeline: str | None = None, limit: int = 100, before: str | None = None
    ) -> Sequence[FireRecord]:
        """Return decided fires, newest decision first, those behind the cursor `before`."""
        ...

    async def last_fires(self) -> Sequence[FireRecord]:
        """Return the newest decided fire, by when it was due, of each schedule in force."""
        ...

    async def fires_ahead(self, now: datetime) -> Sequence[tuple[str, str]]:
        """Return (schedule id, identity) of fires that are decided beyond what their schedules say.

        Those are due after the schedule's `decided_until`, or after `now` where that is earlier.
        """
        ...

    async def fires_within(
        self, schedule_id: str, after: datetime, until: datetime
    ) -> frozenset[str]:
        """Return the identities of a schedule's decided fires that were due in `(after, until]`."""
        ...

    async def open_runs(
        self, *, pipeline: str | None = None, after: str = "", limit: int = 1000
    ) -> Sequence[OpenRun]:
        """Return runs that have not ended, oldest first, those behind the run id `after`.

        However many they are, that is three statements.
        """
        ...

    async def dead_letter(self, letter_id: str) -> DeadLetter | None:
        """Return a dead letter, or None."""
        ...

    async def dead_letters(self, wanted: LetterFilter) -> Sequence[DeadLetter]:
        """Return dead letters, newest first; a page ends early as one of events does."""
        ...

    async def decisions(
        self,
        *,
        run_id: str | None = None,
        pipeline: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[Decision]:
        """Return decisions about a run, or about a pipeline and its runs, or all; newest first.

        `before` is the id of a decision: only older ones.
        """
        ...

    async def metrics(self) -> Mapping[str, Any]:
        """Return totals: runs by state, rows written, batches, size of the database in bytes."""
        ...

    async def prune(self, *, before: datetime, keep_runs: int) -> int:
        """Delete finished runs older than `before` or beyond the newest `keep_runs`; return how many."""
        ...
