"""A port of its own for `/metrics`, for scrapers that may not reach the API.

One request a connection, nothing but GET and HEAD, no body read: there is little to get wrong,
and the API's server with its routes stays behind its own door.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio
from anyio.abc import SocketAttribute, SocketStream, TaskStatus

from openbell.sdk.errors import Problem, SettingsError
from openbell.telemetry.metrics import CONTENT_TYPE

PATH = "/metrics"
MAX_HEAD_BYTES = 16 * 1024
MAX_CONNECTIONS = 32
DEADLINE_S = 10.0


async def serve_metrics(
    render: Callable[[], bytes],
    host: str,
    port: int,
    *,
    task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Answer `GET /metrics` on `host` and `port` until cancelled.

    Started with the port that is listened on (0 takes any free one). A client gets `DEADLINE_S`
    and beyond `MAX_CONNECTIONS` at once is sent away. Raises SettingsError when the port cannot
    be had.
    """
    try:
        listener = await anyio.create_tcp_listener(local_host=host, local_port=port)
    except OSError as error:
        problem = Problem(
            key="telemetry.metrics.port",
            message=f"cannot listen on {host}:{port}: {error.strerror or error}",
            hint="choose another port, or switch telemetry.metrics.enabled off",
        )
        raise SettingsError([problem]) from error
    limiter = anyio.CapacityLimiter(MAX_CONNECTIONS)

    async def handle(stream: SocketStream) -> None:
        async with stream:
            with anyio.move_on_after(DEADLINE_S):
                await _answer(stream, render, limiter)

    async with listener:
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - anyio's, not Django's
        task_status.started(port)
        await listener.serve(handle)


async def _answer(
    stream: SocketStream, render: Callable[[], bytes], limiter: anyio.CapacityLimiter
) -> None:
    try:
        limiter.acquire_nowait()
    except anyio.WouldBlock:
        await _send(stream, "503 Service Unavailable", b"too many connections\n")
        return
    try:
        head = await _read_head(stream)
        await _send(stream, *_response(head, render), is_head=head.startswith(b"HEAD "))
    except (anyio.BrokenResourceError, anyio.EndOfStream):
        return
    finally:
        limiter.release()


async def _read_head(stream: SocketStream) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head and len(head) < MAX_HEAD_BYTES:
        head += await stream.receive()
    return head


def _response(head: bytes, render: Callable[[], bytes]) -> tuple[str, bytes]:
    """Return status and body for a request that begins with `head`."""
    if b"\r\n\r\n" not in head[:MAX_HEAD_BYTES]:
        return "431 Request Header Fields Too Large", b"the request's head is too long\n"
    words = head.split(b"\r\n", maxsplit=1)[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return "400 Bad Request", b"not an HTTP/1.1 request\n"
    method, target, _ = words
    if target.split("?", maxsplit=1)[0] != PATH:
        return "404 Not Found", b"there is only /metrics here\n"
    if method not in {"GET", "HEAD"}:
        return "405 Method Not Allowed", b"use GET\n"
    return "200 OK", render()


async def _send(stream: SocketStream, status: str, body: bytes, *, is_head: bool = False) -> None:
    kind = CONTENT_TYPE if status.startswith("200") else "text/plain; charset=utf-8"
    allow = "Allow: GET, HEAD\r\n" if status.startswith("405") else ""
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        f"{allow}Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    await stream.send(head.encode() + (b"" if is_head else body))
