"""One schedule at work: what it has due, what of that waits, what was missed. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import takewhile

from openbell.model.runs import RunRecord
from openbell.model.schedules import FireRecord, ScheduleRecord
from openbell.schedule.fires import Fire, jitter
from openbell.schedule.grammar import Schedule
from openbell.schedule.missed import catch_up
from openbell.schedule.planner import Planner
from openbell.schedule.uses import missed_policy
from openbell.sdk.values import to_us
from openbell.supervisor.firing.newest import newest

LATE = timedelta(seconds=30)
"""A fire that is not decided so long after it was to run counts as missed."""

KEPT = 100
"""So many of the missed fires that do not run are put on record one by one."""

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, order=True)
class Start:
    """A fire and the instant at which its run is to start; `reason` says why one starts late."""

    run_at: datetime
    identity: str
    fire: Fire = field(compare=False)
    reason: str = field(default="", compare=False)
    is_missed: bool = field(default=False, compare=False)

    @property
    def is_plain(self) -> bool:
        """Whether its run is to start when it is due: nobody missed it, nothing delays it."""
        return self.run_at == self.fire.at and not self.is_missed


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """A fire that does not run, and why."""

    fire: Fire
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """Fires due up to `until` that are decided as a whole: none of them runs."""

    until: datetime
    count: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What a schedule has to be decided at one instant; what is `early` may be, if it is sure."""

    starts: tuple[Start, ...] = ()
    early: tuple[Start, ...] = ()
    skips: tuple[Skip, ...] = ()
    passed: Passed | None = None

    def __bool__(self) -> bool:
        return bool(self.starts or self.early or self.skips or self.passed)


