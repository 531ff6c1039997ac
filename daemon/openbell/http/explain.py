"""Routes that say why work did not run."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from openbell.http.answers import JsonAnswer, fields
from openbell.http.api import Api
from openbell.http.routing import add
from openbell.model.explanations import Explanation
from openbell.supervisor.explain.explainer import Explainer


class ExplainRoutes:
    """`/api/v1/explain`."""

    def __init__(self, api: Api) -> None:
        self._explainer = Explainer(api.history, api.clock, present=api.engine, fires=api.schedules)

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/api/v1/explain", tags=["explain"])
        add(router, "GET /runs/{id}", self.run, answer="Explanation")
        add(router, "GET /runs/{id}/nodes/{node}", self.node, answer="Explanation")
        add(router, "GET /pipelines/{name}", self.pipeline, answer="Explanation")
        return router

    async def run(self, id: str) -> Response:  # noqa: A002 - the name in the path
        """Say why a run waits, how far it is, or why it ended as it did."""
        return answer(await self._explainer.run(id))

    async def node(self, id: str, node: str) -> Response:  # noqa: A002 - the name in the path
        """Say why a node of a run did not run, or why it ended as it did."""
        return answer(await self._explainer.node(id, node))

    async def pipeline(self, name: str) -> Response:
        """Say why nothing of a pipeline runs, when it fires next, and what became of its fires."""
        return answer(await self._explainer.pipeline(name))


def answer(found: Explanation) -> JsonAnswer:
    """Return an explanation as JSON."""
    return JsonAnswer({**fields(found), "sentences": [fields(each) for each in found.sentences]})
