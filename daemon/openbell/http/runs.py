"""Routes of runs: list and filter them, and what is known of each."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from openbell.http import answers
from openbell.http.answers import JsonAnswer, page
from openbell.http.api import Api
from openbell.http.problems import ProblemError
from openbell.http.routing import MAX_ID, add
from openbell.http.sse import EVENT_STREAM, EventStream, Message
from openbell.model.history import RunFilter
from openbell.model.runs import NodeState, RunState
from openbell.supervisor.explain.explainer import UnknownNodeError

Limit = Annotated[int, Query(ge=1, le=500)]
LogLimit = Annotated[int, Query(ge=1, le=5000)]
StateName = Literal["queued", "running", "success", "failed", "cancelled"]
ItemNumber = Annotated[int | None, Query(ge=0, le=MAX_ID)]
NodeStateName = Literal[
    "pending",
    "queued",
    "running",
    "retrying",
    "success",
    "failed",
    "skipped",
    "upstream_failed",
    "cancelled",
]
_LOG_PAGE = 1000


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Whose log lines: of one node or all, of one item of it or all, of one attempt or all."""

    run_id: str
    node: str | None
    item: int | None
    attempt: int | None


class RunRoutes:
    """`/api/v1/runs`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/api/v1/runs", tags=["runs"])
        add(router, "GET ", self.listing, answer="RunPage")
        add(router, "GET /{id}", self.show, answer="RunSummary")
        add(router, "GET /{id}/nodes", self.nodes, answer="NodePage")
        add(router, "GET /{id}/nodes/{node}/items", self.items, answer="ItemPage")
        add(router, "GET /{id}/attempts", self.attempts, answer="AttemptPage")
        add(router, "GET /{id}/logs", self.logs, answer="LogPage")
        add(router, "GET /{id}/quality", self.quality, answer="FindingPage")
        return router

    async def listing(
        self,
        *,
        pipeline: str | None = None,
        job: str | None = None,
        job_id: str | None = None,
        state: Annotated[list[StateName] | None, Query()] = None,
        cursor: str | None = None,
        limit: Limit = 50,
    ) -> Response:
        """List runs, newest first; `cursor` is the `next` of the page before."""
        wanted = RunFilter(
            pipeline=pipeline or job,
            job_id=job_id,
            states=tuple(RunState(name) for name in state or ()),
            before=cursor,
            limit=limit,
        )
        return await self._api.runs(wanted)

    async def show(self, id: str) -> Response:  # noqa: A002 - the name in the path
        """Show a run with its nodes and totals."""
        return JsonAnswer(await self._api.summary(await self._api.find_run(id)))

    async def nodes(self, id: str) -> Response:  # noqa: A002 - the name in the path
        """List a run's nodes in the definition's order."""
        return page(await self._api.tracked_nodes(await self._api.find_run(id)))

    async def items(
        self,
        id: str,  # noqa: A002 - the name in the path
        node: str,
        *,
        state: NodeStateName | None = None,
        cursor: Annotated[int, Query(ge=-1, le=MAX_ID)] = -1,
        limit: Limit = 50,
    ) -> Response:
        """List the instances of a node with `for_each`, in order."""
        run = await self._api.find_run(id)
        history = self._api.history
        known = [each.node for each in await history.nodes(run.run_id)]
        if node not in known:
            raise UnknownNodeError(run.run_id, node, known)
        found = await history.items(
            run.run_id,
            node,
            after=cursor,
            state=None if state is None else NodeState(state),
            limit=limit + 1,
        )
        more = str(found[limit - 1].number) if len(found) > limit else None
        return page([answers.item(item) for item in found[:limit]], more)

    async def attempts(
        self,
        id: str,  # noqa: A002 - the name in the path
        *,
        node: str | None = None,
        item: ItemNumber = None,
    ) -> Response:
        """List a run's attempts, oldest first; of items those that run, or all of one item."""
        _check_item(node, item)
        run = await self._api.find_run(id)
        found = await self._api.history.attempts(run.run_id, node, item=item)
        return page([answers.attempt(attempt) for attempt in found])

    async def quality(self, id: str) -> Response:  # noqa: A002 - the name in the path
        """List what a run's gates found, oldest first."""
        run = await self._api.find_run(id)
        found = await self._api.history.quality(run.run_id)
        return page([answers.finding(finding) for finding in found])

    async def logs(
        self,
        request: Request,
        id: str,  # noqa: A002 - the name in the path
        *,
        node: str | None = None,
        item: ItemNumber = None,
        attempt: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
        after: Annotated[int, Query(ge=0, le=MAX_ID)] = 0,
        limit: LogLimit = _LOG_PAGE,
        follow: bool = False,
        accept: Annotated[str, Header()] = "application/json",
        last_event_id: Annotated[int, Header(ge=0, le=MAX_ID)] = 0,
    ) -> Response:
        """List a run's log lines after line `after`; with `follow`, stream them as they come.

        The stream is server-sent events `log` with the line's id, and `end` when the run ended.
        """
        _check_item(node, item)
        run = await self._api.find_run(id)
        if follow or EVENT_STREAM in accept:
            start = max(after, last_event_id)
            wanted = _Wanted(run.run_id, node, item, attempt)
            return EventStream(self._api, request, self._follow(wanted, start))
        lines_after = partial(self._api.history.logs, run.run_id, node=node, item=item)
        found = await lines_after(after_id=after, limit=limit)
        last = found[-1].id if found else after
        more = await lines_after(after_id=last, limit=1)
        return page(
            [answers.log_line(line) for line in found if attempt in {None, line.attempt}],
            str(last) if more else None,
        )

    async def _follow(self, wanted: _Wanted, after: int) -> AsyncGenerator[Message, None]:
        run_id = wanted.run_id
        with self._api.engine.subscribe() as events:
            while True:
                run = await self._api.history.run(run_id)
                is_over = run is None or run.state.is_final
                while lines := await self._api.history.logs(
                    run_id,
                    node=wanted.node,
                    item=wanted.item,
                    after_id=after,
                    limit=_LOG_PAGE,
                ):
                    for line in lines:
                        after = line.id
                        if wanted.attempt not in {None, line.attempt}:
                            continue
                        yield Message("log", answers.log_line(line), id=line.id)
                if is_over:
                    yield Message("end", {"state": run.state if run else None})
                    return
                async for event in events:
                    if getattr(event, "run_id", None) == run_id and event.name in _LOG_NEWS:
                        break
                else:
                    return


def _check_item(node: str | None, item: int | None) -> None:
    if item is not None and node is None:
        raise ProblemError(422, "invalid-request", "item is the number of one of a node: say which")


_LOG_NEWS = frozenset({"log.written", "run.finished"})
