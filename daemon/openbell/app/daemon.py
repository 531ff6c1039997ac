"""The daemon: an engine that serves its API until it is told to stop."""

from __future__ import annotations

import logging
import os
import socket
import traceback
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio

from openbell import __version__
from openbell.app.assembly import Place, Running, load, running
from openbell.app.housekeeping import keep_house
from openbell.app.memory import settle
from openbell.app.mounts import mount_plugins
from openbell.http.app import create_app
from openbell.http.connections import Authorize
from openbell.http.listeners import tcp_listener, unix_listener
from openbell.http.server import serve
from openbell.model.control import DaemonStatus
from openbell.model.events import DaemonStarted
from openbell.model.pipelines import DaemonOptions, Deployment
from openbell.model.schedules import Schedules
from openbell.plugin_host import Registry, load_plugins
from openbell.plugin_host.guard import Failure
from openbell.sdk.clock import Clock, SystemClock
from openbell.sdk.errors import Problem, RetryableError, SettingsError
from openbell.service.activation import inherited_sockets
from openbell.service.notify import Notifier
from openbell.service.peers import UnknownGroupError, allowed, group_id, peer_of
from openbell.service.signals import run_signals
from openbell.service.watchdog import Watchdog
from openbell.supervisor.calendar_service import CalendarService
from openbell.supervisor.explain.waits import Waits
from openbell.telemetry.station import Sources, Telemetry, open_telemetry

