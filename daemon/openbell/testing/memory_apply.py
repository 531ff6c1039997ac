"""Which change of an in-memory history each event stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from openbell.model import events as ev
from openbell.model.history import RecordRefusedError
from openbell.testing import memory_calendars as calendars
from openbell.testing import memory_control as control
from openbell.testing import memory_graph as graph
from openbell.testing import memory_letters as letters
from openbell.testing import memory_nodes as nodes
from openbell.testing import memory_runs as runs
from openbell.testing import memory_schedules as schedules
from openbell.testing.memory_tables import Tables

APPLIED: Mapping[type[ev.Event], Callable[[Tables, Any], ev.Event | None]] = {
    ev.WorkflowDefined: runs.define,
    ev.WorkflowRetired: runs.retire,
    ev.RunSubmitted: runs.submit,
    ev.RunStarted: runs.change_run,
    ev.RunFinished: runs.change_run,
    ev.RunCancelRequested: runs.change_run,
    ev.NodeChanged: nodes.change_node,
    ev.AttemptStarted: nodes.start_attempt,
    ev.AttemptFinished: nodes.finish_attempt,
    ev.BatchCommitted: nodes.commit_batch,
    ev.QualityChecked: nodes.keep_findings,
    ev.LogWritten: nodes.keep_log,
    ev.OverlayAdded: calendars.add_overlay,
    ev.OverlayRemoved: calendars.remove_overlay,
    ev.ScheduleAdded: schedules.add_schedule,
    ev.ScheduleRemoved: schedules.change_schedule,
    ev.SchedulePaused: schedules.change_schedule,
    ev.FireDecided: schedules.decide,
    ev.ScheduleAdvanced: schedules.advance,
    ev.FireTakenBack: schedules.take_back,
    ev.PipelinePaused: schedules.pause,
    ev.RunPaused: control.change_run,
    ev.RunPrioritized: control.change_run,
    ev.NodeEndRequested: control.request_end,
    ev.NodesTakenOver: control.take_over,
    ev.RunHeld: graph.hold,
    ev.ApprovalAsked: graph.ask_approval,
    ev.ApprovalAnswered: graph.answer_approval,
    ev.ItemsListed: graph.list_items,
    ev.ItemsChanged: graph.change_items,
    ev.DeadLettered: letters.write,
    ev.LetterReplayed: letters.settle,
    ev.LetterPurged: letters.settle,
    ev.DecisionNoted: letters.note,
}
"""What is not here is kept as an event and changes no table."""


def apply(tables: Tables, event: ev.Event) -> ev.Event:
    """Change `tables` as `event` says, and return the event as it is kept."""
    change = APPLIED.get(type(event))
    if change is not None:
        return change(tables, event) or event
    if not event.durable or not event.name:
        name = event.name or type(event).__name__
        raise RecordRefusedError(name, "it is not a durable event")
    return event
