"""Session tables for the planner: loaded when a schedule needs them, looked at again each day."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import Protocol

from anyio.abc import TaskGroup

from openbell.calendars.table import CalendarTable
from openbell.schedule.tables import CalendarNames
from openbell.sdk.errors import FatalError, RetryableError


class Calendars(Protocol):
    """Knows every calendar: by which names to read schedules, by which sessions to plan them."""

    @property
    def names(self) -> CalendarNames:
        """The calendars there are by the rules in force."""
        ...

    async def table(self, calendar: str, *, through: date | None = None) -> CalendarTable:
        """Return a calendar's whole table.

        Raises FatalError when it cannot be built, TransientError when it cannot be for now.
        """
        ...


class LoadedTables:
    """Tables by canonical name: what the planner asks.

    Each is loaded by a task of its own, so that one that takes long holds up nobody who does not
    need it. `changed` hears of each that is there, differs, or cannot be had any more.
    """

    def __init__(self, calendars: Calendars, changed: Callable[[str], None]) -> None:
        self._calendars = calendars
        self._changed = changed
        self._tasks: TaskGroup | None = None
        self._loaded: dict[str, CalendarTable] = {}
        self._failed: dict[str, str] = {}
        self._loading: set[str] = set()
        self._again: set[str] = set()

    def open(self, tasks: TaskGroup) -> None:
        """Load in `tasks` from now on."""
        self._tasks = tasks

    @property
    def names(self) -> CalendarNames:
        """The calendars there are."""
        return self._calendars.names

    @property
    def is_settled(self) -> bool:
        """Whether no table is being loaded."""
        return not self._loading

    def sessions(self, calendar: str) -> CalendarTable | None:
        """Return a table that is loaded, or None."""
        return self._loaded.get(calendar)

    def failure(self, calendar: str) -> str:
        """Return why a table cannot be had; empty when it is there, or may come."""
        return self._failed.get(calendar, "")

    def is_known(self, calendar: str) -> bool:
        """Return whether a table is there, or is known not to be had."""
        return calendar in self._loaded or calendar in self._failed

    def want(self, calendars: Iterable[str]) -> None:
        """Begin to load those that are not known."""
        for name in calendars:
            if not self.is_known(name):
                self._begin(name)

    def look_again(self) -> None:
        """Begin to look at every table again, also at those that cannot be had."""
        for name in (*self._loaded, *self._failed):
            self._begin(name)

    async def preload(self, calendars: Iterable[str]) -> None:
        """Have these tables before this returns, if they can be had."""
        for name in calendars:
            if not self.is_known(name):
                await self._look(name)

    def _begin(self, name: str) -> None:
        if name in self._loading:
            self._again.add(name)
            return
        assert self._tasks is not None
        self._loading.add(name)
        self._tasks.start_soon(self._load, name, name=f"load {name}")

    async def _load(self, name: str) -> None:
        try:
            await self._look(name)
            while name in self._again:
                self._again.discard(name)
                await self._look(name)
        finally:
            self._loading.discard(name)
            self._again.discard(name)

    async def _look(self, name: str) -> None:
        before, failure = self._loaded.get(name), self._failed.get(name)
        try:
            after = await self._calendars.table(name)
        except (FatalError, RetryableError) as error:
            self._loaded.pop(name, None)
            self._failed[name] = str(error)
            if str(error) != failure:
                self._changed(name)
            return
        self._failed.pop(name, None)
        self._loaded[name] = after
        if before is None or (after.digest, after.last_day) != (before.digest, before.last_day):
            self._changed(name)
