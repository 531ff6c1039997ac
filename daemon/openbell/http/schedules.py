"""Routes of schedules: those in force, what became of their fires, and schedules made by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from openbell.calendars.names import CalendarCatalog
from openbell.config.problems import Problems
from openbell.config.schedules import ScheduleReader
from openbell.config.tree import Mark, Tree
from openbell.http.answers import JsonAnswer, page
from openbell.http.api import Api, by
from openbell.http.jobs import IdempotencyKey
from openbell.http.problems import ProblemError
from openbell.http.routing import add
from openbell.http.runs import Limit
from openbell.http.schemas.requests import ScheduleRequest
from openbell.model.control import UnknownPipelineError
from openbell.model.schedule_answers import fire_fields, schedule_fields
from openbell.model.schedules import (
    NEWEST_FIRE,
    ScheduleStatus,
    ScheduleUse,
    UnknownScheduleError,
    fire_place,
)

_Change = Callable[..., Awaitable[ScheduleStatus]]


class ScheduleRoutes:
    """`/api/v1/schedules` and `/api/v1/fires`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/api/v1", tags=["schedules"])
        add(router, "GET /schedules", self.listing, answer="SchedulePage")
        add(router, "POST /schedules", self.add, answer="Schedule", status=201)
        add(router, "GET /schedules/{id}", self.show, answer="Schedule")
        add(router, "DELETE /schedules/{id}", self.remove, answer="Schedule")
        add(router, "POST /schedules/{id}/pause", self.pause, answer="Schedule")
        add(router, "POST /schedules/{id}/resume", self.resume, answer="Schedule")
        add(router, "GET /fires", self.fires, answer="FirePage")
        return router

    async def listing(
        self, *, pipeline: str | None = None, cursor: str | None = None, limit: Limit = 500
    ) -> Response:
        """List schedules in force by pipeline, each with its next and its last fire."""
        found = list(self._api.schedules.statuses(pipeline))
        ids = [status.record.schedule_id for status in found]
        start = ids.index(cursor) + 1 if cursor in ids else 0
        shown = found[start : start + limit]
        more = shown[-1].record.schedule_id if start + limit < len(found) else None
        return page([schedule_fields(status) for status in shown], more)

    async def add(
        self,
        request: Request,
        body: ScheduleRequest,
        *,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Let a pipeline run by one more schedule; it is durable when the answer arrives."""

        async def make() -> Response:
            use = self._use(body)
            status = await self._api.schedules.add(body.pipeline, use, by=by(request))
            location = f"/api/v1/schedules/{status.record.schedule_id}"
            return JsonAnswer(
                schedule_fields(status), status_code=201, headers={"location": location}
            )

        return await self._api.kept.once(request, idempotency_key, make)

    def _use(self, body: ScheduleRequest) -> ScheduleUse:
        """Return the schedule that a request describes; raises the problem with all of it."""
        deployment = self._api.engine.deployment
        known = [status.name for status in self._api.engine.pipelines()]
        if body.pipeline not in known:
            raise UnknownPipelineError(body.pipeline, known)
        pipeline = deployment.pipelines.get(body.pipeline)
        problems = Problems(Tree({}, Mark()))
        reader = ScheduleReader(
            problems,
            CalendarCatalog(deployment.calendars),
            (),
            params=body.params if pipeline is None else pipeline.params,
        )
        use = reader.one(body)
        found = problems.sorted()
        if found:
            errors = [
                {"in": "body", "key": each.key, "message": each.message, "hint": each.hint}
                for each in found
            ]
            detail = "; ".join(f"{each.key}: {each.message}" for each in found)
            raise ProblemError(422, "invalid-request", detail, errors=errors)
        return use

    async def show(self, id: str) -> Response:  # noqa: A002 - the name in the path
        """Show one schedule in force."""
        for status in self._api.schedules.statuses():
            if status.record.schedule_id == id:
                return JsonAnswer(schedule_fields(status))
        raise UnknownScheduleError(id)

    async def remove(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the path
        """Delete a schedule that was made by hand; what it fired stays on record."""
        return JsonAnswer(schedule_fields(await self._api.schedules.remove(id, by=by(request))))

    async def pause(
        self,
        request: Request,
        id: str,  # noqa: A002 - the name in the path
        *,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Take no fires of a schedule for now; when it is resumed those are missed fires."""
        return await self._changed(request, id, idempotency_key, self._api.schedules.pause)

    async def resume(
        self,
        request: Request,
        id: str,  # noqa: A002 - the name in the path
        *,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Take fires of a schedule again; its `on_missed` decides about those since the pause."""
        return await self._changed(request, id, idempotency_key, self._api.schedules.resume)

    async def _changed(
        self, request: Request, schedule_id: str, key: str | None, change: _Change
    ) -> Response:
        async def make() -> Response:
            return JsonAnswer(schedule_fields(await change(schedule_id, by=by(request))))

        return await self._api.kept.once(request, key, make)

    async def fires(
        self,
        *,
        pipeline: str | None = None,
        cursor: Annotated[str | None, Query(max_length=1000)] = None,
        limit: Limit = 50,
    ) -> Response:
        """List decided fires, newest first; `cursor` is the `next` of the page before."""
        if cursor is not None:
            _check(cursor)
        found = await self._api.schedules.fires(pipeline=pipeline, limit=limit + 1, before=cursor)
        more = found[limit - 1].cursor if len(found) > limit else None
        return page([fire_fields(fire) for fire in found[:limit]], more)


def _check(cursor: str) -> None:
    try:
        is_place = all(number < NEWEST_FIRE[0] for number in fire_place(cursor)[:2])
    except ValueError:
        is_place = False
    if not is_place:
        detail = "cursor: it is none that a page of fires gave as its `next`"
        raise ProblemError(422, "invalid-request", detail)
