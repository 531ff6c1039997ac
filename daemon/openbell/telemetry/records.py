"""What a log record says about an event: its level and its fields. Pure."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from openbell.model import events as ev
from openbell.model.runs import NodeState, RunState

_LEVELS: Mapping[type[ev.Event], int] = {
    ev.WorkflowDefined: logging.DEBUG,
    ev.AttemptStarted: logging.DEBUG,
    ev.BatchCommitted: logging.DEBUG,
    ev.NodeProgressed: logging.DEBUG,
    ev.NodeBeat: logging.DEBUG,
    ev.ProviderRequested: logging.DEBUG,
    ev.WorkerStarted: logging.DEBUG,
    ev.WorkerStopped: logging.DEBUG,
    ev.FireDecided: logging.DEBUG,
    ev.ItemsListed: logging.DEBUG,
    ev.ItemsChanged: logging.DEBUG,
    ev.FireLetGo: logging.DEBUG,
    ev.QualityChecked: logging.WARNING,
    ev.ClockJumped: logging.WARNING,
    ev.CalendarHorizonNear: logging.WARNING,
    ev.CalendarFailed: logging.ERROR,
    ev.ActorCrashed: logging.ERROR,
    ev.PipelineParked: logging.ERROR,
    ev.ReloadRefused: logging.ERROR,
    ev.DeadLettered: logging.ERROR,
    ev.DecisionNoted: logging.DEBUG,
}
_RUN_LEVELS = {RunState.FAILED: logging.ERROR, RunState.CANCELLED: logging.WARNING}
_NODE_LEVELS = {
    NodeState.PENDING: logging.DEBUG,
    NodeState.QUEUED: logging.DEBUG,
    NodeState.RUNNING: logging.DEBUG,
    NodeState.RETRYING: logging.WARNING,
    NodeState.FAILED: logging.ERROR,
}
_OMITTED = frozenset(
    {
        "at",
        "definition",
        "receipts",
        "totals",
        "findings",
        "nodes",
        "lines",
        "output",
        "items",
        "changes",
    }
)


def level_of(event: ev.Event) -> int:
    """Return how loudly `event` is logged, as a number of the logging module."""
    match event:
        case ev.RunFinished():
            return _RUN_LEVELS.get(event.state, logging.INFO)
        case ev.NodeChanged(state=NodeState.SUCCESS, totals=None):
            return logging.DEBUG  # it moved no rows: there may be thousands in a second
        case ev.NodeChanged():
            return _NODE_LEVELS.get(event.state, logging.INFO)
        case ev.AttemptFinished():
            return logging.WARNING if event.state == "failed" else logging.DEBUG
        case ev.WorkerStopped() if event.reason == "lost":
            return logging.WARNING
        case _:
            return _LEVELS.get(type(event), logging.INFO)


_NO_ITEM = -1


def fields_of(event: ev.Event) -> dict[str, Any]:
    """Return `event`'s fields for a log record, without empty and bulky ones."""
    shown = {
        each.name: value
        for each in fields(event)
        if each.name not in _OMITTED and (value := getattr(event, each.name)) not in _EMPTY
    }
    if shown.get("item") == _NO_ITEM:
        del shown["item"]
    match event:
        case ev.FireDecided():
            shown["fire_event"] = shown.pop("event")
        case ev.RunSubmitted():
            shown["nodes"] = [name for name, _ in event.nodes]
        case ev.BatchCommitted():
            shown["rows"] = sum(receipt.row_count for receipt in event.receipts.values())
            shown["rows_written"] = sum(each.written_count for each in event.receipts.values())
        case ev.NodeChanged() if event.totals is not None and event.state.is_final:
            shown |= {
                each.name: value
                for each in fields(event.totals)
                if (value := getattr(event.totals, each.name))
            }
        case ev.ItemsListed():
            shown["items"] = len(event.items)
        case ev.ItemsChanged():
            shown["changes"] = len(event.changes)
        case ev.QualityChecked():
            shown["findings"] = [
                f"{finding.rule} ({finding.severity}): {finding.message}"
                for finding in event.findings
            ]
        case _:
            pass
    return shown


class _Empty:
    """Holds None and what has no length, without mistaking 0 and False for them."""

    def __contains__(self, value: object) -> bool:
        return value is None or (hasattr(value, "__len__") and len(value) == 0)


_EMPTY = _Empty()
