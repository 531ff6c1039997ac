"""Every unit that needs a worker asks here for its turn.

Turns are in memory alone: a crash leaves none behind, and what history says was running asks again
when it is taken up. However a unit ends, also cancelled, its turn is given back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType

import anyio

from openbell.execution.protocol import ChainTask
from openbell.execution.turns import HIGHEST, LOWEST, Lease, Ticket, Turns, Want
from openbell.sdk.clock import Clock

BRIEF_S = 0.25
"""Units of a kind that takes shorter may have their turn a little before a worker is free."""

GiveBack = Callable[[type[BaseException] | None, BaseException | None, TracebackType | None], None]
"""The end of a turn, told as the end of a block is."""

_SLOW_S = 1.0
_KINDS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A unit that wants its turn. `owns_worker`: a live job, which takes no worker from others.

    Units of one `kind` take alike long; without one nobody knows.
    """

    run_id: str
    node: str
    pipeline: str = ""
    priority: int = 5
    pool: str | None = None
    leases: tuple[Lease, ...] = ()
    owns_worker: bool = False
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A unit in the queue: its place from 1, how long it waits, and why."""

    run_id: str
    node: str
    pipeline: str
    priority: int
    position: int
    waited_s: float
    reason: str


@dataclass(slots=True, eq=False)
class Place:
    """An ask and its ticket; `called` is there while somebody waits for the turn."""

    ask: Ask
    ticket: Ticket
    called: anyio.Event | None = None


class Desk:
    """Gives out turns: workers by priority with ageing, slots of pools, one writer an interval."""

    def __init__(self, clock: Clock, *, max_workers: int, pools: Mapping[str, int]) -> None:
        self._clock = clock
        self._turns = Turns(max_workers=max_workers, pools=pools)
        self._places: dict[Ticket, Place] = {}
        self._taken_s: dict[str, float] = {}

    @asynccontextmanager
    async def turn(self, ask: Ask) -> AsyncIterator[None]:
        """Wait for a turn, and give it back at the end, whatever the end is."""
        place = self._join(ask)
        try:
            self._call()
            if not place.ticket.has_turn:
                await self._wait(place)
            began_s = self._clock.monotonic()
            yield
            self._note(ask.kind, self._clock.monotonic() - began_s)
        finally:
            self._leave(place)

    def turn_now(self, ask: Ask) -> GiveBack | None:
        """Take a turn that needs no waiting; return what gives it back, None when there is none."""
        place = self._join(ask)
        self._call()
        if not place.ticket.has_turn:
            self._leave(place)
            return None
        began_s = self._clock.monotonic()

        def give_back(
            kind: type[BaseException] | None,
            _error: BaseException | None,
            _trace: TracebackType | None,
        ) -> None:
            if kind is None:
                self._note(ask.kind, self._clock.monotonic() - began_s)
            self._leave(place)

        return give_back

    def _leave(self, place: Place) -> None:
        del self._places[place.ticket]
        self._turns.leave(place.ticket)
        self._call()

    async def _wait(self, place: Place) -> None:
        """Return once the turn of a place has come."""
        place.called = anyio.Event()
        await place.called.wait()

    def _note(self, kind: str, taken_s: float) -> None:
        """Learn how long units of a kind take; a long one counts at once."""
        if not kind:
            return
        before_s = self._taken_s.pop(kind, _SLOW_S)
        self._taken_s[kind] = max(taken_s, 0.75 * before_s + 0.25 * taken_s)
        if len(self._taken_s) > _KINDS:
            del self._taken_s[next(iter(self._taken_s))]

    def resize(self, *, max_workers: int, pools: Mapping[str, int]) -> None:
        """Use other limits from now on; turns that were given stay."""
        self._turns.resize(max_workers=max_workers, pools=pools)
        self._call()

    def room(self) -> int:
        """Return how many more units would get a worker at once."""
        return max(0, self._turns.free - self._turns.waiting_count)

    def room_in(self, pool: str) -> int:
        """Return how many more units would get a slot of a pool at once."""
        return self._turns.free_in(pool)

    def prioritise(self, run_id: str, priority: int) -> int:
        """Give what waits of a run another priority; return how many units that were."""
        if not LOWEST <= priority <= HIGHEST:
            raise ValueError(f"a priority is from {LOWEST} to {HIGHEST}, not {priority}")
        moved = [
            place
            for place in self._places.values()
            if place.ask.run_id == run_id and not place.ticket.has_turn
        ]
        for place in moved:
            self._turns.prioritise(place.ticket, priority)
        self._call()
        return len(moved)

    def reason(self, run_id: str, node: str) -> str:
        """Return why a unit waits for its turn; nothing when it does not wait here."""
        for place in self._places.values():
            if (place.ask.run_id, place.ask.node) == (run_id, node):
                return self._turns.reason(place.ticket)
        return ""

    def waiting(self) -> Sequence[Waiting]:
        """Return what waits, the next first."""
        now_s = self._clock.monotonic()
        return [
            self._waiting(self._places[ticket], position, now_s)
            for position, ticket in enumerate(self._turns.waiting(), start=1)
        ]

    def _waiting(self, place: Place, position: int, now_s: float) -> Waiting:
        return Waiting(
            run_id=place.ask.run_id,
            node=place.ask.node,
            pipeline=place.ask.pipeline,
            priority=place.ticket.want.priority,
            position=position,
            waited_s=now_s - place.ticket.since_s,
            reason=self._turns.reason(place.ticket),
        )

    def _join(self, ask: Ask) -> Place:
        want = Want(
            who=f"run {ask.run_id}",
            priority=min(HIGHEST, max(LOWEST, ask.priority)),
            pool=ask.pool,
            leases=ask.leases,
            owns_worker=ask.owns_worker,
            is_brief=bool(ask.kind) and self._taken_s.get(ask.kind, _SLOW_S) < BRIEF_S,
        )
        ticket = self._turns.join(want, self._clock.monotonic())
        place = Place(ask, ticket)
        self._places[ticket] = place
        return place

    def _call(self) -> None:
        for ticket in self._turns.give():
            called = self._places[ticket].called
            if called is not None:
                called.set()


def leases_of(task: ChainTask) -> tuple[Lease, ...]:
    """Return the leases that a chain needs: one for each dataset that it writes.

    A dry run writes nothing. A live job adds what is new, row by row, and holds up nobody: the
    backend keeps both writers' rows.
    """
    if task.dry_run or task.live:
        return ()
    found = [
        Lease(
            storage=str(node.maker.settings.get("to", "primary")),
            dataset=str(node.maker.settings.get("dataset") or task.dataset.dataset),
            start_us=task.dataset.start_us,
            end_us=task.dataset.end_us,
        )
        for node in task.nodes
        if node.op == "write"
    ]
    return tuple(dict.fromkeys(found))
