"""Routes that change runs under way: pause, priority, nodes that end, answers of people."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from openbell.http import answers
from openbell.http.answers import JsonAnswer, page
from openbell.http.api import Api, by
from openbell.http.jobs import IdempotencyKey
from openbell.http.routing import add
from openbell.http.schemas.requests import AnswerRequest, MarkRequest, PriorityRequest
from openbell.model.control import PipelineStatus


class ControlRoutes:
    """`/api/v1/runs/{id}/...`, `/api/v1/approvals`, and everything at once."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/api/v1", tags=["control"])
        add(router, "POST /pause", self.pause_all, answer="PipelinePage")
        add(router, "POST /resume", self.resume_all, answer="PipelinePage")
        add(router, "GET /approvals", self.waiting, answer="ApprovalPage")
        add(router, "GET /runs/{id}/approvals", self.approvals, answer="ApprovalPage")
        add(router, "POST /runs/{id}/pause", self.pause, answer="Run")
        add(router, "POST /runs/{id}/resume", self.resume, answer="Run")
        add(router, "PUT /runs/{id}/priority", self.prioritize, answer="Run")
        nodes = "/runs/{id}/nodes/{node}"
        add(router, f"POST {nodes}/cancel", self.cancel, answer="Node", status=202)
        add(router, f"POST {nodes}/mark", self.mark, answer="Node", status=202)
        add(router, f"POST {nodes}/answer", self.answer, answer="Approval")
        return router

    async def pause_all(
        self, request: Request, *, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Start no more runs of any pipeline, also over restarts; running ones go on."""
        return await self._switch_all(request, idempotency_key, paused=True)

    async def resume_all(
        self, request: Request, *, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Take that back; a pipeline that was paused by its name stays paused."""
        return await self._switch_all(request, idempotency_key, paused=False)

    async def _switch_all(self, request: Request, key: str | None, *, paused: bool) -> Response:
        engine = self._api.engine

        async def make() -> Response:
            switched = engine.pause_all if paused else engine.resume_all
            found: list[PipelineStatus] = list(await switched(by=by(request)))
            return page([answers.pipeline(status) for status in found])

        return await self._api.kept.once(request, key, make)

    async def waiting(self) -> Response:
        """List the questions of open nodes that nobody answered, oldest first."""
        return page([answers.fields(asked) for asked in await self._api.history.approvals()])

    async def approvals(self, id: str) -> Response:  # noqa: A002 - the name in the path
        """List what the nodes of a run asked, with the answers."""
        run = await self._api.find_run(id)
        found = await self._api.history.approvals(run.run_id)
        return page([answers.fields(asked) for asked in found])

    async def pause(
        self,
        request: Request,
        id: str,  # noqa: A002 - the name in the path
        *,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Begin no more nodes of an open run, also over restarts; running ones end."""
        return await self._switch(request, id, idempotency_key, paused=True)

    async def resume(
        self,
        request: Request,
        id: str,  # noqa: A002 - the name in the path
        *,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Let a paused run go on."""
        return await self._switch(request, id, idempotency_key, paused=False)

    async def _switch(
        self, request: Request, run: str, key: str | None, *, paused: bool
    ) -> Response:
        async def make() -> Response:
            found = await self._api.engine.control.pause(run, paused=paused, by=by(request))
            return JsonAnswer(answers.run(found))

        return await self._api.kept.once(request, key, make)

    async def prioritize(
        self,
        request: Request,
        id: str,  # noqa: A002 - the name in the path
        body: PriorityRequest,
    ) -> Response:
        """Give an open run another priority; what of it waits stands accordingly at once."""
        control = self._api.engine.control
        found = await control.prioritize(id, body.priority, by=by(request))
        return JsonAnswer(answers.run(found))

    async def cancel(
        self,
        request: Request,
        id: str,  # noqa: A002 - the name in the path
        node: str,
        *,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Ask one node of an open run to end, and its chain with it; running work is stopped."""

        async def make() -> Response:
            found = await self._api.engine.control.cancel_node(id, node, by=by(request))
            return JsonAnswer(answers.node(found), status_code=202)

        return await self._api.kept.once(request, idempotency_key, make)

    async def mark(
        self,
        request: Request,
        id: str,  # noqa: A002 - the name in the path
        node: str,
        body: MarkRequest,
        *,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Let a node of an open run end as a success or a failure; running work is stopped."""

        async def make() -> Response:
            found = await self._api.engine.control.mark(
                id, node, body.state, by=by(request), reason=body.reason, outcome=body.outcome
            )
            return JsonAnswer(answers.node(found), status_code=202)

        return await self._api.kept.once(request, idempotency_key, make)

    async def answer(
        self,
        request: Request,
        id: str,  # noqa: A002 - the name in the path
        node: str,
        body: AnswerRequest,
        *,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Answer what a node asks people; there is one answer."""

        async def make() -> Response:
            found = await self._api.engine.answer(
                id, node, body.label, by=by(request), item=body.item, comment=body.comment
            )
            return JsonAnswer(answers.fields(found))

        return await self._api.kept.once(request, idempotency_key, make)
