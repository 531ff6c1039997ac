"""Schedules as the engine and the API know them, over every crash of the task that fires them."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import anyio

from openbell.model.control import ConflictError, UnknownPipelineError
from openbell.model.events import (
    ActorCrashed,
    Event,
    PipelineParked,
    PipelinePaused,
    SchedulePaused,
    ScheduleRemoved,
)
from openbell.model.schedules import (
    FireRecord,
    ScheduleStatus,
    ScheduleUse,
    UnknownScheduleError,
)
from openbell.schedule.errors import ScheduleError
from openbell.schedule.uses import deadline, parsed
from openbell.sdk.errors import Problem, SettingsError
from openbell.supervisor.crashes import crash_of
from openbell.supervisor.firing.crew import Crew
from openbell.supervisor.firing.firing import Firing
from openbell.supervisor.firing.line import Line
from openbell.supervisor.firing.register import key_of
from openbell.supervisor.firing.tables import Calendars
from openbell.supervisor.innermost import innermost
from openbell.supervisor.intake import Intake
from openbell.supervisor.restart import RestartPolicy, next_delay_s
from openbell.supervisor.services import Services

NAME = "(schedules)"
"""What the task that fires is called where other tasks are pipelines."""


class ScheduleDesk:
    """`Schedules`: every schedule in force, fired by a task that is started again when it crashes."""

    def __init__(
        self,
        services: Services,
        crew: Crew,
        intake: Intake,
        *,
        calendars: Calendars,
        policy: RestartPolicy,
        is_open: Callable[[], bool],
    ) -> None:
        self._services = services
        self._crew = crew
        self._intake = intake
        self._calendars = calendars
        self._policy = policy
        self._is_open = is_open
        self._crashes: deque[float] = deque(maxlen=100)
        self._firing = self._make(is_again=False)
        self._wake = anyio.Event()
        self.parked_reason = ""
        services.journal.observe(self)

    def _make(self, *, is_again: bool) -> Firing:
        return Firing(
            self._services,
            self._crew,
            self._intake.prepared,
            calendars=self._calendars,
            is_open=self._is_open,
            is_again=is_again,
        )

    def see(self, event: Event) -> None:
        """Hear of what changes plans."""
        self._firing.see(event)

    def poke(self) -> None:
        """Look at every schedule again: a pipeline takes work that took none."""
        self._wake.set()
        self._firing.poke()

    async def reload(self) -> None:
        """Let the schedules of the definitions in force be in force."""
        self._wake.set()
        await self._firing.reload()

    async def run(self) -> None:
        """Fire until the engine takes no more work; start again after crashes, or wait."""
        while self._is_open():
            error = await crash_of(self._firing.run)
            if error is not None:
                await self._crashed(error)
                self._firing = self._make(is_again=True)

    async def _crashed(self, error: Exception) -> None:
        clock, journal = self._services.clock, self._services.journal
        now_s = clock.monotonic()
        self._crashes.append(now_s)
        delay_s = next_delay_s(self._policy, tuple(self._crashes), now_s)
        text = "".join(traceback.format_exception(error))[-4000:]
        restart_in_s = -1.0 if delay_s is None else delay_s
        await journal.insist(
            ActorCrashed(at=clock.now(), pipeline=NAME, error=text, restart_in_s=restart_in_s)
        )
        if delay_s is not None:
            await clock.sleep(delay_s)
            return
        self.parked_reason = f"crashed {len(self._crashes)} times: {innermost(error)!r}"
        self._wake = anyio.Event()
        await journal.insist(
            PipelineParked(at=clock.now(), pipeline=NAME, reason=self.parked_reason)
        )
        await self._wake.wait()
        self._crashes.clear()
        self.parked_reason = ""

    def statuses(self, pipeline: str | None = None) -> Sequence[ScheduleStatus]:
        """Return every schedule in force, by pipeline and expression."""
        now = self._services.clock.now()
        found = [
            self._status(line, now)
            for line in self._firing.lines
            if pipeline in {None, line.record.pipeline}
        ]
        return sorted(found, key=lambda one: (one.record.pipeline, one.record.use.expression))

    def _status(self, line: Line, now: datetime) -> ScheduleStatus:
        record, fire = line.record, line.next_fire
        status = ScheduleStatus(
            record=record,
            state="active",
            next_at=line.next_at,
            next_session=fire.session if fire else None,
            last=line.last,
        )
        reason = self._hindrance(line)
        if reason:
            return replace(status, state="failed", next_at=None, next_session=None, reason=reason)
        if record.paused or self._crew.standing(record.pipeline) == "paused":
            reason = "" if record.paused else f"pipeline {record.pipeline!r} is paused"
            return replace(status, state="paused", next_at=None, next_session=None, reason=reason)
        if record.use.active_from is not None and now < record.use.active_from:
            return replace(status, state="waiting")
        return replace(status, state="over") if line.is_over else status

    def _hindrance(self, line: Line) -> str:
        """Return why a schedule cannot fire, whoever lets it; empty when it can."""
        standing = self._crew.standing(line.record.pipeline)
        if self.parked_reason or line.reason:
            return self.parked_reason or line.reason
        if standing not in {"active", "starting", "paused"}:
            return f"pipeline {line.record.pipeline!r} is {standing}"
        is_planned = line.schedule is not None
        is_at_its_end = (
            is_planned and not line.is_loading and line.next_at is None and not line.is_over
        )
        return "nothing more is known of its calendar" if is_at_its_end else ""

    async def add(self, pipeline: str, use: ScheduleUse, *, by: str) -> ScheduleStatus:
        """Add a schedule; it is durable when this returns."""
        names = self._calendars.names
        try:
            key = key_of(use, names)
            deadline(use, names)
        except ScheduleError as error:
            problem = Problem(
                key="schedule", message=f"{error.message} in {error.text!r}", hint=error.hint
            )
            raise SettingsError([problem]) from error
        await self._firing.is_begun.wait()
        firing = self._firing
        asked = {*parsed(use, names).calendars, *firing.plans.sources(pipeline)}
        await firing.tables.preload(sorted(asked))
        async with firing.changing:
            definitions = self._crew.definitions
            if pipeline not in definitions.pipelines:
                raise UnknownPipelineError(pipeline, [*definitions.pipelines, *definitions.refused])
            known = firing.register.of_key(pipeline, key)
            if known is not None and known.removed_at is None:
                raise ConflictError(
                    f"{known.schedule_id} of {pipeline!r} means the same: {known.use.expression}"
                )
            now = self._services.clock.now()
            record, event = firing.register.added(pipeline, key, use, at=now, by=by or "api")
            await self._services.journal.record(event)
            line = firing.adopt(record)
        firing.poke()
        return self._status(line, self._services.clock.now())

    async def remove(self, schedule_id: str, *, by: str) -> ScheduleStatus:
        """Delete a schedule that was added by hand."""
        await self._firing.is_begun.wait()
        firing = self._firing
        async with firing.changing:
            line = self._line(schedule_id)
            if line.record.origin == "config":
                raise ConflictError(
                    f"schedule {schedule_id} comes from the configuration; change it there, or "
                    "pause it"
                )
            now = self._services.clock.now()
            event = ScheduleRemoved(
                at=now, schedule_id=schedule_id, pipeline=line.record.pipeline, by=by
            )
            await firing.take_back([line], event, reason="its schedule was deleted")
            firing.drop(schedule_id, replace(line.record, removed_at=now, removed_by=by))
        line.record = replace(line.record, removed_at=now, removed_by=by)
        status = self._status(line, now)
        return replace(status, state="over", next_at=None, next_session=None)

    async def pause(self, schedule_id: str, *, by: str) -> ScheduleStatus:
        """Take no fires for now; at `resume` those are missed fires."""
        return await self._set_paused(schedule_id, paused=True, by=by)

    async def resume(self, schedule_id: str, *, by: str) -> ScheduleStatus:
        """Take fires again; `on_missed` decides about those since the pause."""
        return await self._set_paused(schedule_id, paused=False, by=by)

    async def _set_paused(self, schedule_id: str, *, paused: bool, by: str) -> ScheduleStatus:
        await self._firing.is_begun.wait()
        firing = self._firing
        async with firing.changing:
            line = self._line(schedule_id)
            now = self._services.clock.now()
            if line.record.paused != paused:
                event = SchedulePaused(
                    at=now,
                    schedule_id=schedule_id,
                    pipeline=line.record.pipeline,
                    paused=paused,
                    by=by,
                )
                lines = [line] if paused else []
                await firing.take_back(lines, event, reason="its schedule was paused")
                line.record = replace(line.record, paused=paused)
                firing.register.keep(line.record)
        firing.poke()
        return self._status(line, now)

    async def pause_pipeline(self, event: PipelinePaused) -> None:
        """Record that a pipeline is paused; its fires that are not due yet are decided later."""
        firing = self._firing
        async with firing.changing:
            lines = [line for line in firing.lines if event.pipeline in {"", line.record.pipeline}]
            await firing.take_back(lines, event, reason="its pipeline was paused")

    def _line(self, schedule_id: str) -> Line:
        line = self._firing.plans.line(schedule_id)
        if line is None:
            raise UnknownScheduleError(schedule_id)
        return line

    async def fires(
        self, *, pipeline: str | None = None, limit: int = 100, before: str | None = None
    ) -> Sequence[FireRecord]:
        """Return decided fires, newest first."""
        return await self._services.history.fires(pipeline=pipeline, limit=limit, before=before)
