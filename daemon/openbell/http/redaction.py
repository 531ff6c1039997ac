"""No answer holds a secret: the one place that every answer passes on its way out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Any

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openbell.model import control, pipelines, runs
from openbell.model.bodies import encode_plain
from openbell.model.events import StoredEvent
from openbell.telemetry.redact import Redactor

_RECORDS = (
    runs.RunRecord,
    runs.NodeRecord,
    runs.Totals,
    runs.AttemptRecord,
    runs.LogLine,
    runs.StoredLogLine,
    runs.WorkflowRecord,
    runs.QualityRecord,
    control.DaemonStatus,
    control.PipelineStatus,
    control.WorkerStatus,
    control.BudgetStatus,
    pipelines.Dataset,
    StoredEvent,
)
_OTHER_WORDS = """
job items next nodes edges levels type title status detail errors known hint key message in file line
column source storage providers features refused running starting draining stopping active paused
parked retired ready alive api backfill live idle busy loaded stdout stderr log
"""
_WORDS = frozenset(
    {
        *(field.name for record in _RECORDS for field in fields(record)),
        *(str(state) for states in (runs.RunState, runs.NodeState) for state in states),
        *_OTHER_WORDS.split(),
    }
)
_INSTANT_OR_ID = re.compile(
    r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d))?"
    r"|(run|job)_[0-9A-HJKMNP-TV-Z]{26}|urn:openbell:problem:[a-z-]+"
)


class _OwnWords:
    """The API's own words: states, field names, instants, ids. What a client steers by stays."""

    def __contains__(self, text: object) -> bool:
        return text in _WORDS or (
            isinstance(text, str) and _INSTANT_OR_ID.fullmatch(text) is not None
        )


class Redaction:
    """Hides the secrets of the deployment in force, those of the ones before it, and `own`."""

    def __init__(self, secrets: Callable[[], Sequence[str]], *, own: Iterable[str] = ()) -> None:
        self._secrets = secrets
        self._known: Sequence[str] = ()
        self._redactor = Redactor(own, own=_OwnWords())

    def value(self, value: Any) -> Any:  # noqa: ANN401 - any JSON-like value
        """Return a copy of `value` without secrets."""
        return self._current().value(value)

    def json(self, body: bytes) -> bytes:
        """Return a JSON body without secrets; the very same one if it holds none."""
        redactor = self._current()
        if not redactor.may_hold(body.decode()):
            return body
        content = msgspec.json.decode(body)
        shown = _without_secrets(content, redactor)
        return body if shown == content else msgspec.json.encode(shown)

    def text(self, body: bytes) -> bytes:
        """Return a text body without secrets."""
        return self._current().text(body.decode()).encode()

    def _current(self) -> Redactor:
        secrets = self._secrets()
        if secrets is not self._known:
            self._known = secrets
            self._redactor = self._redactor.with_secrets(secrets)
        return self._redactor


def _without_secrets(content: Any, redactor: Redactor) -> Any:  # noqa: ANN401 - any JSON value
    """Return `content` without secrets; of a page only the items that could hold one are read."""
    match content:
        case {"items": list(items), **others}:
            shown = [
                redactor.value(item) if redactor.may_hold(encode_plain(item)) else item
                for item in items
            ]
            return {"items": shown, **redactor.value(others)}
        case _:
            return redactor.value(content)


class Redacting:
    """Takes secrets out of every JSON answer and chart.

    Streams hide theirs event by event (`openbell.http.sse`). The OpenAPI document and the metrics
    hold names only, and what a plugin answers under `/x/` is the plugin's.
    """

    def __init__(self, app: ASGIApp, *, redaction: Redaction) -> None:
        self._app = app
        self._redaction = redaction

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; its answer is one message, which is looked through."""
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self._app(scope, receive, send)
            return
        begun: Message | None = None
        hide: Callable[[bytes], bytes] | None = None

        async def hiding(message: Message) -> None:
            nonlocal begun, hide
            if message["type"] == "http.response.start":
                hide = self._hider(message)
                if hide is not None:
                    begun = message
                    return
            elif begun is not None and hide is not None:
                body = hide(message.get("body", b""))
                await send(_with_length(begun, len(body)))
                begun, message = None, {**message, "body": body}
            await send(message)

        await self._app(scope, receive, hiding)

    def _hider(self, start: Message) -> Callable[[bytes], bytes] | None:
        kind = dict(start["headers"]).get(b"content-type", b"").partition(b";")[0]
        if kind.endswith(b"json"):
            return self._redaction.json
        if kind.startswith(b"text/") and kind != b"text/event-stream":
            return self._redaction.text
        return None


def _with_length(start: Message, size_bytes: int) -> Message:
    headers = [header for header in start["headers"] if header[0] != b"content-length"]
    return {**start, "headers": [*headers, (b"content-length", b"%d" % size_bytes)]}


def view(deployment: pipelines.Deployment) -> dict[str, Any]:
    """Return the configuration in force as JSON values; secrets are hidden on the way out."""
    return {
        "source": deployment.source,
        "profile": deployment.profile,
        "digest": deployment.digest,
        "providers": {
            use.name: {
                "type": use.type,
                "enabled": use.enabled,
                "settings": use.settings,
                "pacing": {
                    "requests_per_minute": use.pacing.requests_per_minute,
                    "burst": use.pacing.burst,
                    "cooldown_s": use.pacing.cooldown_s,
                },
            }
            for use in deployment.providers.values()
        },
        "storage": {
            use.name: {
                "type": use.type,
                "settings": use.settings,
                "batch_rows": use.batch_rows,
                "upsert_keys": use.upsert_keys,
            }
            for use in deployment.storage.values()
        },
        "datasets": list(deployment.datasets),
        "pipelines": list(deployment.pipelines),
        "refused": deployment.refused,
        "features": {
            "write_enabled": deployment.features.write_enabled,
            "export_enabled": deployment.features.export_enabled,
        },
    }
