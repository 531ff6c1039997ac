"""The task that fires schedules: it sleeps until something is due, decides, and tells the actors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import anyio

from openbell.model.control import NotAcceptedError
from openbell.model.events import ClockJumped, Event, OverlayAdded, OverlayRemoved, ScheduleAdvanced
from openbell.model.history import DuplicateFireError, RunFilter
from openbell.model.pipelines import Pipeline
from openbell.model.runs import IllegalStepError, RunRecord, RunState
from openbell.model.schedules import ScheduleRecord
from openbell.schedule.triggers import UnplannableError
from openbell.supervisor.firing.ahead import take_back
from openbell.supervisor.firing.corrections import LOOK_BACK, has_fresh_overlays
from openbell.supervisor.firing.crew import Crew
from openbell.supervisor.firing.decisions import (
    Batch,
    Decider,
    Load,
    Prepare,
    cancel_request,
    fire_record,
    without,
)
from openbell.supervisor.firing.line import Due, Line
from openbell.supervisor.firing.plans import MAX_LEAD, Plans
from openbell.supervisor.firing.register import Register
from openbell.supervisor.firing.tables import Calendars, LoadedTables
from openbell.supervisor.intake import queued
from openbell.supervisor.services import Services

JUMP_S = 2.0
"""Wall time that goes so many seconds another way than time does is a jump."""

LOOK_S = 900.0
"""How often the clock is looked at while nothing is due."""

_MOST_QUEUED = 100_000
_MARGIN = timedelta(days=30)
_FAR = datetime(9999, 1, 1, tzinfo=UTC)
_SOON = timedelta(milliseconds=20)


class Firing:
    """Looks at schedules when something of them is due, and puts on record what becomes of it."""

    def __init__(
        self,
        services: Services,
        crew: Crew,
        prepare: Prepare,
        *,
        calendars: Calendars,
        is_open: Callable[[], bool],
        is_again: bool = False,
    ) -> None:
        self._services = services
        self._is_again = is_again
        self._crew = crew
        self._is_open = is_open
        self._tables = LoadedTables(calendars, self._arrive)
        self._decider = Decider(
            self._tables, prepare, self._load, deployment=lambda: services.deployment
        )
        self.plans = Plans(services, crew, self._tables)
        self._register = Register((), services.random_bits)
        self._nap: anyio.CancelScope | None = None
        self._is_poked = False
        self._is_awake = False
        self._is_stale = False
        self._is_corrected = False
        self._arrived: set[str] = set()
        self._day = services.clock.now().date()
        self._reference = (services.clock.now(), services.clock.monotonic())
        self.changing = anyio.Lock()
        self.is_begun = anyio.Event()

    @property
    def lines(self) -> Collection[Line]:
        """Every schedule in force."""
        return self.plans.lines

    @property
    def tables(self) -> LoadedTables:
        """The sessions that are planned by."""
        return self._tables

    @property
    def register(self) -> Register:
        """The schedules there ever were."""
        return self._register

    def see(self, event: Event) -> None:
        """Hear of what changes plans."""
        if isinstance(event, OverlayAdded | OverlayRemoved):
            self._is_stale = True
            self.poke()

    def poke(self) -> None:
        """Look at every schedule again, soon."""
        self._is_poked = True
        self._wake()

    def _arrive(self, calendar: str) -> None:
        self._arrived.add(calendar)
        self._wake()

    def _wake(self) -> None:
        self._is_awake = True
        if self._nap is not None:
            self._nap.cancel()

    async def run(self) -> None:
        """Fire schedules until the engine takes no more work."""
        async with anyio.create_task_group() as tasks:
            self._tables.open(tasks)
            async with self.changing:
                await self._begin()
                self.is_begun.set()
            tasks.start_soon(self._watch, name="watch the clock")
            await self._serve()
            tasks.cancel_scope.cancel()

    async def _serve(self) -> None:
        while self._is_open():
            async with self.changing:
                await self._turn()
            if self._is_awake:
                continue
            tomorrow = datetime.combine(self._day + timedelta(days=1), time(0, 0, 30), UTC)
            with anyio.CancelScope() as self._nap:
                await self._services.clock.sleep_until(self.plans.next_look(tomorrow))
            self._nap = None

    async def _watch(self) -> None:
        while True:
            await self._services.clock.sleep(LOOK_S)
            if abs(self._drift_s()) > JUMP_S:
                self.poke()

    def _drift_s(self) -> float:
        clock, (wall, monotonic_s) = self._services.clock, self._reference
        return (clock.now() - wall).total_seconds() - (clock.monotonic() - monotonic_s)

    async def _begin(self) -> None:
        """Take up every schedule where history says that it stands."""
        history, now = self._services.history, self._services.clock.now()
        self._reference = (now, self._services.clock.monotonic())
        self._day = now.date()
        records = await history.schedules(with_removed=True)
        last = {fire.schedule_id: fire for fire in await history.last_fires()}
        ahead: dict[str, set[str]] = {}
        for schedule_id, identity in await history.fires_ahead(now):
            ahead.setdefault(schedule_id, set()).add(identity)
        self._register = Register(records, self._services.random_bits)
        for record in records:
            if record.removed_at is None:
                line = self.plans.put(Line(record, last=last.get(record.schedule_id)))
                line.decided |= ahead.get(record.schedule_id, set())
        await self._go_back(now, with_rows=False, after=now + MAX_LEAD)
        if self._is_again or ahead:
            await self._take_up_runs(now)
        self._is_corrected = await has_fresh_overlays(self._services, now)
        await self.compare()

    async def _take_up_runs(self, now: datetime) -> None:
        """Look at runs that wait: of those of before a crash maybe nobody was told."""
        wanted = RunFilter(states=(RunState.QUEUED,), limit=_MOST_QUEUED)
        for run in reversed(await self._services.history.runs(wanted)):
            if run.due_at is not None and run.due_at > now and run.retry_of is None:
                known = self._register.of_key(run.pipeline, run.fire.partition("/")[0])
                line = self.plans.line(known.schedule_id) if known else None
                if line is not None and run.fire in line.decided:
                    line.early[run.fire] = run
            if self._is_again and run.fire and self._crew.standing(run.pipeline) != "unknown":
                await self._crew.enqueue(run)

    async def reload(self) -> None:
        """Let the schedules of the definitions in force be in force."""
        async with self.changing:
            if not self.is_begun.is_set():
                return
            self._tables.look_again()
            await self.compare()
        self.poke()

    async def compare(self) -> None:
        """Record how the definitions' schedules differ from those at work, and plan all of them."""
        now = self._services.clock.now()
        in_force = {line.record.schedule_id: line.record for line in self.lines}
        changes = self._register.compare(self._crew.definitions, self._tables.names, in_force, now)
        gone = self.plans.missing(changes.records)
        altered = [
            line
            for schedule_id, line in ((line.record.schedule_id, line) for line in self.lines)
            if schedule_id in changes.records and changes.records[schedule_id] != line.record
        ]
        if changes.events:
            await self.take_back(
                [*gone, *altered], *changes.events, reason="the configuration changed"
            )
        for line in gone:
            self.plans.drop(line.record.schedule_id)
        for schedule_id, record in changes.records.items():
            known = self.plans.line(schedule_id)
            if known is None:
                self.plans.put(Line(record))
            else:
                until = known.record.decided_until
                known.record = replace(record, decided_until=until)
        self.plans.plan(self.lines)

    async def take_back(
        self, lines: Iterable[Line], *more: Event, reason: str, only_moved: bool = False
    ) -> None:
        """Have fires of these schedules that are not due yet decided anew; record `more` with it."""
        found = list(lines)
        await take_back(
            self._services, self._crew, found, *more, reason=reason, only_moved=only_moved
        )
        for line in found:
            self.plans.push(line)

    def adopt(self, record: ScheduleRecord) -> Line:
        """Take a schedule in hand that was added."""
        self._register.keep(record)
        line = self.plans.put(Line(record))
        self.plans.plan([line])
        return line

    def drop(self, schedule_id: str, record: ScheduleRecord) -> None:
        """Let go of a schedule that was removed."""
        self.plans.drop(schedule_id)
        self._register.keep(record)

    async def _recheck(self, lines: Iterable[Line], now: datetime) -> None:
        """Find the fires that a change of a calendar brought into the past."""
        for line in lines:
            if line.schedule is None or not line.schedule.calendars:
                continue
            record = line.record
            since = max(min(record.passed_until, now), now - LOOK_BACK)
            line.decided |= await self._services.history.fires_within(
                record.schedule_id, since - _MARGIN, _FAR
            )
            line.rewind(line.taken_until)
            self.plans.bring(line, line.brought(since))

    async def _go_back(self, now: datetime, *, after: datetime, with_rows: bool = True) -> None:
        """Plan again from now on where more than `after` is decided: the clock was set back."""
        events: list[Event] = []
        for line in self.lines:
            if line.taken_until <= after:
                continue
            record = line.record
            if with_rows:
                line.decided |= await self._services.history.fires_within(
                    record.schedule_id, now, _FAR
                )
            line.rewind(now)
            until = line.decided_until(frozenset())
            line.record = replace(record, decided_until=until)
            events.append(
                ScheduleAdvanced(
                    at=now,
                    schedule_id=record.schedule_id,
                    pipeline=record.pipeline,
                    until=until,
                    reason="the clock was set back",
                )
            )
            self.plans.push(line)
        if events:
            await self._services.journal.insist(*events)

    async def _notice(self, now: datetime) -> None:
        """See to what changed since the last turn: the clock, calendars, the day."""
        drift_s = self._drift_s()
        self._reference = (now, self._services.clock.monotonic())
        if abs(drift_s) > JUMP_S:
            await self._services.journal.attempt(ClockJumped(at=now, by_s=drift_s))
        if drift_s < -JUMP_S:
            await self._go_back(now, after=now)
        if self._is_stale or now.date() != self._day:
            self._is_corrected |= self._is_stale
            self._is_stale, self._day = False, now.date()
            self._tables.look_again()
            self.plans.plan(line for line in self.lines if line.reason and not line.needed)
        if self._arrived:
            await self._replan(now)
        if self._is_poked:
            self._is_poked = False
            for line in self.lines:
                self.plans.push(line)

    async def _replan(self, now: datetime) -> None:
        """Plan again what goes by the calendars that are there now, differ, or are gone."""
        arrived, self._arrived = self._arrived, set()
        lines = [line for line in self.lines if not line.needed.isdisjoint(arrived)]
        self.plans.plan(lines)
        await self.take_back(lines, reason="its calendar was corrected", only_moved=True)
        if self._is_corrected:
            await self._recheck(lines, now)
            self._is_corrected = not self._tables.is_settled

    async def _turn(self) -> None:
        """Decide everything that is due by now, and ahead what is sure."""
        self._is_awake = False
        now = self._services.clock.now()
        await self._notice(now)
        lead = self.plans.lead
        dues: list[tuple[Line, Pipeline, Due]] = []
        touched: list[Line] = []
        for line in self.plans.due(now):
            standing = self._crew.standing(line.record.pipeline)
            if line.record.paused or standing not in {"active", "starting"}:
                continue
            if standing == "starting":
                self.plans.put_off(line, now + _SOON)
                continue
            try:
                due = line.take(now, self.plans.brought(line), lead=lead)
            except UnplannableError as error:
                line.fail(str(error))
                continue
            touched.append(line)
            if due:
                pipeline = self._crew.definitions.pipelines[line.record.pipeline]
                dues.append((line, pipeline, due))
        if dues:
            await self._decide(dues, now)
        for line in touched:
            self.plans.push(line)

    async def _decide(self, dues: list[tuple[Line, Pipeline, Due]], now: datetime) -> None:
        """Put on record what becomes of everything that is due, then let the runs begin."""
        clock = self._services.clock
        began_s = clock.monotonic()
        while True:
            try:
                batch = self._decider.decide(dues, now)
            except NotAcceptedError:
                return
            replaced = await self._replaced(batch)
            ends = [cancel_request(run, batch) for run in replaced]
            try:
                if batch.events:
                    await self._services.journal.insist(*batch.events, *ends)
            except IllegalStepError:
                continue  # one of those that it replaces has just ended
            except DuplicateFireError as error:
                dues = [without(line, pipeline, due, error) for line, pipeline, due in dues]
            else:
                break
        if batch.runs:
            self.plans.took(clock.monotonic() - began_s, len(batch.runs))
        self._settle(batch)
        for event in batch.runs:
            await self._crew.enqueue(queued(event), is_new=True)
        for run in replaced:
            await self._crew.cancel(run)

    async def _replaced(self, batch: Batch) -> list[RunRecord]:
        """Return the open runs in whose place runs of this batch come."""
        found: list[RunRecord] = []
        for name in batch.replaced:
            active, waiting = self._crew.open_runs(name)
            for run_id in (*waiting, *active):
                run = await self._services.history.run(run_id)
                if run is not None and not run.state.is_final:
                    found.append(run)
        return found

    def _settle(self, batch: Batch) -> None:
        for line, event in batch.early:
            line.early[event.fire] = queued(event)
            line.decided.add(event.fire)
        for line, decided, passed in batch.decided:
            line.settle(decided, passed)
            self._register.keep(line.record)
            fire = batch.fires.get(line.record.schedule_id)
            if fire is not None:
                line.last = fire_record(fire)

    def _load(self, pipeline: str) -> Load:
        active, waiting = self._crew.open_runs(pipeline)
        return Load(len(active), len(waiting))
