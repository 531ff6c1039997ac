"""A real server on a real Unix socket over a small engine."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx

from doubles.calendars import calendar_service
from doubles.engine import DoubleEngine
from openbell.http.app import HttpApp, create_app
from openbell.http.connections import Authorize, uid_of
from openbell.http.listeners import tcp_listener, unix_listener
from openbell.http.server import IDLE_S, MAX_CONNECTIONS, serve
from openbell.plugin_host import PluginInfo
from openbell.testing.clock import ManualClock

TOKEN = "correct horse battery staple"
PLUGINS = (
    PluginInfo(
        name="good",
        distribution="good-plugin",
        version="1.0",
        state="loaded",
        registers={"provider": ("vendor",), "rule": ()},
    ),
    PluginInfo(
        name="bad", distribution="bad-plugin", version="0.1", state="refused", reason="no hook"
    ),
)


@dataclass(frozen=True, slots=True)
class Served:
    """A running server: its socket's path, its TCP port, and the engine behind it."""

    engine: DoubleEngine
    socket: Path
    port: int
    failures: list[tuple[BaseException, str]]
    shutdown: anyio.Event

    def stop(self) -> None:
        self.shutdown.set()

    async def subscribed(self) -> None:
        with anyio.fail_after(5):
            while not self.engine.subscriber_count:
                await anyio.sleep(0.005)

    def client(self) -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(uds=str(self.socket))
        return httpx.AsyncClient(transport=transport, base_url="http://openbell", timeout=10)

    def tcp_client(self, **headers: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=10
        )


def owner_only(connection: socket.socket) -> bool:
    return uid_of(connection) == os.getuid()


def app_of(engine: DoubleEngine, **options: Any) -> HttpApp:
    return create_app(
        engine,
        engine.history,
        calendars=calendar_service(),
        schedules=engine.scheduler,
        plugins=PLUGINS,
        metrics=lambda: b"# HELP pipeline_active_jobs Jobs at work.\npipeline_active_jobs 0\n",
        clock=ManualClock(),
        version="0.1.0",
        token=TOKEN,
        **options,
    )


@asynccontextmanager
async def serving(
    directory: Path,
    authorize: Authorize = owner_only,
    *,
    max_connections: int = MAX_CONNECTIONS,
    idle_s: float = IDLE_S,
    **options: Any,
) -> AsyncIterator[Served]:
    engine = DoubleEngine()
    failures: list[tuple[BaseException, str]] = []
    app = app_of(engine, **options, failed=lambda error, where: failures.append((error, where)))
    shutdown = anyio.Event()
    path = directory / "openbell.sock"
    with unix_listener(path) as unix, tcp_listener("127.0.0.1", 0) as tcp:
        listening = anyio.Event()
        # A task of the test's own loop: a fixture may be left in another task than it was entered.
        server = asyncio.create_task(
            run(
                server=partial(serve, app, max_connections=max_connections, idle_s=idle_s),
                sockets=[unix, tcp],
                authorize=authorize,
                shutdown=shutdown,
                listening=listening,
            )
        )
        await listening.wait()
        try:
            yield Served(engine, path, tcp.getsockname()[1], failures, shutdown)
        finally:
            shutdown.set()
            await server


async def run(
    *,
    server: Callable[..., Coroutine[Any, Any, None]],
    sockets: list[socket.socket],
    authorize: Authorize,
    shutdown: anyio.Event,
    listening: anyio.Event,
) -> None:
    async with anyio.create_task_group() as tg:
        await tg.start(partial(server, sockets, authorize=authorize, shutdown=shutdown))
        listening.set()
