"""A scheduler that keeps schedules and never fires."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from openbell.calendars.names import CalendarCatalog
from openbell.model.calendars import CalendarRules
from openbell.model.control import ConflictError
from openbell.model.schedules import (
    NEWEST_FIRE,
    FireRecord,
    ScheduleRecord,
    ScheduleStatus,
    ScheduleUse,
    UnknownScheduleError,
    fire_place,
)
from openbell.schedule import uses

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
_NAMES = CalendarCatalog(CalendarRules())


class SchedulerDouble:
    """Answers for schedules as the real one does; `fired` are its decided fires."""

    def __init__(self) -> None:
        self._statuses: dict[str, ScheduleStatus] = {}
        self.fired: list[FireRecord] = []

    def keep(self, pipeline: str, use: ScheduleUse, **more: object) -> ScheduleStatus:
        """Put a schedule in force; `more` are fields of its record."""
        schedule_id = f"sch_{len(self._statuses) + 1}"
        fields: dict[str, object] = {"origin": "config", "added_by": ""} | more
        record = ScheduleRecord(
            schedule_id=schedule_id,
            pipeline=pipeline,
            key=uses.parsed(use, _NAMES).fingerprint,
            use=use,
            added_at=START,
            decided_until=START,
            passed_until=START,
            **fields,  # type: ignore[arg-type]
        )
        next_at = START + timedelta(hours=9)
        status = ScheduleStatus(
            record=record, state="active", next_at=next_at, next_session=START.date()
        )
        self._statuses[schedule_id] = status
        return status

    def decide(self, count: int, pipeline: str = "bars", schedule_id: str = "sch_1") -> None:
        """Decide some fires, a second apart."""
        for number in range(count):
            at = START + timedelta(seconds=number)
            fire = FireRecord(
                pipeline=pipeline,
                identity=f"f/-/every/{number}",
                schedule_id=schedule_id,
                session=None,
                event="every",
                index=number,
                due_at=at,
                decided_at=at,
                outcome="run",
                run_id=f"run_{number}",
            )
            self.fired.append(fire)
            self._statuses[schedule_id] = replace(self._statuses[schedule_id], last=fire)

    def statuses(self, pipeline: str | None = None) -> Sequence[ScheduleStatus]:
        found = [one for one in self._statuses.values() if pipeline in {None, one.record.pipeline}]
        return sorted(found, key=lambda one: (one.record.pipeline, one.record.use.expression))

    async def add(self, pipeline: str, use: ScheduleUse, *, by: str) -> ScheduleStatus:
        key = uses.parsed(use, _NAMES).fingerprint
        for status in self.statuses(pipeline):
            if status.record.key == key:
                has = status.record.use.expression
                raise ConflictError(f"{pipeline!r} has a schedule of this meaning: {has!r}")
        return self.keep(pipeline, use, origin="api", added_by=by)

    async def remove(self, schedule_id: str, *, by: str) -> ScheduleStatus:
        status = self._find(schedule_id)
        if status.record.origin == "config":
            raise ConflictError(f"schedule {schedule_id} stands in the configuration")
        del self._statuses[schedule_id]
        return replace(status, record=replace(status.record, removed_at=START, removed_by=by))

    async def pause(self, schedule_id: str, *, by: str) -> ScheduleStatus:
        return self._switch(schedule_id, paused=True)

    async def resume(self, schedule_id: str, *, by: str) -> ScheduleStatus:
        return self._switch(schedule_id, paused=False)

    async def fires(
        self, *, pipeline: str | None = None, limit: int = 100, before: str | None = None
    ) -> Sequence[FireRecord]:
        place = NEWEST_FIRE if before is None else fire_place(before)
        found = [
            one
            for one in self.fired
            if pipeline in {None, one.pipeline} and fire_place(one.cursor) < place
        ]
        return sorted(found, key=lambda one: fire_place(one.cursor), reverse=True)[:limit]

    def _find(self, schedule_id: str) -> ScheduleStatus:
        if schedule_id not in self._statuses:
            raise UnknownScheduleError(schedule_id)
        return self._statuses[schedule_id]

    def _switch(self, schedule_id: str, *, paused: bool) -> ScheduleStatus:
        status = self._find(schedule_id)
        record = replace(status.record, paused=paused)
        self._statuses[schedule_id] = replace(
            status, record=record, state="paused" if paused else "active"
        )
        return self._statuses[schedule_id]
