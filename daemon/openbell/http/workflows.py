"""Routes of definitions: add one, list them, draw one as a graph, execute one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from openbell.http import answers
from openbell.http.answers import JsonAnswer, page
from openbell.http.api import Api
from openbell.http.jobs import IdempotencyKey, Traceparent, submit
from openbell.http.problems import ProblemError
from openbell.http.routing import MAX_ID, add
from openbell.http.schemas.requests import RunOptions, WorkflowRequest
from openbell.model.control import UnknownPipelineError
from openbell.model.runs import WorkflowRecord

MERMAID = "text/vnd.mermaid"
Version = Annotated[int | None, Query(ge=1, le=MAX_ID)]


class WorkflowRoutes:
    """`/api/pipeline/workflows` and `/api/v1/workflows`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["workflows"])
        at = "/api/pipeline/workflows"
        add(router, f"POST {at}", self.define, answer="Workflow", status=201)
        add(router, f"GET {at}/{{id}}/dag", self.dag, answer="Dag")
        add(router, f"POST {at}/{{id}}/execute", self.execute, answer="Run", status=202)
        add(router, "GET /api/v1/workflows", self.listing, answer="WorkflowPage")
        add(router, "GET /api/v1/workflows/{id}", self.show, answer="Workflow")
        return router

    async def define(
        self, request: Request, body: WorkflowRequest, *, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Add or change a pipeline; the same definition again changes nothing."""

        async def make() -> Response:
            record = await self._api.engine.define(body.document())
            location = f"/api/v1/workflows/{record.name}"
            return JsonAnswer(
                answers.workflow(record), status_code=201, headers={"location": location}
            )

        return await self._api.kept.once(request, idempotency_key, make)

    async def listing(self) -> Response:
        """List the newest version of every definition, by name."""
        return page([answers.workflow(record) for record in await self._api.history.workflows()])

    async def show(self, id: str, version: Version = None) -> Response:  # noqa: A002 - the name in the path
        """Show one version of a definition, the newest by default."""
        return JsonAnswer(answers.workflow(await self._find(id, version)))

    async def dag(
        self,
        id: str,  # noqa: A002 - the name in the path
        version: Version = None,
        accept: Annotated[str, Header()] = "application/json",
    ) -> Response:
        """Draw a definition: nodes, edges and levels, or a Mermaid chart by `Accept`."""
        record = await self._find(id, version)
        if MERMAID in accept:
            return Response(mermaid(record.definition), media_type=MERMAID)
        return JsonAnswer(
            {"name": record.name, "version": record.version, **dag(record.definition)}
        )

    async def execute(
        self,
        request: Request,
        id: str,  # noqa: A002 - the name in the path
        body: RunOptions | None = None,
        *,
        traceparent: Traceparent = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Ask for one run of this definition."""
        submission = (body or RunOptions()).submission(
            id, origin="api", idempotency_key=idempotency_key, traceparent=traceparent
        )
        return await submit(self._api, request, submission)

    async def _find(self, name: str, version: int | None) -> WorkflowRecord:
        record = await self._api.history.workflow(name, version)
        newest = None if version is None else await self._api.history.workflow(name)
        if record is None and newest is not None:
            text = f"pipeline {name!r} has no version {version}; the newest is {newest.version}"
            raise ProblemError(404, "unknown-pipeline", text, known=[name], hint="")
        if record is None:
            known = [known.name for known in await self._api.history.workflows()]
            raise UnknownPipelineError(name, known)
        return record


def dag(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition's nodes, edges, and levels: each node stands below all it needs."""
    nodes: Sequence[Mapping[str, Any]] = definition["nodes"]
    depth: dict[str, int] = {}
    for node in nodes:  # in an order that respects every edge
        depth[node["name"]] = 1 + max((depth[name] for name in node["needs"]), default=-1)
    levels: list[list[str]] = [[] for _ in range(1 + max(depth.values(), default=-1))]
    for name, level in depth.items():
        levels[level].append(name)
    return {
        "nodes": [
            {"name": node["name"], "op": node["op"], "level": depth[node["name"]]} for node in nodes
        ],
        "edges": [
            {"from": name, "to": node["name"], "on": list(outcomes) or ["success"]}
            for node in nodes
            for name, outcomes in node["needs"].items()
        ],
        "levels": levels,
    }


def mermaid(definition: Mapping[str, Any]) -> str:
    """Return a definition as a Mermaid flow chart."""
    drawn = dag(definition)
    ids = {node["name"]: f"n{index}" for index, node in enumerate(drawn["nodes"])}
    lines = ["flowchart LR"]
    for node in drawn["nodes"]:
        label = f"{node['name']}<br/>{node['op']}".replace('"', "#quot;")
        lines.append(f'  {ids[node["name"]]}["{label}"]')
    for edge in drawn["edges"]:
        on = " or ".join(edge["on"])
        lines.append(f"  {ids[edge['from']]} -->|{on}| {ids[edge['to']]}")
    return "\n".join(lines) + "\n"
