"""Each event as changes of rows: the one place where history's tables change."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import assert_never

from openbell.history import apply_calendars, apply_nodes, apply_runs, apply_schedules
from openbell.history.apply_schedules import ScheduleEvent
from openbell.history.durable import DurableEvent, as_durable
from openbell.history.queries import Statements
from openbell.model import events as ev
from openbell.model.bodies import decode_body, encode_event, event_pipeline, event_run_id
from openbell.model.history import RecordRefusedError
from openbell.sdk.values import to_us


def record_events(db: Statements, events: Sequence[ev.Event]) -> tuple[ev.StoredEvent, ...]:
    """Apply `events` in order and append them to the log; the caller owns the transaction."""
    return tuple(_record(db, as_durable(event)) for event in events)


def _record(db: Statements, event: DurableEvent) -> ev.StoredEvent:
    try:
        kept = _apply(db, event)
    except sqlite3.IntegrityError as error:
        raise RecordRefusedError(
            event.name, f"it does not fit what history holds ({error})"
        ) from error
    raw = encode_event(kept)
    run_id, pipeline = event_run_id(kept), event_pipeline(kept)
    cursor = db.run(
        "append_event",
        {
            "at_us": to_us(kept.at),
            "name": kept.name,
            "run_id": run_id,
            "pipeline": pipeline,
            "body": raw.decode(),
        },
    )
    assert cursor.lastrowid is not None
    return ev.StoredEvent(
        id=cursor.lastrowid,
        at=kept.at,
        name=kept.name,
        run_id=run_id,
        pipeline=pipeline,
        body=decode_body(raw),
    )


def _apply(db: Statements, event: DurableEvent) -> DurableEvent:
    """Change the tables as `event` says and return it as it is kept."""
    match event:
        case ev.WorkflowDefined() | ev.WorkflowRetired():
            apply_runs.change_workflow(db, event)
        case ev.RunSubmitted() | ev.RunStarted() | ev.RunFinished() | ev.RunCancelRequested():
            apply_runs.change_run(db, event)
        case ev.NodeChanged():
            apply_nodes.change_node(db, event)
        case ev.AttemptStarted() | ev.AttemptFinished():
            apply_nodes.change_attempt(db, event)
        case ev.BatchCommitted():
            apply_nodes.commit_batch(db, event)
        case ev.QualityChecked():
            apply_nodes.keep_findings(db, event)
        case ev.LogWritten():
            return apply_nodes.keep_log(db, event)
        case (
            ev.OverlayAdded()
            | ev.OverlayRemoved()
            | ev.ScheduleAdded()
            | ev.ScheduleRemoved()
            | ev.SchedulePaused()
            | ev.FireDecided()
            | ev.ScheduleAdvanced()
            | ev.PipelinePaused()
        ):
            _apply_plan(db, event)
        case (
            ev.ActorCrashed()
            | ev.PipelineParked()
            | ev.ConfigReloaded()
            | ev.ReloadRefused()
            | ev.CalendarHorizonNear()
            | ev.CalendarFailed()
            | ev.ClockJumped()
            | ev.DaemonStarted()
            | ev.DaemonStopping()
        ):
            pass
        case _:
            assert_never(event)
    return event


def _apply_plan(db: Statements, event: ev.OverlayAdded | ev.OverlayRemoved | ScheduleEvent) -> None:
    """Change what is due when."""
    match event:
        case ev.OverlayAdded() | ev.OverlayRemoved():
            apply_calendars.change_overlay(db, event)
        case _:
            apply_schedules.apply(db, event)