TICK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Where clients come in: listening sockets, who may use the Unix one, the token for TCP."""

    sockets: tuple[socket.socket, ...]
    authorize: Authorize
    token: str | None


def read_token(options: DaemonOptions) -> str | None:
    """Return the bearer token for TCP, None while TCP is off; raises SettingsError."""
    if options.tcp_port is None:
        return None
    key = "daemon.tcp_token_file"
    if options.tcp_token_file is None:
        raise SettingsError(
            [
                Problem(
                    key=key,
                    message="is missing, and daemon.tcp_port is set",
                    hint="without a token anybody on the network could steer the daemon",
                )
            ]
        )
    try:
        token = Path(options.tcp_token_file).read_text(encoding="utf-8").strip()
    except OSError as error:
        message = f"{options.tcp_token_file} cannot be read: {error.strerror}"
        raise SettingsError([Problem(key=key, message=message)]) from error
    if len(token) < 16:
        message = f"the token in {options.tcp_token_file} is shorter than 16 characters"
        raise SettingsError([Problem(key=key, message=message)])
    return token


@contextmanager
def open_doors(
    options: DaemonOptions, path: Path, env: MutableMapping[str, str]
) -> Iterator[Doors]:
    """Yield the sockets to serve: those of the service manager, else `path`; and TCP when on.

    Raises SettingsError for what cannot be listened on.
    """
    token = read_token(options)
    try:
        group = group_id(options.socket_group)
    except UnknownGroupError as error:
        raise SettingsError([Problem(key="daemon.socket_group", message=str(error))]) from error
    with ExitStack() as stack:
        handed = [line for lines in inherited_sockets(env).values() for line in lines]
        for line in handed:
            stack.enter_context(line)
        if not handed:
            handed = [stack.enter_context(unix_listener(path, group=group))]
        if options.tcp_port is not None:
            handed.append(stack.enter_context(tcp_listener(options.tcp_host, options.tcp_port)))
        own_uid = os.getuid()
        yield Doors(
            sockets=tuple(handed),
            authorize=lambda line: allowed(peer_of(line), own_uid, group),
            token=token,
        )


async def run_daemon(
    place: Place,
    socket_path: Path,
    env: MutableMapping[str, str],
    *,
    registry: Registry | None = None,
    clock: Clock | None = None,
) -> None:
    """Serve the deployment at `place` until stopped.

    Raises SettingsError, StateInUseError or HistoryRefusedError before anything has begun.
    """
    clock = clock or SystemClock()
    began_s = clock.monotonic()
    registry = registry or load_plugins()
    deployment = load(place, registry, env)
    notifier = Notifier.from_environment(env)
    watchdog = Watchdog.from_environment(notifier, clock, env)
    with (
        open_telemetry(
            deployment.telemetry,
            clock,
            version=__version__,
            secrets=deployment.secrets,
            env=env,
        ) as telemetry,
        open_doors(deployment.daemon, socket_path, env) as doors,
    ):
        async with running(
            place,
            registry,
            deployment,
            env=env,
            observers=[telemetry.observer],
            socket=socket_path,
            clock=clock,
            adopt=telemetry.observer.adopt,
            loaded=partial(_reloaded, telemetry),
        ) as whole:
            await _serve(
                whole, telemetry, doors, notifier=notifier, watchdog=watchdog, began_s=began_s
            )


async def _serve(
    whole: Running,
    telemetry: Telemetry,
    doors: Doors,
    *,
    notifier: Notifier,
    watchdog: Watchdog,
    began_s: float,
) -> None:
    engine, clock = whole.engine, whole.clock
    schedules = engine.schedules
    assert schedules is not None
    mounts = mount_plugins(whole.registry, partial(_not_served, telemetry))
    app = create_app(
        engine,
        whole.history,
        calendars=_calendars(whole, schedules),
        schedules=schedules,
        plugins=mounts.plugins,
        mounts=mounts.apps,
        metrics=telemetry.render,
        clock=clock,
        version=__version__,
        token=doors.token,
        failed=partial(_unexpected, telemetry),
    )
    closing = anyio.Event()
    async with anyio.create_task_group() as serving:
        await serving.start(
            partial(serve, authorize=doors.authorize, shutdown=closing), app, doors.sockets
        )
        async with anyio.create_task_group() as tasks:
            await tasks.start(run_signals, engine, notifier)
            telemetry.watch(_sources(whole))
            await tasks.start(telemetry.run)
            options = engine.deployment.telemetry
            if options.metrics_enabled:
                await tasks.start(telemetry.serve, options.metrics_host, options.metrics_port)
            tasks.start_soon(keep_house, whole, partial(_not_kept, telemetry), name="keep house")
            waits = Waits(engine, whole.services.journal, clock)
            tasks.start_soon(waits.run, name="waits")
            tasks.start_soon(_tick, whole, notifier, watchdog.beat, name="tick")
            tasks.start_soon(watchdog.run, name="watchdog")
            await whole.services.journal.record(
                DaemonStarted(
                    at=clock.now(),
                    version=__version__,
                    pid=os.getpid(),
                    pipelines=len(engine.pipelines()),
                    startup_s=clock.monotonic() - began_s,
                )
            )
            settle()
            notifier.ready(status_line(engine.status()))
            await engine.drained.wait()
            notifier.stopping("work is put away")
            tasks.cancel_scope.cancel()
        closing.set()


def _calendars(whole: Running, schedules: Schedules) -> CalendarService:
    return CalendarService(
        whole.calendars,
        whole.services.journal.record,
        clock=whole.clock,
        random_bits=whole.services.random_bits,
        scheduled=lambda: [
            (status.record.pipeline, status.record.use) for status in schedules.statuses()
        ],
    )


def _reloaded(telemetry: Telemetry, deployment: Deployment) -> None:
    telemetry.learn_secrets(deployment.secrets)
    telemetry.logs.set_level(deployment.telemetry.log_level)


def _unexpected(telemetry: Telemetry, error: BaseException, what: str) -> None:
    telemetry.logs.write(
        logging.ERROR,
        "http.failed",
        request=what,
        exception="".join(traceback.format_exception(error)),
    )


def _not_served(telemetry: Telemetry, name: str, failure: Failure) -> None:
    telemetry.logs.write(
        logging.ERROR,
        "plugin.routes_failed",
        route=name,
        error=failure.reason,
        exception=failure.traceback,
    )


def _not_kept(telemetry: Telemetry, error: RetryableError) -> None:
    telemetry.logs.write(logging.ERROR, "history.upkeep_failed", error=str(error))


def _sources(whole: Running) -> Sources:
    engine = whole.engine
    return Sources(
        pipelines=engine.pipelines,
        workers=engine.workers,
        budgets=engine.budgets,
        mailbox_depths=engine.mailbox_depths,
        database_bytes=partial(_size_bytes, whole.history.path),
        schedules=engine.schedules.statuses if engine.schedules is not None else None,
    )


def _size_bytes(database: Path) -> int:
    files = (database, database.with_name(database.name + "-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


async def _tick(whole: Running, notifier: Notifier, beat: Callable[[], None]) -> None:
    """Beat for the watchdog from this loop, and keep the status line true."""
    shown = ""
    while True:
        beat()
        line = status_line(whole.engine.status())
        if line != shown:
            notifier.status(line)
            shown = line
        await whole.clock.sleep(TICK_S)


def status_line(status: DaemonStatus) -> str:
    """Return the daemon's state in one line, as `systemctl status` shows it."""
    parts = [
        f"{status.state}: {status.pipelines} pipelines",
        f"{status.active_runs} running",
        f"{status.queued_runs} queued",
        f"{status.workers} workers",
    ]
    if status.parked:
        parts.append(f"{status.parked} parked")
    if status.last_error:
        parts.append(f"reload refused: {status.last_error.splitlines()[0]}")
    return ", ".join(parts)
