"""The stream of events: history after `Last-Event-ID`, then live, without gap or repeat."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from openbell.http import answers
from openbell.http.answers import page
from openbell.http.api import Api
from openbell.http.routing import MAX_ID, add
from openbell.http.sse import EVENT_STREAM, EventStream, Message
from openbell.model.events import Event, StoredEvent

_PAGE = 1000


class EventRoutes:
    """`/api/v1/events`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["events"])
        add(router, "GET /api/v1/events", self.events, answer="", media=EVENT_STREAM)
        return router

    async def events(
        self,
        request: Request,
        *,
        run: str | None = None,
        pipeline: str | None = None,
        after: Annotated[int | None, Query(ge=0, le=MAX_ID)] = None,
        follow: bool = True,
        limit: Annotated[int, Query(ge=1, le=5000)] = _PAGE,
        last_event_id: Annotated[int | None, Header(ge=0, le=MAX_ID)] = None,
    ) -> Response:
        """Stream events: those after `after` or `Last-Event-ID`, then each as it happens.

        Without either the stream begins now. With `follow=false` one page of JSON is returned
        instead. An event that is not kept (such as progress) has no id.
        """
        start = last_event_id if last_event_id is not None else after
        if not follow:
            return await self._page(run, pipeline, start or 0, limit)
        return EventStream(self._api, request, self._stream(run, pipeline, start))

    async def _page(
        self, run: str | None, pipeline: str | None, after: int, limit: int
    ) -> Response:
        history = self._api.history
        found = await history.events(after_id=after, limit=limit, run_id=run)
        last = found[-1].id if found else after
        more = await history.events(after_id=last, limit=1, run_id=run)
        shown = [answers.event(event) for event in found if _is_wanted(event, run, pipeline)]
        return page(shown, str(last) if more else None)

    async def _stream(
        self, run: str | None, pipeline: str | None, start: int | None
    ) -> AsyncGenerator[Message, None]:
        history = self._api.history
        with self._api.engine.subscribe() as live:
            # What happens from here on is in `live`; what happened before is in history. Events
            # in between are in both, and `last` drops the second copy.
            last = await history.last_event_id() if start is None else start
            while stored := await history.events(after_id=last, limit=_PAGE, run_id=run):
                for event in stored:
                    last = event.id
                    if _is_wanted(event, run, pipeline):
                        yield _message(event)
            async for news in live:
                if isinstance(news, StoredEvent):
                    if news.id <= last:
                        continue
                    last = news.id
                if _is_wanted(news, run, pipeline):
                    yield _message(news)
        yield Message("lost", {"reason": "this client reads too slowly; resume by Last-Event-ID"})


def _is_wanted(event: StoredEvent | Event, run: str | None, pipeline: str | None) -> bool:
    return (run is None or getattr(event, "run_id", None) == run) and (
        pipeline is None or getattr(event, "pipeline", None) == pipeline
    )


def _message(event: StoredEvent | Event) -> Message:
    kept_id = event.id if isinstance(event, StoredEvent) else None
    return Message(event.name, answers.event(event), id=kept_id)
