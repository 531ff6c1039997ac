"""Session tables for the planner: loaded when a schedule needs them, looked at again each day."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Protocol

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
    """Tables by canonical name: what the planner asks."""

    def __init__(self, calendars: Calendars) -> None:
        self._calendars = calendars
        self._loaded: dict[str, CalendarTable] = {}

    @property
    def names(self) -> CalendarNames:
        """The calendars there are."""
        return self._calendars.names

    def sessions(self, calendar: str) -> CalendarTable | None:
        """Return a table that is loaded, or None."""
        return self._loaded.get(calendar)

    async def load(self, calendars: Iterable[str]) -> None:
        """Have these tables; those that are there stay as they are. Raises what `table` raises."""
        for name in calendars:
            if name not in self._loaded:
                self._loaded[name] = await self._calendars.table(name)

    async def refresh(self) -> frozenset[str]:
        """Look at every loaded table again; return the names of those that differ or are gone."""
        changed: set[str] = set()
        for name, before in list(self._loaded.items()):
            try:
                after = await self._calendars.table(name)
            except (FatalError, RetryableError):
                del self._loaded[name]
                changed.add(name)
                continue
            self._loaded[name] = after
            if (after.digest, after.last_day) != (before.digest, before.last_day):
                changed.add(name)
        return frozenset(changed)
