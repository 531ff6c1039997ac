"""Who is at the other end of a connection, and whether the request may pass."""

from __future__ import annotations

import hmac
import re
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

import anyio
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openbell.http.problems import ProblemAnswer, ProblemError

SCOPE_KEY = "openbell.caller"
_ABSOLUTE = re.compile(r"https?://[^/]*", re.IGNORECASE)
_UCRED = struct.Struct("iII")

Authorize = Callable[[socket.socket], bool]
"""Says of a connection of the Unix socket whether its peer may use it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Where a request comes from: a user over the Unix socket, or TCP (`uid` is None).

    `abort` cuts its connection at once.
    """

    uid: int | None
    is_allowed: bool
    abort: Callable[[], None]

    @property
    def who(self) -> str:
        """A word for the record."""
        return "token" if self.uid is None else f"uid {self.uid}"


def uid_of(connection: socket.socket) -> int:
    """Return the user who connected to this Unix socket, as the kernel saw it (unix(7))."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    _, uid, _ = _UCRED.unpack(raw)
    return int(uid)


def caller_of(scope: Scope) -> Caller:
    """Return the caller that the server noted in `scope`; a stranger where it noted none."""
    found = scope.get(SCOPE_KEY)
    return found if isinstance(found, Caller) else _STRANGER


def _nothing() -> None:
    """Cut nothing: there is no connection."""


_STRANGER = Caller(uid=None, is_allowed=False, abort=_nothing)


class WithCaller:
    """Puts the caller of one connection into the scope of each of its requests.

    A target in absolute form (RFC 9112, section 3.2.2) becomes its path.
    """

    def __init__(self, app: ASGIApp, caller: Caller) -> None:
        self._app = app
        self._caller = caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its caller."""
        scope[SCOPE_KEY] = self._caller
        if scope["type"] == "http" and (found := _ABSOLUTE.match(scope["path"])):
            scope["path"] = scope["path"][found.end() :] or "/"
        await self._app(scope, receive, send)


class Guard:
    """Lets a request pass when its peer is allowed, or when it carries the bearer token.

    Peers of the Unix socket need no token; anyone else does, and without a configured token
    nobody else passes. Liveness may be asked by anyone who can connect over TCP. Websockets are
    closed before they open: there are none here, and none of a plugin's may be a way around.
    """

    def __init__(self, app: ASGIApp, *, token: str | None) -> None:
        self._app = app
        self._token = token.encode() if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close"})
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refusal(scope, receive, send)

    def _refusal(self, scope: Scope) -> ProblemAnswer | None:
        caller = caller_of(scope)
        if caller.is_allowed:
            return None
        if caller.uid is not None:
            return ProblemAnswer.of(
                403,
                "forbidden",
                f"uid {caller.uid} may not use this socket; it is for the daemon's own user, "
                "root, and the members of `daemon: socket_group`",
            )
        if scope["path"] in {"/livez", "/readyz"} or self._has_token(scope):
            return None
        return ProblemAnswer.of(
            401,
            "unauthorized",
            "send `Authorization: Bearer TOKEN` with the token of `daemon: tcp_token_file`",
            headers={"www-authenticate": 'Bearer realm="openbell"'},
        )

    def _has_token(self, scope: Scope) -> bool:
        if self._token is None:
            return False
        for name, value in scope["headers"]:
            if name == b"authorization":
                scheme, _, given = value.partition(b" ")
                if scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._token):
                    return True
        return False


class BodyLimit:
    """Refuses bodies of more than `max_bytes`, announced or not, and those that stop coming."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, patience_s: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._patience_s = patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; reading its body raises HTTPException 413, and 408 after a pause."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        left = self._max_bytes
        for name, value in scope["headers"]:
            if name == b"content-length" and (not value.isdigit() or int(value) > left):
                raise self._refusal()

        is_whole = False

        async def counted() -> Message:
            nonlocal left, is_whole
            if is_whole:
                return await receive()
            with anyio.move_on_after(self._patience_s):
                message = await receive()
                left -= len(message.get("body", b""))
                if left < 0:
                    raise HTTPException(413, str(self._refusal()))
                is_whole = not message.get("more_body", False)
                return message
            detail = f"nothing more of the body came for {self._patience_s:g} s"
            raise HTTPException(408, detail)

        await self._app(scope, counted, send)

    def _refusal(self) -> ProblemError:
        detail = f"the request body is larger than {self._max_bytes} bytes"
        return ProblemError(413, "body-too-large", detail)
