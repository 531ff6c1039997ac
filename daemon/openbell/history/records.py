"""Rows as the values of `openbell.model` (pure); the order of columns is that of `queries.sql`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from openbell.model.bodies import decode_body, lineage_row
from openbell.model.calendars import Overlay, OverlayRecord
from openbell.model.definitions import from_schedule_document
from openbell.model.event import JsonBody, StoredEvent
from openbell.model.runs import (
    AttemptRecord,
    Checkpoint,
    LogLine,
    NodeRecord,
    NodeState,
    QualityRecord,
    RunRecord,
    RunState,
    StoredLogLine,
    Totals,
    WorkflowRecord,
)
from openbell.model.schedules import FireRecord, ScheduleRecord
from openbell.sdk.values import Interval, Receipt, from_us

Row = Sequence[Any]


def overlay_record(row: Row) -> OverlayRecord:
    """Return a correction from a row of `overlays`."""
    return OverlayRecord(
        overlay_id=row[0],
        overlay=Overlay(
            calendar=row[1],
            session=date.fromisoformat(row[2]),
            closed=bool(row[3]),
            open_time=row[4],
            close_time=row[5],
            reason=row[6],
        ),
        added_by=row[7],
        added_at=from_us(row[8]),
        removed_by=row[9],
        removed_at=_instant(row[10]),
    )


def schedule_record(row: Row) -> ScheduleRecord:
    """Return a schedule from a row of `schedules`."""
    return ScheduleRecord(
        schedule_id=row[0],
        pipeline=row[1],
        key=row[2],
        use=from_schedule_document(decode_body(row[3])),
        origin=row[4],
        added_at=from_us(row[5]),
        added_by=row[6],
        decided_until=from_us(row[7]),
        passed_until=from_us(row[8]),
        paused=bool(row[9]),
        removed_at=_instant(row[10]),
        removed_by=row[11],
    )


def fire_record(row: Row) -> FireRecord:
    """Return a decided fire from a row of the `fires` queries."""
    return FireRecord(
        pipeline=row[0],
        identity=row[1],
        schedule_id=row[2],
        session=None if row[3] is None else date.fromisoformat(row[3]),
        event=row[4],
        index=row[5],
        due_at=from_us(row[6]),
        decided_at=from_us(row[7]),
        outcome=row[8],
        reason=row[9],
        run_id=row[10],
    )


def _instant(instant_us: int | None) -> datetime | None:
    return None if instant_us is None else from_us(instant_us)


def run_record(row: Row) -> RunRecord:
    """Return a run from a row of the `run` queries."""
    return RunRecord(
        run_id=row[0],
        job_id=row[1],
        pipeline=row[2],
        workflow_version=row[3],
        mode=row[4],
        state=RunState(row[5]),
        params=decode_body(row[6]),
        submitted_at=from_us(row[7]),
        started_at=_instant(row[8]),
        finished_at=_instant(row[9]),
        reason=row[10],
        error=row[11],
        session=row[12],
        retry_of=row[13],
        origin=row[14],
        dry_run=bool(row[15]),
        cancel_requested=bool(row[16]),
        trace_id=row[17],
        calendar=row[18],
        fire=row[19],
        due_at=_instant(row[20]),
        priority=row[21],
        parent_run_id=row[22],
        paused=bool(row[23]),
    )


def node_record(row: Row) -> NodeRecord:
    """Return a node from a row of `nodes`."""
    return NodeRecord(
        run_id=row[0],
        node=row[1],
        op=row[2],
        state=NodeState(row[3]),
        attempts=row[4],
        started_at=_instant(row[5]),
        finished_at=_instant(row[6]),
        outcome=row[7],
        error=row[8],
        error_kind=row[9],
        retry_at=_instant(row[10]),
        totals=Totals(
            rows_in=row[11],
            rows_out=row[12],
            rows_written=row[13],
            rows_unchanged=row[14],
            rows_quarantined=row[15],
            size_bytes=row[16],
            verdict=row[17],
        ),
        output=None if row[18] is None else decode_body(row[18]),
        reason=row[19],
    )


def attempt_record(row: Row) -> AttemptRecord:
    """Return an attempt from a row of `attempts`."""
    return AttemptRecord(
        attempt_id=row[0],
        run_id=row[1],
        node=row[2],
        number=row[3],
        state=row[4],
        started_at=from_us(row[5]),
        finished_at=_instant(row[6]),
        worker_pid=row[7],
        error_kind=row[8],
        error=row[9],
        traceback=row[10],
        cpu_s=row[11],
        peak_memory_bytes=row[12],
        io_read_bytes=row[13],
        io_written_bytes=row[14],
        item=row[15],
    )


def checkpoint_record(row: Row) -> Checkpoint:
    """Return a checkpoint from a row of `checkpoint`."""
    return Checkpoint(
        run_id=row[0],
        node=row[1],
        next_chunk=row[2],
        cursor=row[3],
        totals=msgspec.json.decode(row[4], type=dict[str, Totals]),
        at=from_us(row[5]),
    )


def log_line(row: Row) -> StoredLogLine:
    """Return a log line from a row of the `logs` queries."""
    line = LogLine(stream=row[3], level=row[4], text=row[5], at=from_us(row[6]))
    return StoredLogLine(id=row[0], node=row[1], attempt=row[2], line=line, item=row[7])


def quality_record(row: Row) -> QualityRecord:
    """Return a finding from a row of `quality`."""
    return QualityRecord(
        id=row[0],
        run_id=row[1],
        node=row[2],
        chunk=row[3],
        rule=row[4],
        severity=row[5],
        message=row[6],
        column=row[7],
        row_count=row[8],
        metric=row[9],
        threshold=row[10],
        examples=tuple(msgspec.json.decode(row[11], type=list[str])),
        at=from_us(row[12]),
    )


def stored_event(row: Row) -> StoredEvent:
    """Return an event from a row of the `events` queries."""
    return StoredEvent(
        id=row[0],
        at=from_us(row[1]),
        name=row[2],
        run_id=row[3],
        pipeline=row[4],
        body=JsonBody(row[5]),
    )


def workflow_record(row: Row) -> WorkflowRecord:
    """Return a definition from a row of the `workflow` queries."""
    return WorkflowRecord(
        name=row[0],
        version=row[1],
        fingerprint=row[2],
        definition=decode_body(row[3]),
        active=bool(row[4]),
        created_at=from_us(row[5]),
    )


def commit_row(row: Row) -> Mapping[str, Any]:
    """Return a commit from a row of `lineage`."""
    receipt = Receipt(
        key=row[0],
        dataset=row[4],
        interval=Interval(from_us(row[5]), from_us(row[6])),
        row_count=row[7],
        written_count=row[8],
        unchanged_count=row[9],
        size_bytes=row[10],
        digest=row[11],
        version=row[12],
        committed_at=from_us(row[13]),
    )
    return lineage_row(run_id=row[1], pipeline=row[3], node=row[2], receipt=receipt)
