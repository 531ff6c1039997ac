"""A calendar service that needs no worker: the built-in and defined calendars."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openbell.calendars.store import SessionStore
from openbell.execution.protocol import Failed
from openbell.model.calendars import CalendarRules
from openbell.model.events import Event
from openbell.sdk.clock import Clock
from openbell.supervisor.calendar_service import CalendarService
from openbell.supervisor.calendars import CalendarDesk
from openbell.testing import ManualClock

NOWHERE = Path("/nonexistent/calendars")


class Builder:
    """An executor that hands out snapshots, and a reason for every other calendar."""

    def __init__(self, snapshots: dict[tuple[str, str], bytes] | None = None) -> None:
        self.snapshots = snapshots or {}
        self.asked: list[tuple[str, str]] = []

    async def submit(self, task: Any, listener: object, stop: object) -> tuple[Any, int]:
        name = task.arguments["calendar"]
        self.asked.append((task.function.partition(":")[2], name))
        content = self.snapshots.get(self.asked[-1])
        if content is not None:
            return Done(content), 1
        return Failed(
            node="",
            kind="bug",
            message="implemented by subclasses",
            traceback="",
            is_retryable=False,
        ), 1


class Done:
    """The answer of a worker that ended well."""

    def __init__(self, result: object) -> None:
        self.result = result


class Told:
    """Hears events; raises what it was given instead, once."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.failure: Exception | None = None

    async def __call__(self, *events: Event) -> None:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        self.events += events

    def of(self, kind: type[Event]) -> Sequence[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def calendar_desk(
    *,
    folder: Path = NOWHERE,
    rules: CalendarRules | None = None,
    builder: Builder | None = None,
    told: Told | None = None,
    clock: Clock | None = None,
) -> CalendarDesk:
    store = SessionStore(folder, rules=rules)
    executor: Any = builder or Builder()
    return CalendarDesk(store, executor, clock or ManualClock(), told or Told())


def calendar_service(
    desk: CalendarDesk | None = None, told: Told | None = None, clock: Clock | None = None
) -> CalendarService:
    numbers = itertools.count(1)
    return CalendarService(
        desk or calendar_desk(),
        told or Told(),
        clock=clock or ManualClock(),
        random_bits=lambda bits: next(numbers) % 2**bits,
    )
