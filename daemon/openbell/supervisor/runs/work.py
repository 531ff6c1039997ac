"""Which way a unit is worked on."""

from __future__ import annotations

from typing import Protocol

from openbell.execution.chains import Unit
from openbell.supervisor.runs.context import Completion, RunContext
from openbell.supervisor.runs.control_work import ControlWork
from openbell.supervisor.runs.fan_out import FanOut
from openbell.supervisor.runs.worker_work import WorkerWork


class Work(Protocol):
    """A unit at work."""

    async def run(self) -> Completion:
        """Return how the unit ended; only that is left to record."""
        ...


def work_of(context: RunContext, unit: Unit) -> Work:
    """Return who works on `unit`."""
    if unit.head.for_each is not None:
        return FanOut(context, unit)
    return ControlWork(context, unit) if unit.kind == "control" else WorkerWork(context, unit)
