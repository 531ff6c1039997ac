"""Whose turn it is: workers, named pools and writer leases are given out. Pure.

What waits is ordered by `seniority`: its priority, and one level more for every `AGEING_S` seconds
that it has waited. All that waits ages alike, so the order of two never changes: work of priority
0 comes before any work of priority 9 that was asked for nine times `AGEING_S` later. So nothing
starves, and equal priorities are first come, first served.

The most senior whose pool has a slot and whose leases are free goes first. What waits for a lease
keeps its place: nothing junior takes a lease that overlaps it meanwhile.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

AGEING_S = 60.0
LOWEST, HIGHEST = 0, 9

AHEAD = 8
"""How many brief pieces of work, for each worker, may have their turn before it is free."""

_Key = tuple[float, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to write a dataset's rows in `[start_us, end_us)`."""

    storage: str
    dataset: str
    start_us: int
    end_us: int

    def overlaps(self, other: Lease) -> bool:
        """Return whether both cannot be held at once."""
        return (
            (self.storage, self.dataset) == (other.storage, other.dataset)
            and self.start_us < other.end_us
            and other.start_us < self.end_us
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """What a piece of work needs to begin. One that `owns_worker` takes no worker from others.

    What `is_brief` may have its turn a little before a worker is free: it waits for that as short
    as work like it takes, and meanwhile its beginning is put on record.
    """

    who: str
    priority: int = 5
    pool: str | None = None
    leases: tuple[Lease, ...] = ()
    owns_worker: bool = False
    is_brief: bool = False


@dataclass(slots=True, eq=False)
class Ticket:
    """A want in the queue, or with its turn."""

    want: Want
    since_s: float
    number: int
    has_turn: bool = False
    is_gone: bool = False
    held_up_by: Ticket | None = None
    holds_up: list[Ticket] = field(default_factory=list)

    @property
    def key(self) -> _Key:
        """Where it stands: the smaller, the sooner."""
        return (-seniority(self.want.priority, self.since_s), self.number)


def seniority(priority: int, since_s: float) -> float:
    """Return what the order goes by; only differences of it mean anything."""
    return priority - since_s / AGEING_S


_Queue = list[tuple[_Key, int, Ticket]]


class Turns:
    """Gives out turns. A pool that nobody declared has no slots."""

    def __init__(self, *, max_workers: int, pools: Mapping[str, int]) -> None:
        self._max_workers = max_workers
        self._pools = dict(pools)
        self._busy = 0
        self._taken: dict[str, int] = {}
        self._queues: dict[tuple[str | None, bool, bool], _Queue] = {}
        self._leases: dict[tuple[str, str], list[tuple[Lease, Ticket]]] = {}
        self._numbers = count()
        self._waiting: dict[int, Ticket] = {}

    @property
    def busy(self) -> int:
        """How many workers are out."""
        return self._busy

    @property
    def free(self) -> int:
        """How many workers are not out."""
        return max(0, self._max_workers - self._busy)

    def taken(self, pool: str) -> int:
        """Return how many slots of a pool are out."""
        return self._taken.get(pool, 0)

    def free_in(self, pool: str) -> int:
        """Return how many slots of a pool are neither out nor waited for."""
        awaited = sum(ticket.want.pool == pool for ticket in self._waiting.values())
        return max(0, self._slots(pool) - self.taken(pool) - awaited)

    def resize(self, *, max_workers: int, pools: Mapping[str, int]) -> None:
        """Use other limits from now on; what is out stays out until it is given back."""
        self._max_workers = max_workers
        self._pools = dict(pools)

    def join(self, want: Want, now_s: float) -> Ticket:
        """Put a want into the queue."""
        ticket = Ticket(want=want, since_s=now_s, number=next(self._numbers))
        self._waiting[ticket.number] = ticket
        self._push(ticket)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give everything back, or leave the queue; whatever the ticket has. Twice is once."""
        if ticket.is_gone:
            return
        ticket.is_gone = True
        self._waiting.pop(ticket.number, None)
        want = ticket.want
        if ticket.has_turn:
            self._busy -= not want.owns_worker
            if want.pool is not None:
                self._taken[want.pool] -= 1
        self._forget_leases(ticket)
        self._release(ticket)

    def prioritise(self, ticket: Ticket, priority: int) -> None:
        """Give a ticket that waits another priority, and the age it has."""
        if ticket.has_turn or ticket.is_gone or ticket.want.priority == priority:
            return
        want = ticket.want
        self._waiting.pop(ticket.number)
        self._forget_leases(ticket)
        self._release(ticket)
        ticket.want = Want(
            who=want.who,
            priority=priority,
            pool=want.pool,
            leases=want.leases,
            owns_worker=want.owns_worker,
            is_brief=want.is_brief,
        )
        ticket.held_up_by = None
        self._waiting[ticket.number] = ticket
        self._push(ticket)

    def give(self) -> Iterator[Ticket]:
        """Yield the tickets whose turn it is now, the most senior first; each has its turn then."""
        while True:
            ticket = self._next()
            if ticket is None:
                return
            blocker = self._blocker(ticket)
            if blocker is not None:
                ticket.held_up_by = blocker
                blocker.holds_up.append(ticket)
                self._note_leases(ticket)
                continue
            self._begin(ticket)
            yield ticket

    def reason(self, ticket: Ticket) -> str:
        """Return why a ticket waits, or nothing when it does not."""
        if ticket.has_turn or ticket.is_gone:
            return ""
        want = ticket.want
        pool = want.pool
        if pool is not None and self.taken(pool) >= self._slots(pool):
            return f"pool {pool} is full ({self.taken(pool)} of {self._slots(pool)})"
        blocker = self._blocker(ticket)
        if blocker is not None:
            return self._lease_reason(ticket, blocker)
        if not want.owns_worker and self._busy >= self._max_workers:
            busy = min(self._busy, self._max_workers)  # brief work may have its turn ahead
            return f"all workers are busy ({busy} of {self._max_workers})"
        return "its turn is next"

    @property
    def waiting_count(self) -> int:
        """How many tickets have not had their turn."""
        return len(self._waiting)

    def waiting(self) -> list[Ticket]:
        """Return what waits, in the order in which it would go if nothing held it up."""
        return sorted(self._waiting.values(), key=lambda ticket: ticket.key)

    def _slots(self, pool: str) -> int:
        return self._pools.get(pool, 0)

    def _push(self, ticket: Ticket) -> None:
        want = ticket.want
        place = (want.pool, want.owns_worker, want.is_brief)
        entry = (ticket.key, next(self._numbers), ticket)
        heapq.heappush(self._queues.setdefault(place, []), entry)

    def _next(self) -> Ticket | None:
        """Take the most senior whose pool has a slot out of its queue, if a worker is free for it.

        As long as none is, nothing junior takes one either: brief work, too, gets its turn early
        only where it comes first.
        """
        owner: _Queue | None = None
        sharer: _Queue | None = None
        for place, queue in list(self._queues.items()):
            pool, owns_worker, _ = place
            self._drop_stale(queue)
            if not queue:
                del self._queues[place]
                continue
            if pool is not None and self.taken(pool) >= self._slots(pool):
                continue
            if owns_worker:
                owner = _more_senior(owner, queue)
            else:
                sharer = _more_senior(sharer, queue)
        best = _more_senior(owner, sharer if self._has_worker(sharer) else None)
        return None if best is None else heapq.heappop(best)[2]

    def _has_worker(self, queue: _Queue | None) -> bool:
        """Return whether a worker is free, or soon will be, for the first of a queue."""
        is_brief = queue is not None and queue[0][2].want.is_brief
        return self._busy < self._max_workers * (1 + AHEAD * is_brief)

    def _drop_stale(self, queue: _Queue) -> None:
        """Forget entries of tickets that left, wait elsewhere or have another priority now."""
        while queue and not _stands(*queue[0]):
            heapq.heappop(queue)

    def _begin(self, ticket: Ticket) -> None:
        want = ticket.want
        ticket.has_turn = True
        ticket.held_up_by = None
        del self._waiting[ticket.number]
        self._busy += not want.owns_worker
        if want.pool is not None:
            self._taken[want.pool] = self.taken(want.pool) + 1
        self._note_leases(ticket)

    def _blocker(self, ticket: Ticket) -> Ticket | None:
        """Return who holds an overlapping lease, or waits for one and is more senior."""
        for lease in ticket.want.leases:
            for other, holder in self._leases.get((lease.storage, lease.dataset), ()):
                comes_first = holder.has_turn or holder.key < ticket.key
                if holder is not ticket and comes_first and lease.overlaps(other):
                    return holder
        return None

    def _lease_reason(self, ticket: Ticket, blocker: Ticket) -> str:
        theirs = blocker.want.leases
        lease = next(
            mine for mine in ticket.want.leases if any(mine.overlaps(other) for other in theirs)
        )
        verb = "is being written by" if blocker.has_turn else "is to be written first by"
        return f"dataset {lease.dataset} in {lease.storage} {verb} {blocker.want.who}"

    def _note_leases(self, ticket: Ticket) -> None:
        for lease in ticket.want.leases:
            noted = self._leases.setdefault((lease.storage, lease.dataset), [])
            if (lease, ticket) not in noted:
                noted.append((lease, ticket))

    def _forget_leases(self, ticket: Ticket) -> None:
        for lease in ticket.want.leases:
            place = (lease.storage, lease.dataset)
            left = [entry for entry in self._leases.get(place, ()) if entry[1] is not ticket]
            if left:
                self._leases[place] = left
            else:
                self._leases.pop(place, None)

    def _release(self, ticket: Ticket) -> None:
        """Put those that a ticket held up back into their queues."""
        held, ticket.holds_up = ticket.holds_up, []
        for waiting in held:
            if waiting.held_up_by is ticket and not waiting.is_gone:
                waiting.held_up_by = None
                self._push(waiting)


def _more_senior(one: _Queue | None, two: _Queue | None) -> _Queue | None:
    """Return the queue whose first ticket is more senior."""
    if one is None or two is None:
        return two if one is None else one
    return two if two[0][0] < one[0][0] else one


def _stands(key: _Key, _entry: int, ticket: Ticket) -> bool:
    """Return whether an entry of a queue still says how its ticket stands."""
    is_open = not (ticket.is_gone or ticket.has_turn) and ticket.held_up_by is None
    return is_open and key == ticket.key
