"""`op: http`: one HTTP request, with what its answer means for the run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NoReturn

import anyio
import httpx

from openbell.model.urls import place
from openbell.operators.settings import HttpSettings, SecretSource
from openbell.sdk.errors import (
    AuthError,
    DataError,
    EntitlementError,
    FatalError,
    NotFoundError,
    OpenbellError,
    RateLimitedError,
    TransientError,
)
from openbell.sdk.tasks import TaskContext, TaskResult

_SAFE = frozenset({"GET", "HEAD"})
_MASK = "[redacted]"
_SHOWN_CHARS = 300
_LOOK_S = 0.2
_MIB = 1024 * 1024


class HttpOperator:
    """Sends the request once; whether it is sent again is the node's retry policy's to say."""

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._secrets: dict[str, str] = {}

    def run(self, context: TaskContext) -> TaskResult:
        """Return what the answer means; raises what class of trouble it was."""
        settings = self._settings
        in_dry_run = settings.in_dry_run or ("run" if settings.method in _SAFE else "skip")
        if context.dry_run and in_dry_run == "skip":
            context.log(f"dry run: no {settings.method} is sent (in_dry_run: skip)")
            return TaskResult()
        self._secrets = {name: _secret(name, s) for name, s in settings.secret_headers.items()}
        answer = anyio.run(self._exchange, context)
        if answer is None:
            return TaskResult()
        status, headers, body = answer
        context.log(f"{settings.method} {place(settings.url)}: {status}, {len(body):,} bytes")
        outcome = self._outcome(status, headers, body, context.now())
        return self._result(outcome, body)

    async def _exchange(self, context: TaskContext) -> tuple[int, httpx.Headers, bytes] | None:
        """Return status, headers and body; None when the task was asked to end meanwhile."""
        settings = self._settings
        found: list[tuple[int, httpx.Headers, bytes]] = []
        failed: list[Exception] = []
        try:
            with anyio.fail_after(settings.timeout_seconds):
                async with anyio.create_task_group() as group:
                    group.start_soon(_watch, context, group.cancel_scope)
                    try:
                        found.append(await self._send())
                    except (httpx.HTTPError, httpx.InvalidURL, OpenbellError) as error:
                        failed.append(error)
                    group.cancel_scope.cancel()
        except TimeoutError as error:
            where = place(settings.url)
            limit_s = settings.timeout_seconds
            raise TransientError(f"{where} did not answer whole within {limit_s:g} s") from error
        if failed:
            self._fail(failed[0])
        return found[0] if found else None

    async def _send(self) -> tuple[int, httpx.Headers, bytes]:
        settings = self._settings
        headers = {**_trace(), **settings.headers, **self._secrets}
        async with (
            httpx.AsyncClient(timeout=None, follow_redirects=not self._secrets) as client,  # noqa: S113 - the whole exchange has a deadline
            client.stream(
                settings.method,
                settings.url,
                params=settings.query or None,
                headers=headers,
                content=settings.body,
                json=settings.json_body,
            ) as response,
        ):
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > settings.max_mb * _MIB:
                    raise FatalError(
                        f"the answer of {place(settings.url)} is longer than {settings.max_mb} MiB"
                    )
            return response.status_code, response.headers, bytes(body)

    def _fail(self, error: Exception) -> NoReturn:
        if isinstance(error, OpenbellError):
            raise error
        said = self._hidden(f"{type(error).__name__}: {error}" if str(error) else repr(error))
        where = place(self._settings.url)
        fatal = (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError)
        if isinstance(error, fatal):
            raise FatalError(f"{where} cannot be asked: {said}") from None
        if isinstance(error, httpx.TooManyRedirects):
            raise FatalError(f"{where} sends from one address to the next without end") from None
        raise TransientError(f"{where} could not be reached: {said}") from None

    def _outcome(self, status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> str:
        settings = self._settings
        if status in settings.outcomes:
            return settings.outcomes[status]
        if status in settings.expect or (not settings.expect and 200 <= status < 300):
            return "success"
        said = f"{settings.method} {place(settings.url)} answered {status}{self._said(body)}"
        rest_s = retry_after_s(headers.get("retry-after"), now)
        if status == 429 or (status == 503 and rest_s is not None):
            raise RateLimitedError(said, retry_after_s=rest_s)
        if status >= 500 or status == 408:
            raise TransientError(said, retry_after_s=rest_s)
        if 300 <= status < 400 and self._secrets:
            said += "; a request with secret headers follows no redirect: name the final address"
        known = {401: AuthError, 403: EntitlementError, 404: NotFoundError}
        raise known.get(status, FatalError)(said)

    def _said(self, body: bytes) -> str:
        text = self._hidden(body[: 4 * _SHOWN_CHARS].decode("utf-8", "replace")).strip()
        shown = " ".join(text.split())[:_SHOWN_CHARS]
        return f": {shown}" if shown else ""

    def _hidden(self, text: str) -> str:
        for name, value in self._secrets.items():
            own = value.removeprefix(self._settings.secret_headers[name].prefix)
            text = text.replace(value, _MASK).replace(own, _MASK)
        return text

    def _result(self, outcome: str, body: bytes) -> TaskResult:
        settings = self._settings
        if settings.result == "none":
            return TaskResult(outcome=outcome)
        if settings.result == "text":
            return TaskResult(outcome=outcome, value=body.decode("utf-8", "replace"))
        try:
            value = json.loads(body)
        except ValueError as error:
            raise DataError(
                f"the answer of {place(settings.url)} is no JSON: {error}{self._said(body)}"
            ) from error
        if settings.result == "json":
            return TaskResult(outcome=outcome, value=value)
        return TaskResult(outcome=outcome, rows=_rows(value, place(settings.url)))


def _rows(value: Any, where: str) -> Any:  # noqa: ANN401 - JSON to a table
    import pyarrow as pa  # noqa: PLC0415 - most requests make no rows

    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise DataError(f"the answer of {where} is no JSON list of objects")
    try:
        return pa.Table.from_pylist(value)
    except pa.ArrowException as error:
        raise DataError(f"the answer of {where} is no table: {error}") from error


async def _watch(context: TaskContext, scope: anyio.CancelScope) -> None:
    while not context.is_stopping():  # noqa: ASYNC110 - said by another thread
        await anyio.sleep(_LOOK_S)
    scope.cancel()


def _trace() -> dict[str, str]:
    traceparent = os.environ.get("TRACEPARENT")
    return {"traceparent": traceparent} if traceparent else {}


def _secret(header: str, source: SecretSource) -> str:
    """Return the header's value from where the worker finds it; raises FatalError."""
    if source.env is not None:
        found = os.environ.get(source.env)
        if found is None:
            raise FatalError(f"header {header}: the daemon has no variable {source.env}")
    else:
        folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
        try:
            found = Path(folder, str(source.credential)).read_text(encoding="utf-8")
        except OSError as error:
            raise FatalError(
                f"header {header}: credential {source.credential!r} cannot be read: "
                f"{error.strerror}"
            ) from error
    return source.prefix + found.strip()


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Return seconds to wait as a Retry-After header says (RFC 9110), None for none."""
    if header is None:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())
