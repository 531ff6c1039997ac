"""The composition root: builds everything once, in the order in which it is needed."""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from openbell import __version__
from openbell.app.documents import parse_pipeline
from openbell.app.loading import load_whole
from openbell.app.place import Place
from openbell.calendars.store import SessionStore
from openbell.execution.orphans import clean_spool
from openbell.execution.pool import WorkerPool
from openbell.history.lock import StateLock
from openbell.history.store import HistoryStore
from openbell.model.ids import IdSource
from openbell.model.pipelines import Deployment, Pipeline
from openbell.model.runs import NodeRecord, RunRecord
from openbell.pacing.broker import PacingBroker
from openbell.plugin_host import Registry
from openbell.sdk.clock import Clock, SystemClock
from openbell.supervisor.calendars import CalendarDesk
from openbell.supervisor.engine import LiveEngine, pool_limits
from openbell.supervisor.journal import Journal, Observer
from openbell.supervisor.services import Services
from openbell.telemetry.redact import Redactor

__all__ = ["Adopt", "Place", "Running", "load", "running"]

Adopt = Callable[[RunRecord, tuple[NodeRecord, ...]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A running engine with what belongs to it."""

    engine: LiveEngine
    history: HistoryStore
    services: Services
    calendars: CalendarDesk
    registry: Registry
    clock: Clock


def load(place: Place, registry: Registry, env: Mapping[str, str]) -> Deployment:
    """Return the deployment at `place`; raises SettingsError with every problem.

    Blocks while functions under `pipelines_from` are called.
    """
    return load_whole(
        place.config,
        registry=registry,
        env=env,
        profile=place.profile,
        overrides=dict(place.overrides),
    ).deployment


@asynccontextmanager
async def running(
    place: Place,
    registry: Registry,
    deployment: Deployment,
    *,
    env: Mapping[str, str] = os.environ,
    observers: Sequence[Observer] = (),
    socket: Path | None = None,
    only: frozenset[str] | None = None,
    clock: Clock | None = None,
    adopt: Adopt | None = None,
    loaded: Callable[[Deployment], None] | None = None,
) -> AsyncIterator[Running]:
    """Yield an engine at work on `place`; it holds the state directory until it is left.

    `only` names the pipelines to work on: a run in the foreground leaves the others alone. `adopt`
    hears of each run that an earlier process left open, `loaded` of each deployment that a reload
    brings. Raises StateInUseError when another openbell holds the directory, and
    HistoryRefusedError when the history there cannot serve.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        address = str(socket) if socket else None
        stack.enter_context(StateLock(place.state_dir).acquire(version=__version__, socket=address))
        history = await stack.enter_async_context(HistoryStore(place.state_dir / "history.sqlite"))
        if adopt is not None:
            await _tell_open_runs(history, adopt)
        journal = Journal(history, observers, clock=clock)
        pool = _pool(place, deployment, clock=clock, journal=journal, env=env)
        await stack.enter_async_context(pool)
        store = SessionStore(place.state_dir / "calendars")
        calendars = CalendarDesk(store, pool, clock, journal.record)
        calendars.begin(deployment, await history.overlays())
        services = _services(
            place,
            registry,
            deployment,
            clock=clock,
            history=history,
            journal=journal,
            pool=pool,
            calendars=calendars,
        )
        engine = LiveEngine(
            services,
            pool,
            load=_Reload(place, registry, env, services=services, desk=calendars, loaded=loaded),
            parse=_parser(place, registry, env, services),
            only=only,
            calendars=calendars,
        )
        await stack.enter_async_context(engine)
        yield Running(
            engine=engine,
            history=history,
            services=services,
            calendars=calendars,
            registry=registry,
            clock=clock,
        )


def _services(
    place: Place,
    registry: Registry,
    deployment: Deployment,
    *,
    clock: Clock,
    history: HistoryStore,
    journal: Journal,
    pool: WorkerPool,
    calendars: CalendarDesk,
) -> Services:
    return Services(
        clock=clock,
        history=history,
        journal=journal,
        executor=pool,
        broker=PacingBroker(clock),
        sessions=calendars,
        specs=registry,
        ids=IdSource(secrets.randbits),
        state_dir=place.state_dir,
        deployment=deployment,
        jitter=random.SystemRandom().random,
        random_bits=secrets.randbits,
        redact=Redactor(deployment.secrets).text,
    )


def _pool(
    place: Place,
    deployment: Deployment,
    *,
    clock: Clock,
    journal: Journal,
    env: Mapping[str, str],
) -> WorkerPool:
    clean_spool(place.state_dir, is_kept=lambda _: True, is_start=True)
    return WorkerPool(
        limits=pool_limits(deployment),
        clock=clock,
        scratch_dir=place.state_dir / "workers",
        environment=env,
        tell=journal.record,
    )


def _parser(
    place: Place, registry: Registry, env: Mapping[str, str], services: Services
) -> Callable[[Mapping[str, Any]], Pipeline]:
    """Return what reads an API document, which may name the pipelines that are there by then."""

    def parse(document: Mapping[str, Any]) -> Pipeline:
        around = services.deployment.pipelines
        return parse_pipeline(place, registry, env, document, around=around)

    return parse


class _Reload:
    """Reads the configuration again and tells everyone who keeps something of it."""

    def __init__(
        self,
        place: Place,
        registry: Registry,
        env: Mapping[str, str],
        *,
        services: Services,
        desk: CalendarDesk,
        loaded: Callable[[Deployment], None] | None,
    ) -> None:
        self._load = partial(load, place, registry, env)
        self._services = services
        self._calendars = desk
        self._loaded = loaded
        self._redactor = Redactor(services.deployment.secrets)
        self._reading = anyio.CapacityLimiter(1)

    async def __call__(self) -> Deployment:
        found = await anyio.to_thread.run_sync(self._load, limiter=self._reading)
        self._calendars.use(found.calendars, found.overlays)
        # Runs at work go on with the old secrets: those stay hidden too.
        self._redactor = self._redactor.with_secrets(found.secrets)
        self._services.redact = self._redactor.text
        if self._loaded is not None:
            self._loaded(found)
        return found


async def _tell_open_runs(history: HistoryStore, adopt: Adopt) -> None:
    after = ""
    while page := await history.open_runs(after=after):
        for opened in page:
            adopt(opened.run, opened.nodes)
        after = page[-1].run.run_id
