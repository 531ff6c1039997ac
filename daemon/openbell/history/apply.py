"""Each event that is no step of a run or a node as changes of rows; `batch` has the steps."""

from __future__ import annotations

import sqlite3
from typing import assert_never

from openbell.history import (
    apply_calendars,
    apply_control,
    apply_graph,
    apply_letters,
    apply_nodes,
    apply_runs,
    apply_schedules,
)
from openbell.history.apply_control import ControlEvent
from openbell.history.apply_graph import GraphEvent
from openbell.history.apply_schedules import ScheduleEvent
from openbell.history.durable import OtherEvent
from openbell.history.queries import Statements
from openbell.model import events as ev
from openbell.model.history import RecordRefusedError

STANDS_ALONE = (
    ev.PipelinePaused,
    ev.DeadLettered,
    ev.LetterReplayed,
    ev.LetterPurged,
    ev.DecisionNoted,
)
"""Events whose tables no other event touches: their place among those others does not matter."""


def apply_event(db: Statements, event: OtherEvent) -> OtherEvent:
    """Change the tables as `event` says and return it as it is kept; the caller owns the transaction."""
    try:
        return _apply(db, event)
    except sqlite3.IntegrityError as error:
        raise RecordRefusedError(
            event.name, f"it does not fit what history holds ({error})"
        ) from error


def _apply(db: Statements, event: OtherEvent) -> OtherEvent:
    match event:
        case ev.WorkflowDefined() | ev.WorkflowRetired():
            apply_runs.change_workflow(db, event)
        case ev.RunCancelRequested():
            apply_runs.request_cancel(db, event)
        case ev.BatchCommitted() | ev.QualityChecked() | ev.LogWritten():
            return _apply_report(db, event)
        case (
            ev.OverlayAdded()
            | ev.OverlayRemoved()
            | ev.ScheduleAdded()
            | ev.ScheduleRemoved()
            | ev.SchedulePaused()
            | ev.ScheduleAdvanced()
            | ev.FireTakenBack()
            | ev.PipelinePaused()
        ):
            _apply_plan(db, event)
        case ev.DeadLettered() | ev.LetterReplayed() | ev.LetterPurged() | ev.DecisionNoted():
            apply_letters.apply(db, event)
        case (
            ev.RunHeld()
            | ev.ApprovalAsked()
            | ev.ApprovalAnswered()
            | ev.ItemsListed()
            | ev.ItemsChanged()
            | ev.RunPaused()
            | ev.RunPrioritized()
            | ev.NodeEndRequested()
            | ev.NodesTakenOver()
        ):
            _apply_run(db, event)
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


def _apply_report(
    db: Statements, event: ev.BatchCommitted | ev.QualityChecked | ev.LogWritten
) -> OtherEvent:
    """Keep what a worker reported."""
    match event:
        case ev.BatchCommitted():
            apply_nodes.commit_batch(db, event)
        case ev.QualityChecked():
            apply_nodes.keep_findings(db, event)
        case ev.LogWritten():
            return apply_nodes.keep_log(db, event)
        case _:
            assert_never(event)
    return event


def _apply_run(db: Statements, event: GraphEvent | ControlEvent) -> None:
    """Change what stands in runs beside the steps of their nodes."""
    match event:
        case ev.RunPaused() | ev.RunPrioritized() | ev.NodeEndRequested() | ev.NodesTakenOver():
            apply_control.apply(db, event)
        case _:
            apply_graph.apply(db, event)


def _apply_plan(db: Statements, event: ev.OverlayAdded | ev.OverlayRemoved | ScheduleEvent) -> None:
    """Change what is due when."""
    match event:
        case ev.OverlayAdded() | ev.OverlayRemoved():
            apply_calendars.change_overlay(db, event)
        case _:
            apply_schedules.apply(db, event)
