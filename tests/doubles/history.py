"""A small history that keeps what it is told, for `doubles.engine`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import anyio
import anyio.lowlevel
import msgspec

from openbell.model.definitions import definition
from openbell.model.events import Event, StoredEvent
from openbell.model.history import RunFilter
from openbell.model.items import ApprovalRecord, ItemRecord
from openbell.model.letters import DeadLetter, Decision, LetterFilter, LetterState
from openbell.model.pipelines import Node, Pipeline
from openbell.model.runs import (
    AttemptRecord,
    Checkpoint,
    NodeRecord,
    NodeState,
    QualityRecord,
    RunRecord,
    RunState,
    StoredLogLine,
    WorkflowRecord,
)
from openbell.model.schedules import FireRecord, ScheduleUse

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
PIPELINE = Pipeline(
    name="lean_daily",
    job="lean_daily",
    mode="backfill",
    schedule=(ScheduleUse(expression="XNYS close + 30m"),),
    nodes=(
        Node(name="fetch", op="ingest"),
        Node(name="check", op="gate", needs={"fetch": ()}),
        Node(name="publish", op="write", needs={"check": ("pass", "warn")}),
        Node(name="hold", op="quarantine", needs={"check": ("fail", "quarantine")}),
    ),
)


LETTER = DeadLetter(
    letter_id="let_1",
    run_id="run_1",
    pipeline="lean_daily",
    node="fetch",
    item=None,
    state=LetterState.WAITING,
    error_kind="auth",
    error="no",
    traceback="",
    attempts=1,
    params={},
    input=None,
    created_at=START,
)


APPROVAL = ApprovalRecord(
    run_id="run_1",
    pipeline=PIPELINE.name,
    node="release",
    item=-1,
    question="go on?",
    labels=("approved", "rejected"),
    asked_at=START,
)


class DoubleHistory:
    """Keeps what `DoubleEngine` tells it, in memory."""

    def __init__(self) -> None:
        self.stored: list[StoredEvent] = []
        self.run_records: dict[str, RunRecord] = {}
        self.node_records: dict[tuple[str, str], NodeRecord] = {}
        self.lines: list[tuple[str, StoredLogLine]] = []
        self.keys: dict[str, str] = {}
        self.definitions = {
            PIPELINE.name: WorkflowRecord(
                name=PIPELINE.name,
                version=1,
                fingerprint="f" * 8,
                definition=definition(PIPELINE),
                created_at=START,
                active=True,
            )
        }

    async def record(self, *events: Event) -> tuple[StoredEvent, ...]:
        kept = []
        for event in events:
            body = {field.name: getattr(event, field.name) for field in fields(event)}
            body.pop("at")
            stored = StoredEvent(
                id=len(self.stored) + 1,
                at=event.at,
                name=event.name,
                run_id=getattr(event, "run_id", None),
                pipeline=getattr(event, "pipeline", None),
                body=msgspec.to_builtins(body),
            )
            self.stored.append(stored)
            kept.append(stored)
        return tuple(kept)

    async def run(self, run_id: str) -> RunRecord | None:
        return self.run_records.get(run_id)

    async def runs(self, wanted: RunFilter) -> Sequence[RunRecord]:
        newest_first = sorted(self.run_records.values(), key=lambda run: run.run_id, reverse=True)
        found = [
            run
            for run in newest_first
            if wanted.pipeline in {None, run.pipeline}
            and wanted.job_id in {None, run.job_id}
            and (not wanted.states or run.state in wanted.states)
            and (wanted.before is None or run.run_id < wanted.before)
        ]
        return found[: wanted.limit]

    async def node_durations(
        self, pipeline: str, *, limit: int = 20
    ) -> Mapping[str, Sequence[float]]:
        del pipeline, limit
        return {}

    async def dead_letter(self, letter_id: str) -> DeadLetter | None:
        return LETTER if letter_id == LETTER.letter_id else None

    async def dead_letters(self, wanted: LetterFilter) -> Sequence[DeadLetter]:
        is_fit = wanted.run_id in {None, LETTER.run_id} and wanted.before is None
        return [LETTER] if is_fit else []

    async def approvals(self, run_id: str | None = None) -> Sequence[ApprovalRecord]:
        return [replace(APPROVAL, run_id=run_id or APPROVAL.run_id)]

    async def decisions(self, **wanted: Any) -> Sequence[Decision]:
        del wanted
        return ()

    async def fires(self, **wanted: Any) -> Sequence[FireRecord]:
        del wanted
        return ()

    async def submission(self, idempotency_key: str) -> RunRecord | None:
        run_id = self.keys.get(idempotency_key)
        return self.run_records[run_id] if run_id else None

    async def nodes(self, run_id: str) -> Sequence[NodeRecord]:
        return [node for (of_run, _), node in self.node_records.items() if of_run == run_id]

    async def items(self, run_id: str, node: str, **wanted: Any) -> Sequence[ItemRecord]:
        record = ItemRecord(
            run_id=run_id, node=node, number=0, item={"symbol": "AAPL"}, state=NodeState.FAILED
        )
        return [record] if wanted["after"] < 0 else []

    async def item_counts(self, run_id: str) -> Mapping[str, Mapping[NodeState, int]]:
        return {node.node: {NodeState.FAILED: 1} for node in await self.nodes(run_id)}

    async def attempts(
        self, run_id: str, node: str | None = None, *, item: int | None = None
    ) -> Sequence[AttemptRecord]:
        return [
            AttemptRecord(
                attempt_id=f"att_{run_id}",
                run_id=run_id,
                node=node or "fetch",
                number=1,
                state="success",
                started_at=START,
                item=-1 if item is None else item,
            )
        ]

    async def checkpoint(self, run_id: str, node: str) -> Checkpoint | None:
        if self.run_records[run_id].state is not RunState.SUCCESS:
            return None
        return Checkpoint(run_id=run_id, node=node, next_chunk=3, cursor=None, totals={})

    async def logs(
        self,
        run_id: str,
        *,
        node: str | None = None,
        item: int | None = None,
        after_id: int = 0,
        limit: int = 1000,
    ) -> Sequence[StoredLogLine]:
        return [
            line
            for of_run, line in self.lines
            if of_run == run_id
            and line.id > after_id
            and node in {None, line.node}
            and item in {None, line.item}
        ][:limit]

    async def quality(self, run_id: str) -> Sequence[QualityRecord]:
        return [
            QualityRecord(
                id=1,
                run_id=run_id,
                node="check",
                chunk=0,
                rule="ohlc",
                severity="quarantine",
                message="high below low",
                column="high",
                row_count=2,
                metric=2.0,
                threshold=0.0,
                examples=("AAPL 2024-01-02",),
                at=START,
            )
        ]

    async def events(
        self, *, after_id: int = 0, limit: int = 1000, run_id: str | None = None
    ) -> Sequence[StoredEvent]:
        await anyio.lowlevel.checkpoint()
        return [
            event for event in self.stored if event.id > after_id and run_id in {None, event.run_id}
        ][:limit]

    async def last_event_id(self) -> int:
        return len(self.stored)

    async def workflow(self, name: str, version: int | None = None) -> WorkflowRecord | None:
        found = self.definitions.get(name)
        return found if found and version in {None, found.version} else None

    async def workflows(self) -> Sequence[WorkflowRecord]:
        return [self.definitions[name] for name in sorted(self.definitions)]

    async def lineage(self, dataset: str, *, limit: int = 100) -> Sequence[Mapping[str, Any]]:
        if dataset != "bars":
            return ()
        return [{"run_id": "run_1", "node": "publish", "rows": 3, "version": 7}][:limit]

    async def metrics(self) -> Mapping[str, Any]:
        return {"runs": {"success": 1}, "rows_written": 3, "batches": 1, "size_bytes": 4096}

    async def prune(self, *, before: datetime, keep_runs: int) -> int:
        return 0
