"""Routes of the daemon itself: how it stands, what is configured, reload and stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, Request
from starlette.responses import Response

from openbell.http import answers
from openbell.http.answers import JsonAnswer, page
from openbell.http.api import Api, by
from openbell.http.jobs import IdempotencyKey
from openbell.http.redaction import view
from openbell.http.routing import add
from openbell.http.schemas.requests import StopRequest
from openbell.model.control import PipelineStatus, UnknownPipelineError


class DaemonRoutes:
    """`/api/v1/...` beside runs, workflows and events."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/api/v1", tags=["daemon"])
        add(router, "GET /status", self.status, answer="DaemonStatus")
        add(router, "GET /config", self.config, answer="Config")
        add(router, "POST /reload", self.reload, answer="Reloaded")
        add(router, "POST /stop", self.stop, answer="DaemonStatus", status=202)
        add(router, "POST /drain", self.drain, answer="DaemonStatus", status=202)
        add(router, "GET /pipelines", self.pipelines, answer="PipelinePage")
        add(router, "GET /pipelines/{id}", self.pipeline, answer="Pipeline")
        add(router, "POST /pipelines/{id}/pause", self.pause, answer="Pipeline")
        add(router, "POST /pipelines/{id}/resume", self.resume, answer="Pipeline")
        add(router, "GET /datasets", self.datasets, answer="DatasetPage")
        add(router, "GET /plugins", self.plugins, answer="PluginPage")
        add(router, "GET /workers", self.workers, answer="WorkerPage")
        add(router, "GET /budgets", self.budgets, answer="BudgetPage")
        return router

    async def status(self) -> Response:
        """Show the daemon as it stands."""
        return JsonAnswer(answers.fields(self._api.engine.status()))

    async def config(self) -> Response:
        """Show the configuration in force, without secrets."""
        return JsonAnswer(view(self._api.engine.deployment))

    async def reload(self, request: Request, *, idempotency_key: IdempotencyKey = None) -> Response:
        """Read the configuration again and apply the difference; a wrong one changes nothing."""

        async def make() -> Response:
            return JsonAnswer(answers.fields(await self._api.engine.reload()))

        return await self._api.kept.once(request, idempotency_key, make)

    async def stop(
        self,
        request: Request,
        body: StopRequest | None = None,
        *,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """End the daemon: after the work in hand, or at once with `{"how": "fast"}`."""
        is_fast = body is not None and body.how == "fast"
        return await self._end(request, idempotency_key, is_fast=is_fast)

    async def drain(self, request: Request, *, idempotency_key: IdempotencyKey = None) -> Response:
        """Take no more work, let the work in hand end, then end the daemon."""
        return await self._end(request, idempotency_key, is_fast=False)

    async def _end(self, request: Request, key: str | None, *, is_fast: bool) -> Response:
        async def make() -> Response:
            self._api.engine.request_stop(fast=is_fast)
            return JsonAnswer(answers.fields(self._api.engine.status()), status_code=202)

        return await self._api.kept.once(request, key, make)

    async def pipelines(self) -> Response:
        """List every pipeline, by name."""
        return page([answers.pipeline(status) for status in self._api.engine.pipelines()])

    async def pipeline(self, id: str) -> Response:  # noqa: A002 - the name in the path
        """Show one pipeline."""
        return JsonAnswer(answers.pipeline(self._find(id)))

    async def pause(
        self,
        request: Request,
        id: str,  # noqa: A002 - the name in the path
        *,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Start no more runs of this pipeline; running ones go on."""

        async def make() -> Response:
            return JsonAnswer(answers.pipeline(await self._api.engine.pause(id, by=by(request))))

        return await self._api.kept.once(request, idempotency_key, make)

    async def resume(
        self,
        request: Request,
        id: str,  # noqa: A002 - the name in the path
        *,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Let a paused or parked pipeline work again."""

        async def make() -> Response:
            return JsonAnswer(answers.pipeline(await self._api.engine.resume(id, by=by(request))))

        return await self._api.kept.once(request, idempotency_key, make)

    async def datasets(self) -> Response:
        """List the configured datasets, by name."""
        datasets = self._api.engine.deployment.datasets
        return page([answers.fields(datasets[name]) for name in sorted(datasets)])

    async def plugins(self) -> Response:
        """List every plugin, also those that were refused, with the reason."""
        return page(
            [
                {
                    "name": plugin.name,
                    "distribution": plugin.distribution,
                    "version": plugin.version,
                    "state": plugin.state,
                    "reason": plugin.reason,
                    "warnings": list(plugin.warnings),
                    "registers": _registered(plugin.registers),
                }
                for plugin in self._api.plugins
            ]
        )

    async def workers(self) -> Response:
        """List the worker processes, oldest first."""
        return page([answers.fields(worker) for worker in self._api.engine.workers()])

    async def budgets(self) -> Response:
        """List the providers' budgets, by name."""
        return page([answers.fields(budget) for budget in self._api.engine.budgets()])

    def _find(self, name: str) -> PipelineStatus:
        every = self._api.engine.pipelines()
        for status in every:
            if status.name == name:
                return status
        raise UnknownPipelineError(name, [status.name for status in every])


def _registered(registers: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {kind: list(names) for kind, names in registers.items() if names}
