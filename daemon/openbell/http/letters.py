"""Routes of dead letters: list them, look at one, replay it, give it up."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from openbell.http import answers
from openbell.http.answers import JsonAnswer, page
from openbell.http.api import Api, by
from openbell.http.jobs import IdempotencyKey, accepted
from openbell.http.problems import ProblemError
from openbell.http.routing import add
from openbell.http.runs import Limit
from openbell.model.letters import LetterFilter, LetterState, UnknownLetterError

LetterStateName = Literal["waiting", "replayed", "purged"]


class LetterRoutes:
    """`/api/v1/dlq`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/api/v1/dlq", tags=["dead letters"])
        add(router, "GET ", self.listing, answer="LetterPage")
        add(router, "GET /{id}", self.show, answer="Letter")
        add(router, "POST /{id}/replay", self.replay, answer="Run", status=202)
        add(router, "DELETE /{id}", self.purge, answer="Letter")
        return router

    async def listing(
        self,
        *,
        pipeline: str | None = None,
        state: LetterStateName | None = None,
        kind: str | None = None,
        run: str | None = None,
        since: datetime | None = None,
        cursor: str | None = None,
        limit: Limit = 50,
    ) -> Response:
        """List dead letters, newest first; `cursor` is the `next` of the page before."""
        if since is not None and since.tzinfo is None:
            detail = "since: it says no time zone; write it as 2026-01-31T12:00:00Z"
            raise ProblemError(422, "invalid-request", detail)
        wanted = LetterFilter(
            pipeline=pipeline,
            state=None if state is None else LetterState(state),
            run_id=run,
            kind=kind,
            since=since,
            before=cursor,
            limit=limit,
        )
        history = self._api.history
        found = await history.dead_letters(wanted)
        last = found[-1].letter_id if found else None
        more = last and await history.dead_letters(replace(wanted, before=last, limit=1))
        return page([answers.fields(letter) for letter in found], last if more else None)

    async def show(self, id: str) -> Response:  # noqa: A002 - the name in the path
        """Show a dead letter: what was given, what went wrong, and what became of it."""
        letter = await self._api.history.dead_letter(id)
        if letter is None:
            raise UnknownLetterError(id)
        return JsonAnswer(answers.fields(letter))

    async def replay(
        self,
        request: Request,
        id: str,  # noqa: A002 - the name in the path
        *,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Submit a run that goes on from what failed; all letters of that run are replayed by it."""

        async def make() -> Response:
            return accepted(await self._api.engine.replay(id, by=by(request)))

        return await self._api.kept.once(request, idempotency_key, make)

    async def purge(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the path
        """Give a dead letter up; it stays on record with who did it."""
        return JsonAnswer(answers.fields(await self._api.engine.purge(id, by=by(request))))
