"""The FastAPI application: routes, error answers, the guard, the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openbell.http.api import Api, Plugin
from openbell.http.calendars import CalendarRoutes
from openbell.http.connections import BodyLimit, Guard
from openbell.http.control import ControlRoutes
from openbell.http.daemon import DaemonRoutes
from openbell.http.events import EventRoutes
from openbell.http.explain import ExplainRoutes
from openbell.http.health import HealthRoutes
from openbell.http.jobs import JobRoutes
from openbell.http.letters import LetterRoutes
from openbell.http.problems import ProblemAnswer, of_domain, of_status, of_validation
from openbell.http.redaction import Redacting, Redaction
from openbell.http.runs import RunRoutes
from openbell.http.schedules import ScheduleRoutes
from openbell.http.schemas import requests
from openbell.http.workflows import WorkflowRoutes
from openbell.model.calendars import Calendars
from openbell.model.control import Engine
from openbell.model.history import History
from openbell.model.schedules import Schedules
from openbell.sdk.clock import Clock

MAX_BODY_BYTES = 1024 * 1024
_ROUTES = (
    JobRoutes,
    WorkflowRoutes,
    RunRoutes,
    DaemonRoutes,
    EventRoutes,
    HealthRoutes,
    CalendarRoutes,
    ScheduleRoutes,
    LetterRoutes,
    ExplainRoutes,
    ControlRoutes,
)
_KNOWN_KEYS: Mapping[str, type[BaseModel]] = {
    "/api/pipeline/jobs": requests.JobRequest,
    "/api/v1/schedules": requests.ScheduleRequest,
    "/api/v1/stop": requests.StopRequest,
}

Failed = Callable[[BaseException, str], None]
"""Called with an error that no handler expected, and the request's method and path."""


class HttpApp:
    """The guarded ASGI application. `openbell.http.server.serve` serves it.

    `closing` ends every stream; the server sets it when it begins to stop.
    """

    def __init__(self, app: FastAPI, parts: Api, *, token: str | None) -> None:
        self.api = app
        self.closing = parts.closing
        self._guarded: ASGIApp = Guard(Redacting(app, redaction=parts.redaction), token=token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request that may pass."""
        await self._guarded(scope, receive, send)


def create_app(
    engine: Engine,
    history: History,
    *,
    calendars: Calendars,
    schedules: Schedules,
    plugins: Sequence[Plugin],
    metrics: Callable[[], bytes],
    clock: Clock,
    version: str,
    token: str | None = None,
    failed: Failed | None = None,
    mounts: Sequence[tuple[str, ASGIApp]] = (),
    heartbeat_s: float = 15.0,
    send_timeout_s: float = 30.0,
) -> HttpApp:
    """Return the application over a running engine and its history.

    `token` is what clients over TCP must send; without one nobody passes there. `metrics` renders
    Prometheus' text. `failed` hears of errors that are bugs. `mounts` are applications of plugins
    by name, mounted under `/x/{name}`. Streams send a comment after `heartbeat_s` of silence and
    cut off a client that reads nothing for `send_timeout_s`; a body may pause that long.
    """
    api = Api(
        engine=engine,
        history=history,
        calendars=calendars,
        schedules=schedules,
        plugins=plugins,
        metrics=metrics,
        clock=clock,
        heartbeat_s=heartbeat_s,
        send_timeout_s=send_timeout_s,
        redaction=Redaction(lambda: engine.deployment.secrets, own=[token] if token else ()),
    )
    app = FastAPI(
        title="openbell",
        version=version,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    for routes in _ROUTES:
        app.include_router(routes(api).router())
    for name, mounted in mounts:
        app.mount(f"/x/{name}", mounted)
    _handle_errors(app, failed, patience_s=send_timeout_s)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return HttpApp(app, api, token=token)


def _openapi(app: FastAPI) -> dict[str, Any]:
    from openbell.http.openapi import document  # noqa: PLC0415 - only who asks for it pays for it

    return document(app)


def _handle_errors(app: FastAPI, failed: Failed | None, *, patience_s: float) -> None:
    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        path = request.url.path
        model = requests.OverlayRequest if path.endswith("/overlays") else _KNOWN_KEYS.get(path)
        model = model or requests.RunOptions
        known = [field.alias or name for name, field in model.model_fields.items()]
        return of_validation(error.errors(), known)

    async def of_framework(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return of_status(error.status_code, str(error.detail), error.headers)

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, of_framework)
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES, patience_s=patience_s)
    app.add_middleware(_Catch, failed=failed)


class _Catch:
    """Answers errors: those of the model by their meaning, bugs without saying anything of them."""

    def __init__(self, app: ASGIApp, *, failed: Failed | None) -> None:
        self._app = app
        self._failed = failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and answer for it when it fails before its answer began."""
        has_started = False

        async def noting(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:  # noqa: BLE001 - the HTTP handler: no bug may reach a client
            answer = of_domain(error)
            if answer is None:
                if self._failed is not None:
                    self._failed(error, f"{scope.get('method', '')} {scope.get('path', '')}")
                answer = ProblemAnswer.of(
                    500, "internal", "the daemon could not answer; its log says why"
                )
            if not has_started:
                await answer(scope, receive, send)
