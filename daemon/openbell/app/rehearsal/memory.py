"""What a rehearsal remembers: as much as the engine may still ask for, and no more."""

from __future__ import annotations

from collections import deque
from datetime import date, datetime, timedelta

from typing_extensions import override

from openbell.model import events as ev
from openbell.sdk.values import SessionTable
from openbell.supervisor.services import Sessions
from openbell.testing import memory_letters, memory_schedules
from openbell.testing.memory_apply import apply
from openbell.testing.memory_history import MemoryHistory

KEPT = timedelta(days=10)
"""How long what is over can still be asked for: by pipelines that go after others, above all."""

_MOST_ANSWERS = 4096


def commit_key(run_id: str, node: str) -> str:
    """Return under which key a node's commit is kept, until its run is forgotten."""
    return f"{run_id}/{node}"


class RehearsedHistory(MemoryHistory):
    """The history in memory without its events, which nobody reads; old runs and fires are dropped.

    It records at once, with no way to another task: nothing here can take time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._over: deque[tuple[datetime, str]] = deque()
        self._swept: datetime | None = None

    @override
    async def record(self, *events: ev.Event) -> tuple[ev.StoredEvent, ...]:
        return self.record_now(*events)

    def record_now(self, *events: ev.Event) -> tuple[ev.StoredEvent, ...]:
        """Apply `events`, all or none, and keep none of them."""
        tables = self._tables
        tables.begin()
        try:
            for event in events:
                apply(tables, event)
        except BaseException:
            tables.roll_back()
            raise
        return ()

    def over(self, run_id: str, at: datetime) -> None:
        """Drop a run that ended, after a while; and by now all that ended long enough ago."""
        self._over.append((at, run_id))
        edge = at - KEPT
        while self._over[0][0] < edge:
            self._forget(self._over.popleft()[1])
        if self._swept is None or self._swept < edge:
            self._sweep(edge)
            self._swept = at

    def _forget(self, run_id: str) -> None:
        tables = self._tables
        page = tables.pages.get(run_id)
        if tables.commits and page is not None:
            for node in page.nodes:
                tables.commits.pop(commit_key(run_id, node), None)
        tables.forget(run_id)

    def _sweep(self, edge: datetime) -> None:
        """Drop what is kept by other names than its run's: nobody settles letters here."""
        tables = self._tables
        memory_schedules.forget(tables, edge)
        gone = {run_id for _, run_id in tables.decisions if run_id is not None} - set(tables.runs)
        memory_letters.forget(tables, edge, gone)
        tables.letters = {k: v for k, v in tables.letters.items() if v.run_id in tables.runs}
        tables.keys = {key: run_id for key, run_id in tables.keys.items() if run_id in tables.runs}


class RememberedSessions:
    """Answers of a calendar desk, kept: in a rehearsal calendars do not change."""

    def __init__(self, desk: Sessions) -> None:
        self._desk = desk
        self._tables: dict[tuple[str, date, date], SessionTable] = {}
        self._required: set[tuple[str, date]] = set()

    async def between(self, calendar: str, first: date, last: date) -> SessionTable:
        """Return the sessions with labels from `first` to `last`, both included."""
        place = (calendar, first, last)
        found = self._tables.get(place)
        if found is None:
            if len(self._tables) > _MOST_ANSWERS:
                self._tables.clear()
            found = self._tables[place] = await self._desk.between(calendar, first, last)
        return found

    async def require(self, calendar: str, last: date) -> None:
        """Raise FatalError if nothing is known of the day `last` and the policy is `block`."""
        place = (calendar, last)
        if place not in self._required:
            await self._desk.require(calendar, last)
            if len(self._required) > _MOST_ANSWERS:
                self._required.clear()
            self._required.add(place)
