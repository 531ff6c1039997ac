"""Answers about definitions, runs, schedules and calendars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from openbell.history import records
from openbell.history.connections import ABOVE_EVERY_ID, Readers
from openbell.history.graph_answers import GraphAnswers
from openbell.history.letter_answers import LetterAnswers
from openbell.model.bodies import encode_plain
from openbell.model.calendars import OverlayRecord
from openbell.model.events import StoredEvent
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
from openbell.model.schedules import NEWEST_FIRE, FireRecord, ScheduleRecord, fire_place
from openbell.sdk.values import to_us


def _first(row: records.Row) -> str:
    return str(row[0])


class Answers(LetterAnswers, GraphAnswers):
    """The reading half of `History`."""

    def __init__(self, readers: Readers) -> None:
        super().__init__(readers)
        self._readers = readers

    async def run(self, run_id: str) -> RunRecord | None:
        """See `History`."""
        return await self._readers.first("run", {"run_id": run_id}, records.run_record)

    async def runs(self, wanted: RunFilter) -> Sequence[RunRecord]:
        """See `History`."""
        row = {
            "pipeline": wanted.pipeline,
            "job_id": wanted.job_id,
            "before": wanted.before or ABOVE_EVERY_ID,
            "limit": wanted.limit,
            "states": encode_plain(wanted.states or tuple(RunState)),
        }
        if wanted.job_id is not None:
            return await self._readers.rows("runs_of_job", row, records.run_record)
        is_any = wanted.pipeline is None
        if not wanted.states:
            query = "runs_newest" if is_any else "runs_of_pipeline"
            return await self._readers.rows(query, row, records.run_record)
        if len(wanted.states) == 1:
            query = "runs_in_state" if is_any else "runs_of_pipeline_in_state"
            of_state = {**row, "state": wanted.states[0]}
            return await self._readers.rows(query, of_state, records.run_record)
        query = "run_ids_in_state" if is_any else "run_ids_of_pipeline_in_state"
        ids: set[str] = set()
        for state in wanted.states:
            ids.update(await self._readers.rows(query, {**row, "state": state}, _first))
        newest = {"run_ids": encode_plain(sorted(ids, reverse=True)[: wanted.limit])}
        return await self._readers.rows("runs_of_ids", newest, records.run_record)

    async def durations(self, pipeline: str, *, limit: int = 100) -> Sequence[float]:
        """See `History`."""
        row = {"pipeline": pipeline, "limit": limit}
        return await self._readers.rows("durations", row, lambda found: float(found[0]))

    async def node_durations(
        self, pipeline: str, *, limit: int = 20
    ) -> Mapping[str, Sequence[float]]:
        """See `History`."""
        row = {"pipeline": pipeline, "limit": limit}
        found: dict[str, list[float]] = {}
        pairs = await self._readers.rows(
            "node_durations", row, lambda each: (str(each[0]), float(each[1]))
        )
        for node, seconds in pairs:
            found.setdefault(node, []).append(seconds)
        return found

    async def submission(self, idempotency_key: str) -> RunRecord | None:
        """See `History`."""
        row = {"idempotency_key": idempotency_key}
        run_id = await self._readers.first("run_of_key", row, lambda found: str(found[0]))
        return None if run_id is None else await self.run(run_id)

    async def nodes(self, run_id: str) -> Sequence[NodeRecord]:
        """See `History`."""
        return await self._readers.rows("nodes", {"run_id": run_id}, records.node_record)

    async def attempts(
        self, run_id: str, node: str | None = None, *, item: int | None = None
    ) -> Sequence[AttemptRecord]:
        """See `History`."""
        query = "attempts" if item is None else "attempts_of_item"
        row = {"run_id": run_id, "node": node, "item": item}
        return await self._readers.rows(query, row, records.attempt_record)

    async def checkpoint(self, run_id: str, node: str) -> Checkpoint | None:
        """See `History`."""
        row = {"run_id": run_id, "node": node}
        return await self._readers.first("checkpoint", row, records.checkpoint_record)

    async def logs(
        self,
        run_id: str,
        *,
        node: str | None = None,
        item: int | None = None,
        after_id: int = 0,
        limit: int = 1000,
    ) -> Sequence[StoredLogLine]:
        """See `History`."""
        query = "logs_of_run" if node is None else "logs_of_node"
        query = query if item is None else "logs_of_item"
        row = {"run_id": run_id, "node": node, "item": item, "after_id": after_id, "limit": limit}
        return await self._readers.rows_within(query, row, records.log_line, column=5)

    async def quality(self, run_id: str) -> Sequence[QualityRecord]:
        """See `History`."""
        return await self._readers.rows("quality", {"run_id": run_id}, records.quality_record)

    async def events(
        self, *, after_id: int = 0, limit: int = 1000, run_id: str | None = None
    ) -> Sequence[StoredEvent]:
        """See `History`."""
        query = "events_after" if run_id is None else "events_of_run"
        row = {"run_id": run_id, "after_id": after_id, "limit": limit}
        return await self._readers.rows_within(query, row, records.stored_event, column=5)

    async def last_event_id(self) -> int:
        """See `History`."""
        return await self._readers.first("last_event_id", {}, lambda row: int(row[0])) or 0

    async def workflow(self, name: str, version: int | None = None) -> WorkflowRecord | None:
        """See `History`."""
        query = "newest_workflow" if version is None else "workflow_version"
        row = {"pipeline": name, "version": version}
        return await self._readers.first(query, row, records.workflow_record)

    async def workflows(self) -> Sequence[WorkflowRecord]:
        """See `History`."""
        return await self._readers.rows("newest_workflows", {}, records.workflow_record)

    async def lineage(self, dataset: str, *, limit: int = 100) -> Sequence[Mapping[str, Any]]:
        """See `History`."""
        row = {"dataset": dataset, "limit": limit}
        return await self._readers.rows("lineage", row, records.commit_row)

    async def overlays(self) -> Sequence[OverlayRecord]:
        """See `History`."""
        return await self._readers.rows("overlays", {}, records.overlay_record)

    async def schedules(self, *, with_removed: bool = False) -> Sequence[ScheduleRecord]:
        """See `History`."""
        row = {"with_removed": with_removed}
        return await self._readers.rows("schedules", row, records.schedule_record)

    async def pauses(self) -> frozenset[str]:
        """See `History`."""
        return frozenset(await self._readers.rows("pauses", {}, lambda row: str(row[0])))

    async def fires(
        self, *, pipeline: str | None = None, limit: int = 100, before: str | None = None
    ) -> Sequence[FireRecord]:
        """See `History`."""
        query = "fires_newest" if pipeline is None else "fires_of_pipeline"
        place = NEWEST_FIRE if before is None else fire_place(before)
        names = ("before_decided_us", "before_due_us", "before_pipeline", "before_identity")
        row = {"pipeline": pipeline, "limit": limit, **dict(zip(names, place, strict=True))}
        return await self._readers.rows(query, row, records.fire_record)

    async def last_fires(self) -> Sequence[FireRecord]:
        """See `History`."""
        return await self._readers.rows("last_fires", {}, records.fire_record)

    async def fires_ahead(self, now: datetime) -> Sequence[tuple[str, str]]:
        """See `History`."""
        row = {"now_us": to_us(now)}
        return await self._readers.rows("fires_ahead", row, lambda row: (str(row[0]), str(row[1])))

    async def fires_within(
        self, schedule_id: str, after: datetime, until: datetime
    ) -> frozenset[str]:
        """See `History`."""
        row = {"schedule_id": schedule_id, "after_us": to_us(after), "until_us": to_us(until)}
        return frozenset(await self._readers.rows("fires_within", row, lambda row: str(row[0])))

    async def metrics(self) -> Mapping[str, Any]:
        """See `History`."""
        counts = dict(await self._readers.rows("counts", {}, tuple))
        size_bytes = await self._readers.first("database_size", {}, lambda row: int(row[0]))
        return {
            "runs": {str(state): counts[state] for state in RunState},
            "rows_written": counts["rows_written"],
            "batches": counts["batches"],
            "log_lines_dropped": counts["log_lines_dropped"],
            "database_bytes": size_bytes,
        }
