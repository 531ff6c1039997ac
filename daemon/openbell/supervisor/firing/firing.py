"""The task that fires schedules: it sleeps until something is due, decides, and tells the actors."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import anyio

from openbell.model.control import ConflictError, NotAcceptedError, UnknownRunError
from openbell.model.events import ClockJumped, Event, OverlayAdded, OverlayRemoved, ScheduleAdvanced
from openbell.model.history import DuplicateFireError, RunFilter
from openbell.model.pipelines import Pipeline
from openbell.model.runs import RunState
from openbell.model.schedules import FireRecord, ScheduleRecord
from openbell.schedule.errors import ScheduleError
from openbell.schedule.fires import Fire
from openbell.schedule.planner import Planner
from openbell.schedule.triggers import UnplannableError
from openbell.schedule.uses import deadline, parsed
from openbell.sdk.errors import FatalError, RetryableError
from openbell.supervisor.firing.crew import Crew
from openbell.supervisor.firing.decisions import Batch, Decider, Load, source_calendar, without
from openbell.supervisor.firing.line import Due, Line
from openbell.supervisor.firing.register import Register
from openbell.supervisor.firing.tables import Calendars, LoadedTables
from openbell.supervisor.intake import Intake, queued
from openbell.supervisor.services import Services

JUMP_S = 2.0
"""Wall time that goes so many seconds another way than time does is a jump."""

LOOK_S = 900.0
"""How often the clock is looked at while nothing is due."""

LOOK_BACK = timedelta(days=7)
"""How far back a change of a calendar still makes fires."""

_MOST_QUEUED = 100_000
_MARGIN = timedelta(days=30)
_FAR = datetime(9999, 1, 1, tzinfo=UTC)
_SOON = timedelta(milliseconds=20)


class Firing:
    """Every schedule's line, and a heap of when each is to be looked at."""

    def __init__(
        self,
        services: Services,
        crew: Crew,
        intake: Intake,
        *,
        calendars: Calendars,
        is_open: Callable[[], bool],
        is_again: bool = False,
    ) -> None:
        self._services = services
        self._is_again = is_again
        self._crew = crew
        self._intake = intake
        self._is_open = is_open
        self._tables = LoadedTables(calendars)
        self._decider = Decider(
            self._tables, intake.prepared, self._load, deployment=lambda: services.deployment
        )
        self._planner = Planner(self._tables)
        self._order = itertools.count()
        self._lines: dict[str, Line] = {}
        self._heap: list[tuple[datetime, int, Line, int]] = []
        self._brought: dict[str, list[Fire]] = {}
        self._register = Register((), services.random_bits)
        self._nap: anyio.CancelScope | None = None
        self._is_poked = False
        self._is_stale = False
        self._day = services.clock.now().date()
        self._reference = (services.clock.now(), services.clock.monotonic())
        self.changing = anyio.Lock()
        self.is_begun = anyio.Event()

    @property
    def lines(self) -> Collection[Line]:
        """Every schedule in force."""
        return self._lines.values()

    @property
    def tables(self) -> LoadedTables:
        """The sessions that are planned by."""
        return self._tables

    @property
    def register(self) -> Register:
        """The schedules there ever were."""
        return self._register

    def line(self, schedule_id: str) -> Line | None:
        """Return a schedule in force, or None."""
        return self._lines.get(schedule_id)

    def see(self, event: Event) -> None:
        """Hear of what changes plans."""
        if isinstance(event, OverlayAdded | OverlayRemoved):
            self._is_stale = True
            self.poke()

    def poke(self) -> None:
        """Look at every schedule again, soon."""
        self._is_poked = True
        if self._nap is not None:
            self._nap.cancel()

    async def run(self) -> None:
        """Fire schedules until the engine takes no more work."""
        async with anyio.create_task_group() as tasks:
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
            if self._is_poked:
                continue
            with anyio.CancelScope() as self._nap:
                await self._services.clock.sleep_until(self._next_look())
            self._nap = None

    def _next_look(self) -> datetime:
        while self._heap and self._heap[0][3] != self._heap[0][2].turn:
            heapq.heappop(self._heap)
        tomorrow = datetime.combine(self._day + timedelta(days=1), time(0, 0, 30), UTC)
        return min(self._heap[0][0], tomorrow) if self._heap else tomorrow

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
        self._lines, self._heap = {}, []
        for record in records:
            if record.removed_at is None:
                line = Line(record, last=last.get(record.schedule_id))
                line.decided |= ahead.get(record.schedule_id, set())
                self._lines[record.schedule_id] = line
        await self._go_back(now, with_rows=False)
        if self._is_again:
            await self._tell_again()
        await self.compare()
        if await self._has_fresh_overlays(now):
            await self._recheck(now)

    async def _tell_again(self) -> None:
        """Tell the actors of runs that wait: before a crash nobody may have told them."""
        wanted = RunFilter(states=(RunState.QUEUED,), limit=_MOST_QUEUED)
        for run in reversed(await self._services.history.runs(wanted)):
            if run.fire and self._crew.standing(run.pipeline) != "unknown":
                await self._crew.enqueue(run)

    async def reload(self) -> None:
        """Let the schedules of the definitions in force be in force."""
        async with self.changing:
            if not self.is_begun.is_set():
                return
            await self._tables.refresh()
            await self.compare()
        self.poke()

    async def compare(self) -> None:
        """Record how the definitions' schedules differ from those at work, and plan all of them."""
        now = self._services.clock.now()
        in_force = {line.record.schedule_id: line.record for line in self.lines}
        changes = self._register.compare(self._crew.definitions, self._tables.names, in_force, now)
        if changes.events:
            await self._services.journal.insist(*changes.events)
        for gone in set(self._lines) - set(changes.records):
            self._lines.pop(gone).turn += 1
        for schedule_id, record in changes.records.items():
            line = self._lines.get(schedule_id)
            if line is None:
                self._lines[schedule_id] = Line(record)
            else:
                line.record = record
        await self.plan(self.lines)

    def adopt(self, record: ScheduleRecord) -> Line:
        """Take a schedule in hand that was added."""
        self._register.keep(record)
        line = self._lines[record.schedule_id] = Line(record)
        return line

    def drop(self, schedule_id: str, record: ScheduleRecord) -> None:
        """Let go of a schedule that was removed."""
        self._lines.pop(schedule_id).turn += 1
        self._register.keep(record)

    async def plan(self, lines: Iterable[Line]) -> None:
        """Plan these schedules by the calendars of now; one that cannot be planned says why."""
        for line in list(lines):
            await self._plan(line)
            self._push(line)

    async def _plan(self, line: Line) -> None:
        names, use = self._tables.names, line.record.use
        pipeline = self._crew.definitions.pipelines.get(line.record.pipeline)
        try:
            schedule, before = parsed(use, names), deadline(use, names)
            needed = {*schedule.calendars, *(before.calendars if before else ())}
            line.needed = frozenset(needed)
            await self._tables.load(sorted(needed))
            line.plan(self._planner, schedule, before)
        except (ScheduleError, UnplannableError, FatalError, RetryableError) as error:
            line.fail(str(error))
            return
        source = source_calendar(pipeline, self._services.deployment) if pipeline else None
        if source is not None and pipeline is not None and pipeline.mode == "interval":
            with suppress(FatalError, RetryableError):
                await self._tables.load([names.canonical(source)])

    def _push(self, line: Line) -> None:
        line.turn += 1
        at = line.wake_at
        if line.record.schedule_id in self._brought:
            at = self._services.clock.now()
        if at is not None:
            heapq.heappush(self._heap, (at, next(self._order), line, line.turn))

    async def _has_fresh_overlays(self, now: datetime) -> bool:
        since = now - LOOK_BACK
        if any(o.session >= since.date() for o in self._services.deployment.overlays):
            return True
        return any(
            record.overlay.session >= since.date()
            or max(record.added_at, record.removed_at or record.added_at) >= since
            for record in await self._services.history.overlays()
        )

    async def _recheck(self, now: datetime) -> None:
        """Find the fires that a change of a calendar brought into the past."""
        for line in self.lines:
            if line.schedule is None or not line.schedule.calendars:
                continue
            record = line.record
            since = max(min(record.passed_until, now), now - LOOK_BACK)
            line.decided |= await self._services.history.fires_within(
                record.schedule_id, since - _MARGIN, _FAR
            )
            line.rewind(line.taken_until)
            found = line.brought(since)
            if found:
                self._brought[record.schedule_id] = found
            self._push(line)

    async def _go_back(self, now: datetime, *, with_rows: bool = True) -> None:
        """Plan again from now on where more than that is decided: the clock was set back."""
        events: list[Event] = []
        for line in self.lines:
            if line.taken_until <= now:
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
            self._push(line)
        if events:
            await self._services.journal.insist(*events)

    async def _notice(self, now: datetime) -> None:
        """See to what changed since the last turn: the clock, calendars, the day."""
        drift_s = self._drift_s()
        self._reference = (now, self._services.clock.monotonic())
        if abs(drift_s) > JUMP_S:
            await self._services.journal.attempt(ClockJumped(at=now, by_s=drift_s))
        if drift_s < -JUMP_S:
            await self._go_back(now)
        if self._is_stale or now.date() != self._day:
            is_corrected, self._is_stale, self._day = self._is_stale, False, now.date()
            changed = await self._tables.refresh()
            await self.plan(line for line in self.lines if line.is_planned_by(changed))
            if is_corrected:
                await self._recheck(now)
        if self._is_poked:
            self._is_poked = False
            for line in self.lines:
                self._push(line)

    async def _turn(self) -> None:
        """Decide everything that is due by now."""
        now = self._services.clock.now()
        await self._notice(now)
        dues: list[tuple[Line, Pipeline, Due]] = []
        touched: list[Line] = []
        while self._heap and self._heap[0][0] <= now:
            _, _, line, turn = heapq.heappop(self._heap)
            if turn != line.turn or line.record.paused:
                continue
            standing = self._crew.standing(line.record.pipeline)
            if standing == "starting":
                line.turn += 1
                again = (now + _SOON, next(self._order), line, line.turn)
                heapq.heappush(self._heap, again)
            if standing != "active":
                continue
            try:
                due = line.take(now, self._brought.pop(line.record.schedule_id, None))
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
            self._push(line)

    async def _decide(self, dues: list[tuple[Line, Pipeline, Due]], now: datetime) -> None:
        """Put on record what becomes of everything that is due, then let the runs begin."""
        while True:
            try:
                batch = self._decider.decide(dues, now)
            except NotAcceptedError:
                return
            running = {name: self._crew.open_runs(name) for name in batch.replaced}
            try:
                await self._services.journal.insist(*batch.events)
            except DuplicateFireError as error:
                dues = [without(line, pipeline, due, error) for line, pipeline, due in dues]
            else:
                break
        self._settle(batch)
        for event in batch.runs:
            await self._crew.enqueue(queued(event))
        for name, (active, waiting) in running.items():
            for run_id in (*waiting, *active):
                with suppress(ConflictError, UnknownRunError):
                    await self._intake.cancel(run_id, by=f"overlap: {batch.replaced[name]}")

    def _settle(self, batch: Batch) -> None:
        for line, decided, passed in batch.decided:
            line.settle(decided, passed)
            self._register.keep(line.record)
            fire = batch.fires.get(line.record.schedule_id)
            if fire is not None:
                line.last = FireRecord(
                    pipeline=fire.pipeline,
                    identity=fire.identity,
                    schedule_id=fire.schedule_id,
                    session=fire.session,
                    event=fire.event,
                    index=fire.index,
                    due_at=fire.due_at,
                    decided_at=fire.at,
                    outcome=fire.outcome,
                    reason=fire.reason,
                    run_id=fire.run_id,
                )

    def _load(self, pipeline: str) -> Load:
        active, waiting = self._crew.open_runs(pipeline)
        return Load(len(active), len(waiting))
