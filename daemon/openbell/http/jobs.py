"""Routes of submitted work: ask for a run, look at it, retry it, cancel it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from openbell.http import answers
from openbell.http.answers import JsonAnswer
from openbell.http.api import Api, by
from openbell.http.idempotency import conflict
from openbell.http.routing import add
from openbell.http.schemas.requests import JobRequest, RetryRequest
from openbell.model.control import Submission
from openbell.model.definitions import from_definition
from openbell.model.history import RunFilter
from openbell.model.runs import RunRecord, RunState
from openbell.sdk.errors import SettingsError
from openbell.supervisor.intake import run_params

Traceparent = Annotated[str | None, Header(max_length=200)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1, max_length=255, description="the same key and body again get the same answer"
    ),
]
_RUNNING_PAGE = 500


class JobRoutes:
    """`/api/pipeline/jobs`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/api/pipeline/jobs", tags=["jobs"])
        add(router, "POST ", self.submit, answer="Run", status=202)
        add(router, "GET /running", self.running, answer="RunPage")
        add(router, "GET /{id}", self.show, answer="RunSummary")
        add(router, "PUT /{id}/retry", self.retry, answer="Run", status=202)
        add(router, "DELETE /{id}", self.cancel, answer="Run", status=202)
        return router

    async def submit(
        self,
        request: Request,
        body: JobRequest,
        *,
        traceparent: Traceparent = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Ask for one run of a job or pipeline; it is durable when the answer arrives."""
        submission = body.submission(
            body.target, origin="api", idempotency_key=idempotency_key, traceparent=traceparent
        )
        return await submit(self._api, request, submission)

    async def running(self, cursor: str | None = None) -> Response:
        """List the runs that have not ended, newest first; `cursor` is the `next` of the page before."""
        states = (RunState.QUEUED, RunState.RUNNING)
        return await self._api.runs(RunFilter(states=states, before=cursor, limit=_RUNNING_PAGE))

    async def show(self, id: str) -> Response:  # noqa: A002 - the name in the path
        """Show a run with its nodes and totals, by its run id or its job id."""
        return JsonAnswer(await self._api.summary(await self._api.find_run(id)))

    async def retry(
        self,
        request: Request,
        id: str,  # noqa: A002 - the name in the path
        body: RetryRequest | None = None,
        *,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Submit an ended run again: what did not succeed, unless the body says other."""
        how = body.retry() if body is not None else None

        async def make() -> Response:
            return accepted(await self._api.engine.retry(id, by=by(request), how=how))

        return await self._api.kept.once(request, idempotency_key, make)

    async def cancel(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the path
        """Ask a run to end; what is finished is kept."""
        return accepted(await self._api.engine.cancel(id, by=by(request)))


async def submit(api: Api, request: Request, submission: Submission) -> Response:
    """Submit a run and return the answer, the same one for the same key."""
    key = submission.idempotency_key

    async def make() -> Response:
        if key is not None:
            earlier = await api.history.submission(key)
            if earlier is not None and not await _is_twin(api, earlier, submission):
                raise conflict(key)
        return accepted(await api.engine.submit(submission))

    return await api.kept.once(request, key, make)


async def _is_twin(api: Api, earlier: RunRecord, submission: Submission) -> bool:
    """Return whether the run of a key that was kept on disk is what `submission` asks for.

    Its parameters are worked out again from the version of the definition that it was accepted
    under, so that a definition that changed since makes no difference.
    """
    session = submission.session.isoformat() if submission.session else None
    if (earlier.pipeline, earlier.session, earlier.dry_run) != (
        submission.pipeline,
        session,
        submission.dry_run,
    ):
        return False
    record = await api.history.workflow(earlier.pipeline, earlier.workflow_version)
    if record is None:
        return False
    try:
        return run_params(submission, from_definition(record.definition)) == earlier.params
    except SettingsError:
        return False


def accepted(run: RunRecord) -> JsonAnswer:
    """Return 202 with the run and where to look for it."""
    location = f"/api/pipeline/jobs/{run.job_id}"
    return JsonAnswer(answers.run(run), status_code=202, headers={"location": location})
