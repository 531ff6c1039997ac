"""Pauses of pipelines, one or all: on record, so that they outlast this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from openbell.model.control import PipelineStatus
from openbell.model.events import PipelinePaused
from openbell.supervisor.roster import ALL, Roster
from openbell.supervisor.services import Services


class Schedules(Protocol):
    """What fires the schedules."""

    async def pause_pipeline(self, event: PipelinePaused) -> None:
        """Record a pause; fires that are not due yet are decided later."""
        ...

    def poke(self) -> None:
        """Look again at what is due."""
        ...


class PauseDesk:
    """Lets pipelines start no more runs, and start them again."""

    def __init__(self, services: Services, roster: Roster, schedules: Schedules | None) -> None:
        self._services = services
        self._roster = roster
        self._schedules = schedules

    async def pause(self, pipeline: str, *, by: str) -> PipelineStatus:
        """Start no more runs of this pipeline, until somebody resumes it; its fires are missed."""
        supervised = self._roster.supervised(pipeline)
        await self._note(pipeline, paused=True, by=by)
        await supervised.pause()
        return supervised.status()

    async def resume(self, pipeline: str, *, by: str) -> PipelineStatus:
        """Let a paused or parked pipeline work again, once nothing holds all of them."""
        supervised = self._roster.supervised(pipeline)
        await self._note(pipeline, paused=False, by=by)
        if ALL not in self._roster.paused:
            await supervised.resume()
            self._poke()
        return supervised.status()

    async def pause_all(self, *, by: str) -> Sequence[PipelineStatus]:
        """Start no more runs of any pipeline, also of those to come."""
        await self._note(ALL, paused=True, by=by)
        for supervised in self._roster:
            if not supervised.is_paused:
                await supervised.pause()
        return self._roster.statuses()

    async def resume_all(self, *, by: str) -> Sequence[PipelineStatus]:
        """Take that back; what was paused by its name stays paused."""
        await self._note(ALL, paused=False, by=by)
        for supervised in self._roster:
            if supervised.name not in self._roster.paused and supervised.is_paused:
                await supervised.resume()
        self._poke()
        return self._roster.statuses()

    def _poke(self) -> None:
        if self._schedules is not None:
            self._schedules.poke()

    async def _note(self, pipeline: str, *, paused: bool, by: str) -> None:
        if (pipeline in self._roster.paused) == paused:
            return
        now = self._services.clock.now()
        event = PipelinePaused(at=now, pipeline=pipeline, paused=paused, by=by)
        if paused and self._schedules is not None:
            await self._schedules.pause_pipeline(event)
        else:
            await self._services.journal.record(event)
        others = self._roster.paused - {pipeline}
        self._roster.paused = others | {pipeline} if paused else others