class Line:
    """A schedule with its plan.

    `taken_until` is how far its plan was read: what was due up to there is decided, or waits.
    `decided` are identities that the plan may name again although they are decided; `early` are the
    runs of those that were decided before they were due.
    """

    def __init__(self, record: ScheduleRecord, *, last: FireRecord | None = None) -> None:
        self.record = record
        self.last = last
        self.schedule: Schedule | None = None
        self.reason = ""
        self.is_loading = False
        self.needed: frozenset[str] = frozenset()
        self.taken_until = record.decided_until
        self.decided: set[str] = set()
        self.early: dict[str, RunRecord] = {}
        self.turn = 0
        self._deadline: Schedule | None = None
        self._planner: Planner | None = None
        self._plan: Iterator[Fire] = iter(())
        self._head: Fire | None = None
        self._waiting: list[Start] = []
        self._names: set[str] = set()

    def wake_at(self, lead: timedelta) -> datetime | None:
        """Return when something may be decided next, None when nothing is known."""
        instants = [self._waiting[0].run_at] if self._waiting else []
        if self._head is not None:
            instants.append(self._head.at - lead)
        return min(instants, default=None)

    @property
    def next_fire(self) -> Fire | None:
        """The next fire: one that waits for its start, else the next of the plan."""
        if self._waiting and (self._head is None or self._waiting[0].run_at <= self._head.at):
            return self._waiting[0].fire
        return self._head

    @property
    def next_at(self) -> datetime | None:
        """When the next run is to start."""
        found = [self._waiting[0].run_at] if self._waiting else []
        if self._head is not None:
            found.append(self._run_at(self._head))
        return min(found, default=None)

    @property
    def is_over(self) -> bool:
        """Whether nothing is ever due again."""
        return self.schedule is not None and not self._waiting and self._is_ended

    @property
    def _is_ended(self) -> bool:
        if self.is_loading:
            return False
        until = self.record.use.active_until
        is_past = until is not None and until <= self.taken_until
        return self._head is None and (is_past or not (self.schedule and self.schedule.calendars))

    def plan(self, planner: Planner, schedule: Schedule, deadline: Schedule | None) -> None:
        """Plan anew by other tables, from where the plan was read to; what waits goes on waiting.

        Raises UnplannableError.
        """
        self._planner, self.schedule, self._deadline = planner, schedule, deadline
        self.reason, self.is_loading = "", False
        self._rewind(self.taken_until)

    def fail(self, reason: str) -> None:
        """Have nothing due, for this reason, until it is planned again."""
        self.reason, self.is_loading = reason, False
        self._plan, self._head = iter(()), None

    def wait(self) -> None:
        """Have nothing due until a calendar is there and it is planned again."""
        self.reason, self.is_loading = "", True
        self._plan, self._head = iter(()), None

    @property
    def _can_plan(self) -> bool:
        return self._planner is not None and not self.reason and not self.is_loading

    def has(self, identity: str, at: datetime) -> bool:
        """Return whether the plan has this fire at this instant, as far as it is known."""
        if not self._can_plan or self._planner is None or self.schedule is None:
            return True
        found = self._planner.fires(self.schedule, to_us(at))
        return any(fire.identity == identity for fire in takewhile(lambda f: f.at == at, found))

    def rewind(self, until: datetime) -> None:
        """Read the plan again from an instant on; what is decided stays so."""
        if self._can_plan:
            self._rewind(until)
        else:
            self.taken_until = until

    def _rewind(self, until: datetime) -> None:
        self.taken_until = until
        start = until + _TICK
        if self.record.use.active_from is not None:
            start = max(start, self.record.use.active_from)
        self._plan = self._fires(to_us(start))
        self._head = next(self._plan, None)

    def _fires(self, start_us: int) -> Iterator[Fire]:
        assert self._planner is not None
        assert self.schedule is not None
        until = self.record.use.active_until
        for fire in self._planner.fires(self.schedule, start_us):
            if until is not None and fire.at >= until:
                return
            identity = fire.identity
            if identity not in self.decided and identity not in self._names:
                yield fire

    def _push(self, start: Start) -> None:
        heapq.heappush(self._waiting, start)
        self._names.add(start.identity)

    def _drop(self, identities: Collection[str]) -> None:
        self._waiting = [s for s in self._waiting if s.identity not in identities]
        heapq.heapify(self._waiting)
        self._names.difference_update(identities)

    def _run_at(self, fire: Fire) -> datetime:
        span_s = self.record.use.jitter_s
        return fire.at + jitter(fire, timedelta(seconds=span_s)) if span_s else fire.at

    def brought(self, after: datetime) -> list[Fire]:
        """Return what is neither decided nor waits, although due in `(after, taken_until]`.

        That is what a change of the calendar brought there.
        """
        if not self._can_plan:
            return []
        start = after + _TICK
        if self.record.use.active_from is not None:
            start = max(start, self.record.use.active_from)
        found = self._fires(to_us(start))
        return list(takewhile(lambda fire: fire.at <= self.taken_until, found))

    def take(
        self, now: datetime, found: list[Fire] | None = None, *, lead: timedelta = timedelta(0)
    ) -> Due:
        """Read the plan up to `lead` after `now` and return what is to be decided.

        `found` are fires that a change of the calendar brought to where the plan was read. What is
        returned stays as it is until `settle` hears that it is on record.
        """
        self._prune(now)
        missed, older, over = self._read(now, now + lead)
        for fire in found or ():
            if fire.at <= now:
                missed.append(fire)
            else:
                self._push(Start(self._run_at(fire), fire.identity, fire))
        missed.sort(key=lambda fire: (fire.at, fire.identity))
        late = [s for s in self._waiting if s.run_at + LATE < now]
        again = [s.fire for s in self._waiting if s.is_missed] if missed else []
        if late or again:
            known = {f.identity: f for f in (*missed, *(s.fire for s in late), *again)}
            missed = sorted(known.values(), key=lambda fire: (fire.at, fire.identity))
            self._drop(known)
        skips = self._caught(missed, now)
        starts = tuple(sorted(start for start in self._waiting if start.run_at <= now))
        early = tuple(
            sorted(s for s in self._waiting if now < s.run_at <= now + lead and s.is_plain)
        )
        return self._bounded(Due(starts=starts, early=early, skips=skips), older, over)

    def _prune(self, now: datetime) -> None:
        """Forget which fires were decided early, once they are due."""
        for identity, run in list(self.early.items()):
            if run.due_at is None or run.due_at <= min(now, self.taken_until):
                del self.early[identity]
                self.decided.discard(identity)

    def reread(self, now: datetime) -> None:
        """Read the plan again from now on, also what waits that is not due yet."""
        self._drop({s.identity for s in self._waiting if s.fire.at > now})
        self.rewind(min(now, self.taken_until))

    def _read(self, now: datetime, until: datetime) -> tuple[list[Fire], int, datetime | None]:
        """Take what is due from the plan; return the missed ones, and what lies before those."""
        missed: list[Fire] = []
        older, over = 0, None
        jittered = timedelta(seconds=self.record.use.jitter_s)
        edge = now - LATE - jittered
        if self._head is not None and self._head.at < edge:
            most = max(KEPT, self.record.use.on_missed.most)
            found = newest(self._fires, to_us(self._head.at) - 1, to_us(edge), most=most)
            missed, older = list(found.fires), found.older
            over = missed[0].at - _TICK if older else None
            self._rewind(edge)
        taken = now
        while self._head is not None and self._head.at <= until:
            fire, self._head = self._head, next(self._plan, None)
            taken = max(taken, fire.at)
            run_at = self._run_at(fire)
            if run_at + LATE < now:
                missed.append(fire)
            else:
                self._push(Start(run_at, fire.identity, fire))
        self.taken_until = max(self.taken_until, taken)
        return missed, older, over

    def _caught(self, missed: list[Fire], now: datetime) -> tuple[Skip, ...]:
        if not missed:
            return ()
        policy = missed_policy(self.record.use.on_missed)
        skips: list[Skip] = []
        for caught in catch_up(policy, missed, now, deadline=self._deadline_of):
            if caught.run_at is None:
                skips.append(Skip(fire=caught.fire, reason=caught.reason))
            else:
                covered = f", for {len(caught.covers)} more" if caught.covers else ""
                start = Start(
                    caught.run_at, caught.fire.identity, caught.fire, f"missed{covered}", True
                )
                self._push(start)
        return tuple(skips)

    def _deadline_of(self, fire: Fire) -> datetime | None:
        if self._deadline is None or self._planner is None:
            return None
        found = self._planner.next(self._deadline, fire.at)
        return found[0].at if found else None

    def _bounded(self, due: Due, older: int, over: datetime | None) -> Due:
        """Return what is due with the oldest skipped ones decided as a whole, if they are many."""
        surplus = max(0, len(due.skips) - KEPT)
        first = min((start.fire.at for start in self._waiting), default=None)
        until, count = over, older
        reason = due.skips[0].reason if due.skips else f"more than {KEPT} were missed"
        whole = 0
        for skip in due.skips[:surplus]:
            if first is not None and skip.fire.at >= first:
                break
            until, count, whole = skip.fire.at, count + 1, whole + 1
        if until is None or (first is not None and until >= first):
            return due
        passed = Passed(until=until, count=count, reason=reason)
        return replace(due, skips=due.skips[whole:], passed=passed)

    def decided_until(self, decided: frozenset[str]) -> datetime:
        """Return up to when every fire is decided, once those in `decided` are."""
        left = [s.fire.at for s in self._waiting if s.identity not in decided]
        return min([*(at - _TICK for at in left), self.taken_until])

    def settle(self, decided: frozenset[str], passed: Passed | None = None) -> None:
        """Forget what waited, now that it is on record."""
        self._drop(decided)
        if decided:
            self.record = replace(self.record, decided_until=self.decided_until(frozenset()))
        elif passed is not None:
            self.record = replace(self.record, decided_until=passed.until)
        if passed is not None:
            until = max(self.record.passed_until, passed.until)
            self.record = replace(self.record, passed_until=until)

    def forget(self, identity: str) -> None:
        """Take note that a fire was decided before, whatever the plan says."""
        self.decided.add(identity)
        self._drop({identity})
