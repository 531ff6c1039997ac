"""A rehearsal put together: the real engine, a manual clock, and nothing that lasts."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from openbell.app.offline import loaded_tables
from openbell.app.rehearsal.answers import PlayedAnswers
from openbell.app.rehearsal.executor import RehearsedWorkers
from openbell.app.rehearsal.memory import RehearsedHistory, RememberedSessions
from openbell.app.rehearsal.waits import Wait, WatchedDesk
from openbell.app.rehearsal.watcher import Watcher
from openbell.calendars.names import CalendarCatalog
from openbell.calendars.store import STALE_DAYS, SessionStore
from openbell.model.ids import IdSource
from openbell.model.pipelines import Deployment, Pipeline
from openbell.pacing.broker import PacingBroker
from openbell.plugin_host import Registry
from openbell.schedule.parser import parse
from openbell.sdk.clock import Clock
from openbell.sdk.errors import FatalError
from openbell.supervisor.calendars import CalendarDesk
from openbell.supervisor.engine import LiveEngine
from openbell.supervisor.journal import Journal
from openbell.supervisor.services import Services
from openbell.testing.clock import ManualClock
from openbell.testing.virtual import run_virtual

_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)
_EXPECTED_JITTER = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The days of a rehearsal, both included, in UTC."""

    first: date
    last: date

    @property
    def start(self) -> datetime:
        """The instant at which it begins."""
        return datetime.combine(self.first, time(), UTC)

    @property
    def end(self) -> datetime:
        """The instant before which it ends."""
        return datetime.combine(self.last + _DAY, time(), UTC)


def calendars_of(deployment: Deployment) -> set[str]:
    """Return the calendars of every dataset and schedule; raises UnknownCalendarError."""
    catalog = CalendarCatalog(deployment.calendars)
    names = {catalog.canonical(dataset.calendar) for dataset in deployment.datasets.values()}
    for pipeline in deployment.pipelines.values():
        for use in pipeline.schedule:
            names.update(parse(use.expression, catalog).calendars)
    return names


async def tables(
    deployment: Deployment, span: Span, *, clock: Clock, env: Mapping[str, str]
) -> SessionStore:
    """Return the sessions of every calendar, to the end of a rehearsal and as far as it looks.

    They are built in a worker and kept in memory: corrections made by hand on this machine have no
    part in them. Raises FatalError for a calendar that cannot be built.
    """
    with tempfile.TemporaryDirectory(prefix="openbell-rehearsal-") as scratch:
        return await loaded_tables(
            Path(scratch),
            calendars_of(deployment),
            clock=clock,
            through=span.last + timedelta(days=STALE_DAYS) + _DAY,
            rules=deployment.calendars,
            overlays=deployment.overlays,
            env=env,
        )


class Stage:
    """One rehearsal. `run` goes through it, and can be called once."""

    def __init__(
        self, deployment: Deployment, registry: Registry, store: SessionStore, *, seed: int
    ) -> None:
        self._deployment = _in_order(deployment)
        self._registry = registry
        self._store = store
        self._seed = seed
        self._history = RehearsedHistory()
        self.watcher = Watcher(self._history.over)
        self._desk: WatchedDesk | None = None

    @property
    def waits(self) -> Mapping[str, Wait]:
        """What attempts waited for, by what it was."""
        return self._desk.waits if self._desk else {}

    def run(self, span: Span) -> str:
        """Go from the first day to the last, and return the digest of what happened."""
        self.watcher.until = span.end
        clock = ManualClock(span.start - _TICK)  # what is due at the very start is due

        async def play() -> str:
            async with self._engine(clock):
                await clock.sleep_until(span.end)
                return self.watcher.close(clock.now())

        return run_virtual(clock, play)

    def _engine(self, clock: ManualClock) -> LiveEngine:
        deployment, broker = self._deployment, PacingBroker(clock)
        workers = RehearsedWorkers(clock, broker, seed=self._seed, whose_run=self.watcher.name_of)
        workers.use(deployment.pipelines, {p.name: p.pacing for p in deployment.providers.values()})
        journal = Journal(self._history, [self.watcher], clock=clock)
        calendars = CalendarDesk(self._store, workers, clock, journal.record)
        bits = itertools.count(1)
        services = Services(
            clock=clock,
            history=self._history,
            journal=journal,
            executor=workers,
            broker=broker,
            sessions=RememberedSessions(calendars),
            specs=self._registry,
            ids=IdSource(lambda _: next(bits)),
            state_dir=Path("/nonexistent/openbell-rehearsal"),
            deployment=deployment,
            jitter=lambda: _EXPECTED_JITTER,
            random_bits=lambda _: next(bits),
            stand_in=PlayedAnswers(
                clock,
                seed=self._seed,
                whose_run=self.watcher.name_of,
                pipelines=deployment.pipelines,
            ),
        )
        services.desk = self._desk = WatchedDesk(
            clock, max_workers=deployment.daemon.max_workers, pools=deployment.pools
        )
        return LiveEngine(
            services, workers, calendars=calendars, load=_no_reload, parse=_no_document
        )


def _in_order(deployment: Deployment) -> Deployment:
    """Return a deployment whose pipelines stand by name: their order in a file means nothing."""
    pipelines = dict(sorted(deployment.pipelines.items()))
    return replace(deployment, pipelines=pipelines)


async def _no_reload() -> Deployment:
    raise FatalError("a rehearsal has one configuration")


def _no_document(document: Mapping[str, object]) -> Pipeline:
    del document
    raise FatalError("a rehearsal has one configuration")
