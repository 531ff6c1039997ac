"""The events that history keeps, as one closed type."""

from __future__ import annotations

from typing import TypeAlias, get_args

from openbell.model import events as ev
from openbell.model.history import RecordRefusedError

StepEvent: TypeAlias = (
    ev.RunSubmitted
    | ev.RunStarted
    | ev.RunFinished
    | ev.NodeChanged
    | ev.AttemptStarted
    | ev.AttemptFinished
    | ev.FireDecided
)
"""Steps of runs and nodes, and fires: most of what is ever recorded."""

OtherEvent: TypeAlias = (
    ev.WorkflowDefined
    | ev.WorkflowRetired
    | ev.RunCancelRequested
    | ev.BatchCommitted
    | ev.QualityChecked
    | ev.LogWritten
    | ev.ActorCrashed
    | ev.PipelineParked
    | ev.ConfigReloaded
    | ev.ReloadRefused
    | ev.CalendarHorizonNear
    | ev.CalendarFailed
    | ev.OverlayAdded
    | ev.OverlayRemoved
    | ev.ScheduleAdded
    | ev.ScheduleRemoved
    | ev.SchedulePaused
    | ev.ScheduleAdvanced
    | ev.FireTakenBack
    | ev.ClockJumped
    | ev.PipelinePaused
    | ev.RunPaused
    | ev.RunPrioritized
    | ev.NodeEndRequested
    | ev.NodesTakenOver
    | ev.RunHeld
    | ev.ApprovalAsked
    | ev.ApprovalAnswered
    | ev.ItemsListed
    | ev.ItemsChanged
    | ev.DeadLettered
    | ev.LetterReplayed
    | ev.LetterPurged
    | ev.DecisionNoted
    | ev.DaemonStarted
    | ev.DaemonStopping
)

DurableEvent: TypeAlias = StepEvent | OtherEvent

DURABLE_EVENTS: tuple[type[ev.Event], ...] = get_args(DurableEvent)


def as_durable(event: ev.Event) -> DurableEvent:
    """Return `event` if it is one that is kept; raises RecordRefusedError."""
    if isinstance(event, DurableEvent):
        return event
    raise RecordRefusedError(event.name or type(event).__name__, "it is not a durable event")
