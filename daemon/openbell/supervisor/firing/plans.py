"""Every schedule's line, and a heap of when each is to be looked at. Waits for nothing."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta

from openbell.calendars.names import UnknownCalendarError
from openbell.schedule.errors import ScheduleError
from openbell.schedule.fires import Fire
from openbell.schedule.planner import Planner
from openbell.schedule.triggers import UnplannableError
from openbell.schedule.uses import deadline, parsed
from openbell.supervisor.firing.crew import Crew
from openbell.supervisor.firing.decisions import source_calendar
from openbell.supervisor.firing.line import Line
from openbell.supervisor.firing.tables import LoadedTables
from openbell.supervisor.services import Services

MIN_LEAD = timedelta(seconds=1)
"""Fires are looked at so long before they are due, at least."""

MAX_LEAD = timedelta(seconds=10)
"""And so long at most, however many there are."""

_TIMES = 2.0


class Plans:
    """The schedules in force. What is due soon is looked at `lead` before."""

    def __init__(self, services: Services, crew: Crew, tables: LoadedTables) -> None:
        self._services = services
        self._crew = crew
        self._tables = tables
        self._planner = Planner(tables)
        self._order = itertools.count()
        self._lines: dict[str, Line] = {}
        self._heap: list[tuple[datetime, int, Line, int]] = []
        self._brought: dict[str, list[Fire]] = {}
        self._fire_s = 0.0

    @property
    def lines(self) -> Collection[Line]:
        """Every schedule in force."""
        return self._lines.values()

    @property
    def lead(self) -> timedelta:
        """How long before they are due fires are looked at: so long that all can be on record."""
        worst = timedelta(seconds=_TIMES * self._fire_s * len(self._lines))
        return min(max(MIN_LEAD, worst), MAX_LEAD)

    def took(self, seconds: float, fires: int) -> None:
        """Learn how long it took to put fires on record."""
        self._fire_s = max(seconds / fires, 0.9 * self._fire_s)

    def line(self, schedule_id: str) -> Line | None:
        """Return a schedule in force, or None."""
        return self._lines.get(schedule_id)

    def put(self, line: Line) -> Line:
        """Have a schedule in force."""
        self._lines[line.record.schedule_id] = line
        return line

    def drop(self, schedule_id: str) -> None:
        """Let go of a schedule."""
        self._lines.pop(schedule_id).turn += 1

    def missing(self, known: Collection[str]) -> list[Line]:
        """Return the schedules in force that are not among these."""
        return [line for schedule_id, line in self._lines.items() if schedule_id not in known]

    def bring(self, line: Line, found: list[Fire]) -> None:
        """Have these fires looked at now."""
        if found:
            self._brought[line.record.schedule_id] = found
        self.push(line)

    def brought(self, line: Line) -> list[Fire] | None:
        """Return the fires that a correction brought, once."""
        return self._brought.pop(line.record.schedule_id, None)

    def plan(self, lines: Iterable[Line]) -> None:
        """Plan these schedules by the calendars of now; one that cannot be planned says why.

        One whose calendar is still being loaded waits for that.
        """
        for line in list(lines):
            self._plan(line)
            self.push(line)

    def _plan(self, line: Line) -> None:
        names, use = self._tables.names, line.record.use
        try:
            schedule, before = parsed(use, names), deadline(use, names)
        except ScheduleError as error:
            line.needed = frozenset()
            line.fail(str(error))
            return
        asked = {*schedule.calendars, *(before.calendars if before else ())}
        line.needed = frozenset({*asked, *self.sources(line.record.pipeline)})
        self._tables.want(sorted(line.needed))
        failures = [reason for name in sorted(asked) if (reason := self._tables.failure(name))]
        if failures:
            line.fail(failures[0])
        elif not all(map(self._tables.is_known, line.needed)):
            line.wait()
        else:
            try:
                line.plan(self._planner, schedule, before)
            except UnplannableError as error:
                line.fail(str(error))

    def sources(self, name: str) -> Iterator[str]:
        """Yield the calendar by whose sessions runs of a pipeline are labelled, if there is one."""
        pipeline = self._crew.definitions.pipelines.get(name)
        if pipeline is not None and pipeline.mode == "interval":
            source = source_calendar(pipeline, self._services.deployment)
            if source is not None:
                try:
                    yield self._tables.names.canonical(source)
                except UnknownCalendarError:
                    return

    def push(self, line: Line) -> None:
        """Look at a schedule when something of it may be due."""
        at = line.wake_at(self.lead)
        if line.record.schedule_id in self._brought:
            at = self._services.clock.now()
        self.put_off(line, at)

    def put_off(self, line: Line, at: datetime | None) -> None:
        """Look at a schedule at this instant, and not before."""
        line.turn += 1
        if at is not None:
            heapq.heappush(self._heap, (at, next(self._order), line, line.turn))

    def due(self, now: datetime) -> Iterator[Line]:
        """Yield each schedule that is to be looked at by now."""
        while self._heap and self._heap[0][0] <= now:
            _, _, line, turn = heapq.heappop(self._heap)
            if turn == line.turn:
                yield line

    def next_look(self, latest: datetime) -> datetime:
        """Return when a schedule is to be looked at, `latest` if none is before."""
        while self._heap and self._heap[0][3] != self._heap[0][2].turn:
            heapq.heappop(self._heap)
        return min(self._heap[0][0], latest) if self._heap else latest
