"""A history in memory: the twin of the one on disk, for tests of what stands on history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import anyio.lowlevel

from openbell.model import events as ev
from openbell.model.bodies import encode_event, event_pipeline, event_run_id
from openbell.model.calendars import OverlayRecord
from openbell.model.event import JsonBody
from openbell.model.history import RunFilter
from openbell.model.letters import DeadLetter, Decision, LetterFilter
from openbell.model.runs import (
    AttemptRecord,
    Checkpoint,
    NodeRecord,
    NodeState,
    OpenRun,
    QualityRecord,
    RunRecord,
    RunState,
    StoredLogLine,
    WorkflowRecord,
)
from openbell.model.schedules import FireRecord, ScheduleRecord
from openbell.testing import memory_letters, memory_schedules
from openbell.testing.memory_apply import apply
from openbell.testing.memory_graph import MemoryGraph
from openbell.testing.memory_tables import RunPage, Tables

_NO_PAGE = RunPage()


class MemoryHistory(MemoryGraph):
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
        tables = self._tables
        tables.begin()
        try:
            return tuple([_append(tables, apply(tables, event)) for event in events])
        except BaseException:
            tables.roll_back()
            raise

    def _page(self, run_id: str) -> RunPage:
        return self._tables.pages.get(run_id, _NO_PAGE)

    async def run(self, run_id: str) -> RunRecord | None:
        """Return a run, or None."""
        return self._tables.runs.get(run_id)

    async def runs(self, wanted: RunFilter) -> Sequence[RunRecord]:
        """Return runs, newest first."""
        found = [run for run in self._tables.runs.values() if _is_wanted(run, wanted)]
        return sorted(found, key=lambda run: run.run_id, reverse=True)[: wanted.limit]

    async def durations(self, pipeline: str, *, limit: int = 100) -> Sequence[float]:
        """Return how long the newest successful runs took, newest first."""
        wanted = RunFilter(
            pipeline=pipeline, states=(RunState.SUCCESS,), limit=len(self._tables.runs)
        )
        took = (
            (run.finished_at - run.started_at).total_seconds()
            for run in await self.runs(wanted)
            if run.started_at is not None and run.finished_at is not None and not run.dry_run
        )
        return list(islice(took, limit))

    async def node_durations(
        self, pipeline: str, *, limit: int = 20
    ) -> Mapping[str, Sequence[float]]:
        """Return how long nodes of the newest successful runs took, newest run first."""
        wanted = RunFilter(
            pipeline=pipeline, states=(RunState.SUCCESS,), limit=len(self._tables.runs)
        )
        runs = [run for run in await self.runs(wanted) if not run.dry_run]
        found: dict[str, list[float]] = {}
        for run in runs[:limit]:
            for node in await self.nodes(run.run_id):
                if node.state is NodeState.SUCCESS and node.started_at and node.attempts:
                    took = (node.finished_at or node.started_at) - node.started_at
                    found.setdefault(node.node, []).append(took.total_seconds())
        return found

    async def submission(self, idempotency_key: str) -> RunRecord | None:
        """Return the first run that was submitted under this key, or None."""
        return self._tables.runs.get(self._tables.keys.get(idempotency_key, ""))

    async def nodes(self, run_id: str) -> Sequence[NodeRecord]:
        """Return a run's nodes in definition order."""
        return list(self._page(run_id).nodes.values())

    async def attempts(
        self, run_id: str, node: str | None = None, *, item: int | None = None
    ) -> Sequence[AttemptRecord]:
        """Return attempts, oldest first."""
        of_run = self._page(run_id).attempts.values()
        if item is not None:
            return [a for a in of_run if (a.node, a.item) == (node, item)]
        of_node = (attempt for attempt in of_run if node in {None, attempt.node})
        return [a for a in of_node if a.item < 0 or a.state == "running"]

    async def checkpoint(self, run_id: str, node: str) -> Checkpoint | None:
        """Return how far the run's source came, or None."""
        return self._page(run_id).checkpoints.get(node)

    async def logs(
        self,
        run_id: str,
        *,
        node: str | None = None,
        item: int | None = None,
        after_id: int = 0,
        limit: int = 1000,
    ) -> Sequence[StoredLogLine]:
        """Return log lines after `after_id`, oldest first."""
        of_run = (s for s in self._page(run_id).logs.values() if s.id > after_id)
        if item is not None:
            of_item = (s for s in of_run if (s.node, s.item) == (node, item))
            return list(islice(of_item, limit))
        return list(islice((s for s in of_run if node in {None, s.node}), limit))

    async def quality(self, run_id: str) -> Sequence[QualityRecord]:
        """Return what the run's gates found, oldest first."""
        return list(self._page(run_id).findings.values())

    async def events(
        self, *, after_id: int = 0, limit: int = 1000, run_id: str | None = None
    ) -> Sequence[ev.StoredEvent]:
        """Return stored events after `after_id`, oldest first."""
        known = self._tables.events
        newest = self._tables.last_id.get("events", 0)
        newer = (known[at] for at in range(after_id + 1, newest + 1) if at in known)
        return list(islice((e for e in newer if run_id in {None, e.run_id}), limit))

    async def last_event_id(self) -> int:
        """Return the id of the newest event that was ever stored, 0 for none."""
        return self._tables.last_id.get("events", 0)

    async def workflow(self, name: str, version: int | None = None) -> WorkflowRecord | None:
        """Return one version of a definition, the newest by default."""
        if version is None:
            return self._tables.newest_version(name)
        return self._tables.workflows.get(name, {}).get(version)

    async def workflows(self) -> Sequence[WorkflowRecord]:
        """Return the newest version of every definition, by name."""
        newest = [self._tables.newest_version(name) for name in sorted(self._tables.workflows)]
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

    async def schedules(self, *, with_removed: bool = False) -> Sequence[ScheduleRecord]:
        """Return schedules by pipeline and meaning."""
        found = self._tables.schedules.values()
        wanted = [record for record in found if with_removed or record.removed_at is None]
        return sorted(wanted, key=lambda record: (record.pipeline, record.key))

    async def pauses(self) -> frozenset[str]:
        """Return the pipelines that somebody paused."""
        return frozenset(name for name, is_paused in self._tables.pauses.items() if is_paused)

    async def fires(
        self, *, pipeline: str | None = None, limit: int = 100, before: str | None = None
    ) -> Sequence[FireRecord]:
        """Return decided fires, newest decision first, those behind the cursor `before`."""
        return memory_schedules.newest(self._tables, pipeline, limit, before)

    async def last_fires(self) -> Sequence[FireRecord]:
        """Return the newest decided fire of each schedule in force."""
        return memory_schedules.last(self._tables)

    async def fires_ahead(self, now: datetime) -> Sequence[tuple[str, str]]:
        """Return fires that are decided beyond what their schedules say."""
        return memory_schedules.ahead(self._tables, now)

    async def fires_within(
        self, schedule_id: str, after: datetime, until: datetime
    ) -> frozenset[str]:
        """Return the identities of a schedule's decided fires that were due in `(after, until]`."""
        return frozenset(
            fire.identity
            for fire in self._tables.fires.values()
            if fire.schedule_id == schedule_id and after < fire.due_at <= until
        )

    async def open_runs(
        self, *, pipeline: str | None = None, after: str = "", limit: int = 1000
    ) -> Sequence[OpenRun]:
        """Return runs that have not ended, oldest first."""
        return memory_letters.open_runs(self._tables, pipeline=pipeline, after=after)[:limit]

    async def dead_letter(self, letter_id: str) -> DeadLetter | None:
        """Return a dead letter, or None."""
        return self._tables.letters.get(letter_id)

    async def dead_letters(self, wanted: LetterFilter) -> Sequence[DeadLetter]:
        """Return dead letters, newest first."""
        return memory_letters.letters(self._tables, wanted)

    async def decisions(
        self,
        *,
        run_id: str | None = None,
        pipeline: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[Decision]:
        """Return decisions, newest first."""
        found = memory_letters.decisions(
            self._tables, run_id=run_id, pipeline=pipeline, before=before
        )
        return found[:limit]

    async def metrics(self) -> Mapping[str, Any]:
        """Return totals; the database has no bytes."""
        states = [run.state for run in self._tables.runs.values()]
        pages = self._tables.pages.values()
        return {
            "runs": {state.value: states.count(state) for state in RunState},
            "rows_written": sum(n.totals.rows_written for p in pages for n in p.nodes.values()),
            "batches": sum(sum(page.batch_counts.values()) for page in pages),
            "log_lines_dropped": sum(n for page in pages for _, n in page.log_sizes.values()),
            "database_bytes": 0,
        }

    async def prune(self, *, before: datetime, keep_runs: int) -> int:
        """Forget finished runs older than `before` or beyond the newest `keep_runs`."""
        tables = self._tables
        newest = frozenset(sorted(tables.runs, reverse=True)[: max(0, keep_runs)])
        gone = {
            run.run_id
            for run in tables.runs.values()
            if run.finished_at is not None
            and (run.finished_at < before or run.run_id not in newest)
        }
        for run_id in gone:
            tables.forget(run_id)
        tables.keys = {k: v for k, v in tables.keys.items() if v not in gone}
        tables.commits = {k: v for k, v in tables.commits.items() if v["run_id"] not in gone}
        tables.events = {
            at: event
            for at, event in tables.events.items()
            if (event.at >= before if event.run_id is None else event.run_id not in gone)
        }
        memory_schedules.forget(tables, before)
        memory_letters.forget(tables, before, gone)
        return len(gone)


def _append(tables: Tables, event: ev.Event) -> ev.StoredEvent:
    stored = ev.StoredEvent(
        id=tables.next_id("events"),
        at=event.at,
        name=event.name,
        run_id=event_run_id(event),
        pipeline=event_pipeline(event),
        body=JsonBody(encode_event(event)),
    )
    tables.put(tables.events, stored.id, stored)
    return stored


def _is_wanted(run: RunRecord, wanted: RunFilter) -> bool:
    return (
        wanted.pipeline in {None, run.pipeline}
        and wanted.job_id in {None, run.job_id}
        and (not wanted.states or run.state in wanted.states)
        and (wanted.before is None or run.run_id < wanted.before)
    )
