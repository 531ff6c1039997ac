"""A history in memory: the twin of the one on disk, for tests of what stands on history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import anyio.lowlevel

from openbell.model import events as ev
from openbell.model.bodies import decode_body, encode_event, event_pipeline, event_run_id
from openbell.model.calendars import OverlayRecord
from openbell.model.history import RunFilter
from openbell.model.runs import (
    AttemptRecord,
    Checkpoint,
    NodeRecord,
    QualityRecord,
    RunRecord,
    RunState,
    StoredLogLine,
    WorkflowRecord,
)
from openbell.testing.memory_tables import Tables, apply


class MemoryHistory:
    """`History` for tests: all or nothing like the real one, and gone with the object.

    `failures` are raised by the next calls of `record`, one each, and nothing is recorded then.
    """

    def __init__(self) -> None:
        self._tables = Tables()
        self.failures: list[Exception] = []

    async def record(self, *events: ev.Event) -> tuple[ev.StoredEvent, ...]:
        """Apply `events`, all or none."""
        await anyio.lowlevel.checkpoint()
        if self.failures:
            raise self.failures.pop(0)
        tables = self._tables.copy()
        stored = tuple(_append(tables, apply(tables, event)) for event in events)
        self._tables = tables
        return stored

    async def run(self, run_id: str) -> RunRecord | None:
        """Return a run, or None."""
        return self._tables.runs.get(run_id)

    async def runs(self, wanted: RunFilter) -> Sequence[RunRecord]:
        """Return runs, newest first."""
        found = [run for run in self._tables.runs.values() if _is_wanted(run, wanted)]
        return sorted(found, key=lambda run: run.run_id, reverse=True)[: wanted.limit]

    async def submission(self, idempotency_key: str) -> RunRecord | None:
        """Return the first run that was submitted under this key, or None."""
        return self._tables.runs.get(self._tables.keys.get(idempotency_key, ""))

    async def nodes(self, run_id: str) -> Sequence[NodeRecord]:
        """Return a run's nodes in definition order."""
        return [node for node in self._tables.nodes.values() if node.run_id == run_id]

    async def attempts(self, run_id: str, node: str | None = None) -> Sequence[AttemptRecord]:
        """Return attempts, oldest first."""
        of_run = [a for a in self._tables.attempts.values() if a.run_id == run_id]
        return [attempt for attempt in of_run if node in {None, attempt.node}]

    async def checkpoint(self, run_id: str, node: str) -> Checkpoint | None:
        """Return how far the run's source came, or None."""
        return self._tables.checkpoints.get((run_id, node))

    async def logs(
        self, run_id: str, *, node: str | None = None, after_id: int = 0, limit: int = 1000
    ) -> Sequence[StoredLogLine]:
        """Return log lines after `after_id`, oldest first."""
        of_run = [stored for owner, stored in self._tables.logs if owner == run_id]
        wanted = [s for s in of_run if s.id > after_id and node in {None, s.node}]
        return wanted[:limit]

    async def quality(self, run_id: str) -> Sequence[QualityRecord]:
        """Return what the run's gates found, oldest first."""
        return [finding for finding in self._tables.findings if finding.run_id == run_id]

    async def events(
        self, *, after_id: int = 0, limit: int = 1000, run_id: str | None = None
    ) -> Sequence[ev.StoredEvent]:
        """Return stored events after `after_id`, oldest first."""
        newer = [event for event in self._tables.events if event.id > after_id]
        return [event for event in newer if run_id in {None, event.run_id}][:limit]

    async def last_event_id(self) -> int:
        """Return the id of the newest event that was ever stored, 0 for none."""
        return self._tables.last_id.get("events", 0)

    async def workflow(self, name: str, version: int | None = None) -> WorkflowRecord | None:
        """Return one version of a definition, the newest by default."""
        if version is None:
            return self._tables.newest_version(name)
        return self._tables.workflows.get((name, version))

    async def workflows(self) -> Sequence[WorkflowRecord]:
        """Return the newest version of every definition, by name."""
        names = sorted({name for name, _ in self._tables.workflows})
        newest = [self._tables.newest_version(name) for name in names]
        return [found for found in newest if found is not None]

    async def lineage(self, dataset: str, *, limit: int = 100) -> Sequence[Mapping[str, Any]]:
        """Return the newest commits into `dataset`."""
        commits = [row for row in self._tables.commits.values() if row["dataset"] == dataset]
        return commits[::-1][:limit]

    async def overlays(self) -> Sequence[OverlayRecord]:
        """Return corrections made by hand, oldest first."""
        return sorted(
            self._tables.overlays.values(), key=lambda found: (found.added_at, found.overlay_id)
        )

    async def metrics(self) -> Mapping[str, Any]:
        """Return totals; the database has no bytes."""
        states = [run.state for run in self._tables.runs.values()]
        return {
            "runs": {state.value: states.count(state) for state in RunState},
            "rows_written": sum(n.totals.rows_written for n in self._tables.nodes.values()),
            "batches": sum(self._tables.batch_counts.values()),
            "log_lines_dropped": sum(dropped for _, dropped in self._tables.log_sizes.values()),
            "database_bytes": 0,
        }

    async def prune(self, *, before: datetime, keep_runs: int) -> int:
        """Forget finished runs older than `before` or beyond the newest `keep_runs`."""
        tables = self._tables.copy()
        newest = sorted(tables.runs, reverse=True)[: max(0, keep_runs)]
        gone = {
            run.run_id
            for run in tables.runs.values()
            if run.finished_at is not None
            and (run.finished_at < before or run.run_id not in newest)
        }
        _forget(tables, gone)
        tables.events = [e for e in tables.events if e.run_id is not None or e.at >= before]
        self._tables = tables
        return len(gone)


def _append(tables: Tables, event: ev.Event) -> ev.StoredEvent:
    stored = ev.StoredEvent(
        id=tables.next_id("events"),
        at=event.at,
        name=event.name,
        run_id=event_run_id(event),
        pipeline=event_pipeline(event),
        body=decode_body(encode_event(event)),
    )
    tables.events.append(stored)
    return stored


def _is_wanted(run: RunRecord, wanted: RunFilter) -> bool:
    return (
        wanted.pipeline in {None, run.pipeline}
        and wanted.job_id in {None, run.job_id}
        and (not wanted.states or run.state in wanted.states)
        and (wanted.before is None or run.run_id < wanted.before)
    )


def _forget(tables: Tables, gone: set[str]) -> None:
    tables.runs = {k: v for k, v in tables.runs.items() if k not in gone}
    tables.keys = {k: v for k, v in tables.keys.items() if v not in gone}
    tables.nodes = {k: v for k, v in tables.nodes.items() if k[0] not in gone}
    tables.attempts = {k: v for k, v in tables.attempts.items() if v.run_id not in gone}
    tables.checkpoints = {k: v for k, v in tables.checkpoints.items() if k[0] not in gone}
    tables.batch_counts = {k: v for k, v in tables.batch_counts.items() if k not in gone}
    tables.commits = {k: v for k, v in tables.commits.items() if v["run_id"] not in gone}
    tables.log_sizes = {k: v for k, v in tables.log_sizes.items() if k[0] not in gone}
    tables.findings = [found for found in tables.findings if found.run_id not in gone]
    tables.logs = [(owner, line) for owner, line in tables.logs if owner not in gone]
    tables.events = [event for event in tables.events if event.run_id not in gone]
