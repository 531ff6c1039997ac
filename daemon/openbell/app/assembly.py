"""The composition root: builds everything once, in the order in which it is needed."""

from __future__ import annotations

import json
import os
import random
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from openbell import __version__
from openbell.calendars.store import SessionStore
from openbell.config.load import Document, load_deployment, open_document
from openbell.config.tree import Mark, Tree
from openbell.execution.pool import WorkerPool
from openbell.history.lock import StateLock
from openbell.history.store import HistoryStore
from openbell.model.history import RunFilter
from openbell.model.ids import IdSource
from openbell.model.pipelines import Deployment, Pipeline
from openbell.model.runs import NodeRecord, RunRecord, RunState
from openbell.pacing.broker import PacingBroker
from openbell.plugin_host import Registry
from openbell.sdk.clock import Clock, SystemClock
from openbell.sdk.errors import Problem, RetryableError, SettingsError
from openbell.supervisor.calendars import CalendarDesk
from openbell.supervisor.engine import LiveEngine, pool_limits
from openbell.supervisor.journal import Journal, Observer
from openbell.supervisor.services import Services
from openbell.telemetry.redact import Redactor

Adopt = Callable[[RunRecord, tuple[NodeRecord, ...]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a configuration comes from and where its state lives."""

    config: Path
    state_dir: Path
    profile: str | None = None
    overrides: tuple[tuple[str, str], ...] = ()


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
    """Return the deployment at `place`; raises SettingsError with every problem."""
    return load_deployment(
        place.config,
        registry=registry,
        env=env,
        profile=place.profile,
        overrides=dict(place.overrides),
    )


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
    hears of each run that an earlier process left open, before anything else happens; `loaded` of
    each deployment that a reload brings. Raises
    StateInUseError when another openbell holds the directory, and HistoryRefusedError when the
    history there cannot serve.
    """
    clock = clock or SystemClock()
    chance = random.SystemRandom()
    lock = StateLock(place.state_dir)
    with lock.acquire(version=__version__, socket=str(socket) if socket else None):
        async with HistoryStore(place.state_dir / "history.sqlite") as history:
            if adopt is not None:
                await _tell_open_runs(history, adopt)
            journal = Journal(history, observers)
            pool = WorkerPool(
                limits=pool_limits(deployment),
                clock=clock,
                scratch_dir=place.state_dir / "workers",
                environment=env,
                tell=journal.record,
            )
            async with pool:
                store = SessionStore(place.state_dir / "calendars")
                calendars = CalendarDesk(store, pool, clock, journal.record)
                calendars.begin(deployment, await history.overlays())
                services = Services(
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
                    jitter=chance.random,
                    random_bits=secrets.randbits,
                    redact=Redactor(deployment.secrets).text,
                )

                async def reload() -> Deployment:
                    found = load(place, registry, env)
                    calendars.use(found.calendars, found.overlays)
                    services.redact = Redactor(found.secrets).text
                    if loaded is not None:
                        loaded(found)
                    return found

                engine = LiveEngine(
                    services,
                    pool,
                    load=reload,
                    parse=partial(parse_pipeline, place, registry, env),
                    only=only,
                )
                async with engine:
                    yield Running(
                        engine=engine,
                        history=history,
                        services=services,
                        calendars=calendars,
                        registry=registry,
                        clock=clock,
                    )


async def _tell_open_runs(history: HistoryStore, adopt: Adopt) -> None:
    states = (RunState.QUEUED, RunState.RUNNING)
    for run in await history.runs(RunFilter(states=states, limit=100_000)):
        adopt(run, tuple(await history.nodes(run.run_id)))


def parse_pipeline(
    place: Place,
    registry: Registry,
    env: Mapping[str, str],
    document: Mapping[str, Any],
) -> Pipeline:
    """Return the pipeline that an API document describes: `{"name": ..., "nodes": ...}`.

    It is read exactly as one under `pipelines:` of the configuration at `place`, and may use that
    configuration's datasets and storage. Raises SettingsError.
    """
    name = document.get("name")
    if not isinstance(name, str) or not name:
        raise SettingsError([Problem(key="name", message="is missing", hint="name the pipeline")])
    around = open_document(place.config)
    body = {key: value for key, value in document.items() if key != "name"}
    whole = dict(around.tree.value) if isinstance(around.tree.value, dict) else {}
    added = tree_of({"pipelines": {name: body}}, "request")
    assert isinstance(added.value, dict)
    whole["pipelines"] = added.value["pipelines"]
    deployment = load_deployment(
        Document(tree=Tree(whole, around.tree.mark), source=around.source, folder=around.folder),
        registry=registry,
        env=env,
        profile=place.profile,
        overrides=dict(place.overrides),
    )
    if name in deployment.refused:
        raise SettingsError([Problem(key=f"pipelines.{name}", message=deployment.refused[name])])
    return deployment.pipelines[name]


def tree_of(value: Any, source: str) -> Tree:  # noqa: ANN401 - any JSON value
    """Return plain JSON values as a document that says it came from `source`."""
    mark = Mark(file=source)
    if isinstance(value, Mapping):
        return Tree({str(key): tree_of(child, source) for key, child in value.items()}, mark)
    if isinstance(value, list):
        return Tree([tree_of(child, source) for child in value], mark)
    if value is None or isinstance(value, str | int | float | bool):
        return Tree(value, mark)
    raise SettingsError([Problem(key=source, message=f"{json.dumps(str(value))} is no JSON value")])


async def keep_house(running_engine: Running, failed: Callable[[RetryableError], None]) -> None:
    """Look at calendars and prune history once an hour, back it up once a day, until cancelled.

    `failed` hears why it could not be done this time; it is tried again an hour later.
    """
    clock, history = running_engine.clock, running_engine.history
    while True:
        options = running_engine.engine.deployment.daemon
        datasets = running_engine.engine.deployment.datasets.values()
        try:
            await running_engine.calendars.look(dataset.calendar for dataset in datasets)
            await history.prune(
                before=clock.now() - timedelta(days=options.history_keep_days),
                keep_runs=options.history_keep_runs,
            )
            await history.backup_if_due(now=clock.now())
        except RetryableError as error:
            failed(error)
        await clock.sleep(3600.0)
