"""Serve the application on sockets that are open already, until asked to stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import cast

import anyio
import anyio.abc
from typing_extensions import override

from openbell.http.app import HttpApp
from openbell.http.connections import Authorize, Caller, WithCaller, uid_of
from openbell.http.lean import (
    ASGIFramework,
    ASGIWrapper,
    Config,
    Event,
    TCPServer,
    Updated,
    WorkerContext,
)

GRACE_S = 3.0
MAX_CONNECTIONS = 1000
IDLE_S = 75.0
_BACKLOG = 512


class _Connection(TCPServer):
    """Ends as soon as its client has hung up; hypercorn's own waits for its idle time to pass."""

    _is_over = False

    @override
    async def _read_data(self) -> None:
        await super()._read_data()
        self._is_over = True
        await self.idle_task.stop()

    @override
    async def protocol_send(self, event: Event) -> None:
        if not (self._is_over and isinstance(event, Updated)):
            await super().protocol_send(event)


class Server:
    """hypercorn's protocol machine on our own connections.

    `hypercorn.asyncio.serve` shows an application neither the connection nor its peer, and from
    Python 3.12 on it waits for every open stream before it looks at its grace period. So the
    connections are accepted here, and each is handed to hypercorn's `TCPServer` with an
    application that knows who is calling.
    """

    def __init__(
        self,
        app: HttpApp,
        *,
        authorize: Authorize,
        max_connections: int = MAX_CONNECTIONS,
        idle_s: float = IDLE_S,
    ) -> None:
        self._app = app
        self._authorize = authorize
        self._max_connections = max_connections
        self._context = WorkerContext(None)
        self._config = _config(idle_s)
        self._open: set[asyncio.Task[None]] = set()

    async def run(
        self, sockets: Sequence[socket.socket], *, shutdown: anyio.Event, ready: anyio.Event
    ) -> None:
        """Serve until `shutdown` is set; then end streams, and cut what lasts longer than GRACE_S."""
        async with AsyncExitStack() as stack:
            for listener in sockets:
                listener.setblocking(False)
                server = await asyncio.start_server(
                    self._connected, sock=listener, backlog=_BACKLOG
                )
                stack.callback(server.close)
            ready.set()
            try:
                await shutdown.wait()
            finally:
                await stack.aclose()
                with anyio.CancelScope(shield=True):
                    await self._end()

    async def _end(self) -> None:
        self._app.closing.set()
        await self._context.terminated.set()
        if self._open:
            await asyncio.wait(self._open, timeout=GRACE_S)
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=GRACE_S)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._open) >= self._room(writer):
            writer.transport.abort()
            return
        self._open.add(task)
        try:
            caller = self._caller(writer)
            app = ASGIWrapper(cast("ASGIFramework", WithCaller(self._app, caller)))
            loop = asyncio.get_running_loop()
            await _Connection(app, loop, self._config, self._context, {}, reader, writer)
        except asyncio.CancelledError:
            if not self._app.closing.is_set():
                raise
        finally:
            self._open.discard(task)

    def _room(self, writer: asyncio.StreamWriter) -> int:
        """Return how many may be connected: half is kept free of TCP, for the Unix socket."""
        is_unix = writer.get_extra_info("socket").family == socket.AF_UNIX
        return self._max_connections if is_unix else (self._max_connections + 1) // 2

    def _caller(self, writer: asyncio.StreamWriter) -> Caller:
        connection = writer.get_extra_info("socket")
        abort = writer.transport.abort
        if connection.family != socket.AF_UNIX:
            return Caller(uid=None, is_allowed=False, abort=abort)
        return Caller(uid=uid_of(connection), is_allowed=self._authorize(connection), abort=abort)


async def serve(
    app: HttpApp,
    sockets: Sequence[socket.socket],
    *,
    authorize: Authorize,
    shutdown: anyio.Event,
    max_connections: int = MAX_CONNECTIONS,
    idle_s: float = IDLE_S,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` on listening `sockets` until `shutdown` is set; reports started when it listens.

    Peers of a Unix socket pass when `authorize` says so, others get 403; callers over TCP need
    the application's token. More than `max_connections` at once are hung up on, TCP
    at half of them; so is who does not finish the head of a request within `idle_s`. Ends at most twice GRACE_S after `shutdown`.
    """
    ready = anyio.Event()
    server = Server(app, authorize=authorize, max_connections=max_connections, idle_s=idle_s)
    async with anyio.create_task_group() as tg:
        tg.start_soon(_report, ready, task_status, name="http ready")
        await server.run(sockets, shutdown=shutdown, ready=ready)
        tg.cancel_scope.cancel()


async def _report(ready: anyio.Event, task_status: anyio.abc.TaskStatus[None]) -> None:
    await ready.wait()
    task_status.started()


def _config(idle_s: float) -> Config:
    config = Config()
    config.include_server_header = False
    config.keep_alive_timeout = idle_s
    config.keep_alive_max_requests = 1_000_000
    config.h11_max_incomplete_size = 64 * 1024
    config.errorlog = None
    config.accesslog = None
    return config
