"""Routes of the daemon itself: how it stands, what is configured, reload and stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, Request
from starlette.responses import Response

from openbell.http import answers
from openbell.http.answers import JsonAnswer, page
from openbell.http.api import Api
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
        add(router, "GET /schedules", self.schedules, answer="SchedulePage")
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
            reloaded = await self._api.engine.reload()
            return JsonAnswer(answers.fields(reloaded))

        return await self._api.kept.once(request, idempotency_key, make)

    async def stop(self, body: StopRequest | None = None) -> Response:
        """End the daemon: after the work in hand, or at once with `{"how": "fast"}`."""
        self._api.engine.request_stop(fast=body is not None and body.how == "fast")
        return JsonAnswer(answers.fields(self._api.engine.status()), status_code=202)

    async def drain(self) -> Response:
        """Take no more work, let the work in hand end, then end the daemon."""
        self._api.engine.request_stop(fast=False)
        return JsonAnswer(answers.fields(self._api.engine.status()), status_code=202)

    async def pipelines(self) -> Response:
        """List every pipeline, by name."""
        return page([answers.pipeline(status) for status in self._api.engine.pipelines()])

    async def pipeline(self, id: str) -> Response:  # noqa: A002 - the name in the path
        """Show one pipeline."""
        return JsonAnswer(answers.pipeline(self._find(id)))

    async def pause(self, id: str) -> Response:  # noqa: A002 - the name in the path
        """Start no more runs of this pipeline; running ones go on."""
        return JsonAnswer(answers.pipeline(await self._api.engine.pause(id)))

    async def resume(self, id: str) -> Response:  # noqa: A002 - the name in the path
        """Let a paused or parked pipeline work again."""
        return JsonAnswer(answers.pipeline(await self._api.engine.resume(id)))

    async def datasets(self) -> Response:
        """List the configured datasets, by name."""
        datasets = self._api.engine.deployment.datasets
        return page([answers.fields(datasets[name]) for name in sorted(datasets)])

    async def schedules(self) -> Response:
        """List what is scheduled: one entry for each rule of each pipeline."""
        return page(
            [
                {"pipeline": status.name, "schedule": rule, "state": status.state}
                for status in self._api.engine.pipelines()
                for rule in status.schedule
            ]
        )

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
