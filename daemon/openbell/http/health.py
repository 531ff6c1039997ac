"""Routes that watchers ask: liveness, readiness, metrics, lineage."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from openbell.http.answers import JsonAnswer, page
from openbell.http.api import Api
from openbell.http.problems import ProblemAnswer
from openbell.http.routing import add

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class HealthRoutes:
    """`/livez`, `/readyz`, `/metrics`, and the pipeline's numbers."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["health"])
        add(router, "GET /livez", self.livez, answer="Health")
        add(router, "GET /readyz", self.readyz, answer="Health")
        add(router, "GET /metrics", self.metrics, answer="", media="text/plain")
        add(router, "GET /api/pipeline/metrics", self.totals, answer="Totals")
        add(router, "GET /api/pipeline/lineage/{dataset}", self.lineage, answer="LineagePage")
        return router

    async def livez(self) -> Response:
        """Answer that the daemon's loop turns."""
        return JsonAnswer({"status": "alive"})

    async def readyz(self) -> Response:
        """Answer whether the daemon takes work; 503 while it starts or stops."""
        state = self._api.engine.status().state
        if state == "running":
            return JsonAnswer({"status": "ready"})
        return ProblemAnswer.of(
            503, "unavailable", f"the daemon is {state}", headers={"retry-after": "1"}
        )

    async def metrics(self) -> Response:
        """Show the metrics in Prometheus' text format."""
        return Response(self._api.metrics(), media_type=PROMETHEUS)

    async def totals(self) -> Response:
        """Show totals: runs by state, rows, batches, and what is at work now."""
        status = self._api.engine.status()
        return JsonAnswer(
            {
                **await self._api.history.metrics(),
                "active_runs": status.active_runs,
                "queued_runs": status.queued_runs,
                "workers": status.workers,
            }
        )

    async def lineage(
        self, dataset: str, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> Response:
        """List the newest commits into a dataset: by which run and node, which rows, which version."""
        found = await self._api.history.lineage(dataset, limit=limit)
        if not found:
            self._api.check_dataset(dataset)
        return page(list(found))
