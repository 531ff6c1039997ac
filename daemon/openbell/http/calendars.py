"""Routes of calendars: how they stand, their sessions, and corrections made by hand."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from openbell.http import answers
from openbell.http.answers import JsonAnswer, page
from openbell.http.api import Api, by
from openbell.http.jobs import IdempotencyKey
from openbell.http.problems import ProblemError
from openbell.http.routing import add
from openbell.http.schemas.requests import OverlayRequest
from openbell.model.calendars import answer_fields, overlay_fields, session_fields


class CalendarRoutes:
    """`/api/v1/calendars`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/api/v1/calendars", tags=["calendars"])
        add(router, "GET ", self.listing, answer="CalendarPage")
        add(router, "GET /{name}", self.show, answer="Calendar")
        add(router, "GET /{name}/sessions", self.sessions, answer="SessionPage")
        add(router, "GET /{name}/next", self.next, answer="SessionPage")
        add(router, "GET /{name}/overlays", self.overlays, answer="OverlayPage")
        add(router, "POST /{name}/overlays", self.add, answer="OverlayChange", status=201)
        add(router, "DELETE /{name}/overlays/{id}", self.remove, answer="OverlayChange")
        return router

    async def listing(self, *, build: bool = False) -> Response:
        """List every calendar; `build` builds those that nobody asked for yet."""
        found = await self._api.calendars.statuses(build=build)
        return page([answers.fields(status) for status in found])

    async def show(self, name: str) -> Response:
        """Show how one calendar stands; it is built first."""
        return JsonAnswer(answers.fields(await self._api.calendars.status(name)))

    async def sessions(
        self,
        name: str,
        first: Annotated[date, Query(alias="from")],
        last: Annotated[date, Query(alias="to")],
    ) -> Response:
        """List the sessions with labels from `from` to `to`, both included."""
        if last < first:
            detail = f"to: {last} is before {first}, which is `from`; both are included"
            raise ProblemError(422, "invalid-request", detail)
        found = await self._api.calendars.sessions(name, first, last)
        return page([session_fields(hours) for hours in found])

    async def next(self, name: str, limit: Annotated[int, Query(ge=1, le=500)] = 1) -> Response:
        """List the next sessions to open."""
        found = await self._api.calendars.next(name, count=limit)
        return page([session_fields(hours) for hours in found])

    async def overlays(self, name: str) -> Response:
        """List the corrections of a calendar that are in force; `-` for those of all."""
        found = self._api.calendars.overlays(None if name == "-" else name)
        return page([overlay_fields(listed) for listed in found])

    async def add(
        self,
        request: Request,
        name: str,
        body: OverlayRequest,
        *,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Correct a calendar; the answer says what changes. With `dry_run` nothing does."""

        async def make() -> Response:
            answer = await self._api.calendars.add_overlay(
                body.overlay(name), kind=body.kind, by=by(request), dry_run=body.dry_run
            )
            status = 200 if body.dry_run else 201
            return JsonAnswer(answer_fields(answer), status_code=status)

        return await self._api.kept.once(request, idempotency_key, make)

    async def remove(
        self,
        request: Request,
        name: str,
        id: str,  # noqa: A002 - the name in the path
        *,
        dry_run: bool = False,
    ) -> Response:
        """Take a correction back; the answer says what changes. With `dry_run` nothing does."""
        answer = await self._api.calendars.remove_overlay(name, id, by=by(request), dry_run=dry_run)
        return JsonAnswer(answer_fields(answer))
