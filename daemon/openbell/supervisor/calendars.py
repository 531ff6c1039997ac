"""Every calendar's sessions: from the snapshots on disk, built in a worker where one is missing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import date
from typing import assert_never, cast

import anyio

from openbell.calendars.horizon import failed
from openbell.calendars.names import CalendarCatalog, UnknownCalendarError
from openbell.calendars.overlays import OverlayError
from openbell.calendars.product import DefinitionError
from openbell.calendars.reasons import reason_of, way_out
from openbell.calendars.snapshot import SnapshotError
from openbell.calendars.store import BUILDER, WEEKMASK_BUILDER, SessionStore
from openbell.calendars.table import CalendarTable
from openbell.execution.pool import Executor, SilentListener, StopSignal
from openbell.execution.process import WorkerLostError
from openbell.execution.protocol import CallTask, Failed
from openbell.model.calendars import (
    CalendarRules,
    CalendarStatus,
    HorizonPolicy,
    Overlay,
    OverlayRecord,
)
from openbell.model.events import CalendarFailed, CalendarHorizonNear, Event
from openbell.model.pipelines import Deployment
from openbell.schedule.tables import CalendarNames
from openbell.sdk.clock import Clock
from openbell.sdk.errors import FatalError, Problem, SettingsError, TransientError
from openbell.sdk.values import SessionTable

Tell = Callable[[Event], Awaitable[None]]


class CalendarDesk:
    """Answers for sessions; each calendar is built at most once at a time.

    A calendar that cannot be built, or that ends soon, is a state that is told once a day through
    `tell`, never a crash: what happens then is the policy of its rules.
    """

    def __init__(
        self, store: SessionStore, executor: Executor, clock: Clock, tell: Tell | None = None
    ) -> None:
        self._store = store
        self._executor = executor
        self._clock = clock
        self._tell = tell
        self._building: dict[str, anyio.Lock] = {}
        self._failures: dict[str, tuple[date, CalendarStatus]] = {}
        self._told: dict[str, date] = {}
        self._configured: tuple[Overlay, ...] = store.overlays
        self._added: dict[str, OverlayRecord] = {}

    @property
    def store(self) -> SessionStore:
        """The tables that are loaded, with the rules and overlays in force."""
        return self._store

    @property
    def names(self) -> CalendarNames:
        """Which calendars there are by the rules in force."""
        return CalendarCatalog(self._store.rules)

    @property
    def configured(self) -> tuple[Overlay, ...]:
        """The corrections of the configuration."""
        return self._configured

    @property
    def added(self) -> Mapping[str, OverlayRecord]:
        """The corrections made by hand that are in force, by id."""
        return self._added

    def use(self, rules: CalendarRules, overlays: Iterable[Overlay]) -> None:
        """Apply the rules and corrections of a configuration from now on.

        Raises SettingsError and changes nothing when one of them contradicts another, or one that
        was made by hand.
        """
        configured = tuple(overlays)
        self._apply(rules, configured, self._added)
        self._failures.clear()
        self._told.clear()

    def begin(self, deployment: Deployment, records: Iterable[OverlayRecord]) -> None:
        """Apply a deployment's rules and corrections, and those made by hand.

        Raises SettingsError when they contradict each other.
        """
        self.use(deployment.calendars, deployment.overlays)
        self.adopt(records)

    def adopt(self, records: Iterable[OverlayRecord]) -> None:
        """Apply these corrections made by hand beside those of the configuration.

        Raises SettingsError and changes nothing when they contradict each other.
        """
        added = {record.overlay_id: record for record in records if record.removed_at is None}
        self._apply(self._store.rules, self._configured, added)

    def _apply(
        self,
        rules: CalendarRules,
        configured: tuple[Overlay, ...],
        added: Mapping[str, OverlayRecord],
    ) -> None:
        by_hand = tuple(record.overlay for record in added.values())
        try:
            self._store.use(rules, configured + by_hand)
        except (OverlayError, DefinitionError) as error:
            hint = "mdp calendar overlay list shows those made by hand, remove takes one back"
            problem = Problem(key="calendars.overlays", message=str(error), hint=hint)
            raise SettingsError([problem]) from error
        self._configured, self._added = configured, dict(added)

    async def between(self, calendar: str, first: date, last: date) -> SessionTable:
        """Return the sessions with labels from `first` to `last`, both included."""
        table = await self.table(calendar)
        return table.between(first, last)

    async def require(self, calendar: str, last: date) -> None:
        """Raise FatalError if nothing is known of the day `last` and the policy is `block`."""
        table = await self.table(calendar)
        if last > table.last_label and self._policy(calendar) == "block":
            raise FatalError(
                f"calendar {table.calendar!r} ends on {table.last_label} and nothing is known of "
                f"{last}: a newer exchange_calendars may know more, and "
                f"`calendars: {{policies: {{{table.calendar}: weekmask}}}}` takes usual weekdays"
            )

    async def table(self, calendar: str, *, through: date | None = None) -> CalendarTable:
        """Return a calendar's whole table, to `through` at least where so much can be known.

        Raises FatalError when it cannot be built and its policy is `block`.
        """
        today = self._clock.now().date()
        try:
            name = self._store.canonical(calendar)
            source = self._store.source(name)
            async with self._building.setdefault(source, anyio.Lock()):
                day, failure = self._failures.get(source, (None, None))
                if failure is not None and day == today and failure.policy == "block":
                    raise _unbuilt(failure)
                if failure is not None and day != today:
                    self._failures.pop(source)
                    self._store.forget(source)
                table = self._store.table(name, today=today, through=through)
                if table is None:
                    await self._build(source, today, through)
                    table = self._store.table(name, today=today, through=through)
                assert table is not None
                await self._notice(source, today)
                return table
        except (UnknownCalendarError, OverlayError, SnapshotError, DefinitionError) as error:
            raise FatalError(str(error)) from error

    async def status(self, calendar: str) -> CalendarStatus:
        """Return how a calendar stands; it is built first. Raises FatalError for an unknown one."""
        today = self._clock.now().date()
        try:
            name = self._store.canonical(calendar)
            source = self._store.source(name)
        except UnknownCalendarError as error:
            raise FatalError(str(error)) from error
        try:
            await self.table(name)
        except FatalError as error:
            found = self._failures.get(source)
            reason = found[1].reason if found else str(error)
            return failed(name, self._store.rules, reason)
        found = self._failures.get(source)
        if found is not None:
            return replace(found[1], calendar=name)
        return replace(self._store.status(name, today=today), calendar=name)

    def is_known(self, calendar: str, today: date) -> bool:
        """Return whether a calendar's state can be told without building it."""
        source = self._store.source(calendar)
        try:
            return source in self._failures or self._store.table(calendar, today=today) is not None
        except (OverlayError, DefinitionError):
            return True

    async def look(self, calendars: Iterable[str]) -> None:
        """Load these calendars, so that whatever is the matter with one is told."""
        for calendar in sorted(set(calendars)):
            with suppress(FatalError):
                await self.table(calendar)

    def _policy(self, calendar: str) -> HorizonPolicy:
        return self._store.rules.policy_of(self._store.source(calendar))

    async def _build(self, source: str, today: date, through: date | None) -> None:
        wanted = self._store.wanted_through(today)
        wanted = wanted if through is None else max(wanted, through)
        answer = await self._ask(BUILDER, source, wanted)
        if isinstance(answer, bytes):
            self._store.save(answer, today=today)
            return
        reason = reason_of(answer.message, self._store.library)
        status = failed(source, self._store.rules, reason)
        self._failures[source] = (today, status)
        event = CalendarFailed(
            at=self._clock.now(), calendar=source, policy=status.policy, reason=status.reason
        )
        await self._tell_once(source, today, event)
        match status.policy:
            case "block":
                raise _unbuilt(status)
            case "warn":
                self._store.stand_in(source, None)
            case "weekmask":
                guessed = await self._ask(WEEKMASK_BUILDER, source, wanted)
                self._store.stand_in(source, guessed if isinstance(guessed, bytes) else None)
            case _:
                assert_never(status.policy)

    async def _ask(self, function: str, name: str, through: date) -> bytes | Failed:
        task = CallTask(
            attempt_id=f"calendar {name}",
            function=function,
            arguments={"calendar": name, "through": through.isoformat()},
        )
        try:
            answer, _ = await self._executor.submit(task, SilentListener(), StopSignal())
        except WorkerLostError as error:
            raise TransientError(f"calendar {name!r} cannot be built for now: {error}") from error
        return answer if isinstance(answer, Failed) else cast("bytes", answer.result)

    async def _notice(self, source: str, today: date) -> None:
        if source in self._failures:
            return
        status = self._store.status(source, today=today)
        if status.state != "ending" or status.horizon is None:
            return
        event = CalendarHorizonNear(
            at=self._clock.now(),
            calendar=source,
            policy=status.policy,
            horizon=status.horizon,
            sessions_left=status.sessions_left or 0,
        )
        await self._tell_once(source, today, event)

    async def _tell_once(self, source: str, today: date, event: Event) -> None:
        if self._tell is not None and self._told.get(source) != today:
            self._told[source] = today
            await self._tell(event)


def _unbuilt(status: CalendarStatus) -> FatalError:
    name, reason = status.calendar, status.reason.rstrip(".")
    return FatalError(f"calendar {name!r} cannot be built: {reason}; {way_out(name)}")
