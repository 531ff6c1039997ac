"""Snapshots of calendars on disk, and the tables read from them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path

from openbell.calendars.horizon import extended, status_of, unknown
from openbell.calendars.names import ALWAYS, FX, canonical
from openbell.calendars.overlays import corrected, merged
from openbell.calendars.product import on_base, weekmask_table, with_events
from openbell.calendars.snapshot import SnapshotError, decode
from openbell.calendars.table import CalendarTable, always_open
from openbell.model.calendars import CalendarDefinition, CalendarRules, CalendarStatus, Overlay

BUILDER = "openbell.calendars.build:build"
"""Import string of the function that a worker calls as `build(calendar, through)` for bytes."""

WEEKMASK_BUILDER = "openbell.calendars.build:build_weekmask"
"""The same, for a calendar that cannot be built: usual weekdays and hours, no holidays."""

AHEAD_DAYS = 800
"""How far ahead of today a snapshot is built."""

STALE_DAYS = 500
"""A snapshot that reaches less far ahead of today is built again, if the library knows more."""

FIRST_ALWAYS = date(1970, 1, 1)
FIRST_COMPUTED = date(1990, 1, 1)

_CURRENCIES = CalendarDefinition(
    name=FX, zone="America/New_York", weekdays=(0, 1, 2, 3, 4), open="17:00", close="17:00"
)


def library_version() -> str:
    """Return which library a fresh snapshot comes from, without importing it."""
    return f"exchange_calendars {version('exchange_calendars')}"


class SessionStore:
    """Session tables by calendar, from the snapshots in `folder`, with rules and overlays applied.

    Reading a table costs a millisecond or two once; the loop may call `table` after that. Not for
    several threads at once.
    """

    def __init__(
        self,
        folder: Path,
        *,
        overlays: Iterable[Overlay] = (),
        rules: CalendarRules | None = None,
        library: str | None = None,
    ) -> None:
        self._folder = folder
        self._overlays = tuple(overlays)
        self._rules = rules or CalendarRules()
        self._library = library_version() if library is None else library
        self._plain: dict[str, CalendarTable] = {}
        self._known: dict[str, CalendarTable] = {}
        self._tables: dict[str, CalendarTable] = {}

    @property
    def rules(self) -> CalendarRules:
        """The rules in force."""
        return self._rules

    @property
    def library(self) -> str:
        """Which library a fresh snapshot comes from."""
        return self._library

    @property
    def overlays(self) -> tuple[Overlay, ...]:
        """The overlays in force."""
        return self._overlays

    def canonical(self, calendar: str) -> str:
        """Return the calendar that a name means; raises UnknownCalendarError."""
        return canonical(calendar, self._rules.defined)

    def source(self, calendar: str) -> str:
        """Return the calendar whose snapshot this one is made from; raises UnknownCalendarError."""
        name = self.canonical(calendar)
        definition = self._rules.defined.get(name)
        return name if definition is None or definition.base is None else definition.base

    def sessions(self, calendar: str) -> CalendarTable | None:
        """Return a table that is loaded, by the calendar's canonical name, or None."""
        return self._tables.get(calendar)

    def table(
        self, calendar: str, *, today: date, through: date | None = None
    ) -> CalendarTable | None:
        """Return the calendar's sessions, or None when a worker has to build the snapshot.

        None for a snapshot that is missing, damaged, of another library version, or that ends
        too soon after `today`, or before `through`. Raises UnknownCalendarError, OverlayError and
        DefinitionError.
        """
        name, source = self.canonical(calendar), self.source(calendar)
        wanted = today + timedelta(days=STALE_DAYS)
        wanted = wanted if through is None else max(wanted, through)
        plain = self._plain.get(source)
        if plain is None or not _reaches(plain, wanted):
            known = self._known.get(source)
            if known is None or not _reaches(known, wanted):
                known = self._computed(source, today, wanted) or self._read(source)
            if known is None or not _reaches(known, wanted):
                return None
            self._keep(known, max(self.wanted_through(today), wanted))
        if name not in self._tables:
            self._tables[name] = self._made(name, self._rules, self._overlays)
        return self._tables[name]

    def save(self, content: bytes, *, today: date) -> CalendarTable:
        """Keep a snapshot that a worker built, durably, and return its table with overlays.

        Raises SnapshotError when the bytes are none, and OSError when the disk refuses.
        """
        known = decode(content)
        target = self._path(known.calendar)
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = target.with_suffix(f".{os.getpid()}.tmp")
        try:
            with fresh.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(target)
        finally:
            fresh.unlink(missing_ok=True)
        self._keep(known, self.wanted_through(today))
        made = self._made(known.calendar, self._rules, self._overlays)
        self._tables[known.calendar] = made
        return made

    def stand_in(self, calendar: str, content: bytes | None) -> None:
        """Use a table for a calendar that cannot be built, until it can: guessed, or empty."""
        table = unknown(calendar) if content is None else decode(content)
        self._forget(calendar)
        self._plain[calendar] = table

    def forget(self, calendar: str) -> None:
        """Drop what is loaded of a calendar, so that it is asked for again."""
        self._forget(calendar)
        self._plain.pop(calendar, None)
        self._known.pop(calendar, None)

    def status(self, calendar: str, *, today: date) -> CalendarStatus:
        """Return how a calendar whose table is loaded stands, by its canonical name."""
        return status_of(self._known[self.source(calendar)], self._rules, today)

    def preview(self, calendar: str, overlays: Iterable[Overlay]) -> CalendarTable:
        """Return what a loaded calendar would be with other overlays; raises OverlayError."""
        return self._made(self.canonical(calendar), self._rules, tuple(overlays))

    def use(self, rules: CalendarRules, overlays: Iterable[Overlay]) -> None:
        """Apply other rules and overlays from now on: all of it, or nothing when one is wrong.

        Raises OverlayError and DefinitionError.
        """
        new = tuple(overlays)
        merged(new)
        if rules != self._rules:
            self._rules, self._overlays = rules, new
            self._plain, self._known, self._tables = {}, {}, {}
            return
        tables = {name: self._made(name, rules, new) for name in self._tables}
        self._overlays, self._tables = new, tables

    def wanted_through(self, today: date) -> date:
        """Return the day to which a worker should build."""
        return today + timedelta(days=AHEAD_DAYS)

    def _keep(self, known: CalendarTable, through: date) -> None:
        name = known.calendar
        self._forget(name)
        self._known[name] = known
        is_guessed = known.is_bounded and self._rules.policy_of(name) == "weekmask"
        self._plain[name] = extended(known, through) if is_guessed else known

    def _forget(self, source: str) -> None:
        """Drop what was made from a calendar's snapshot."""
        self._tables = {
            name: table for name, table in self._tables.items() if self.source(name) != source
        }

    def _made(
        self, name: str, rules: CalendarRules, overlays: tuple[Overlay, ...]
    ) -> CalendarTable:
        definition = rules.defined.get(name)
        if definition is None or definition.base is None:
            table = self._plain[name]
        else:
            table = on_base(definition, self._made(definition.base, rules, overlays))
        table = corrected(table, overlays)
        return table if definition is None else with_events(table, definition)

    def _computed(self, name: str, today: date, wanted: date) -> CalendarTable | None:
        last = max(self.wanted_through(today), wanted)
        if name == ALWAYS:
            return always_open(ALWAYS, FIRST_ALWAYS, last)
        definition = _CURRENCIES if name == FX else self._rules.defined.get(name)
        return None if definition is None else weekmask_table(definition, FIRST_COMPUTED, last)

    def _read(self, name: str) -> CalendarTable | None:
        try:
            table = decode(self._path(name).read_bytes())
        except (OSError, SnapshotError):
            return None
        return table if table.calendar == name and table.library == self._library else None

    def _path(self, name: str) -> Path:
        return self._folder / f"{name.replace('/', '-')}.sessions"


def _reaches(table: CalendarTable, wanted: date) -> bool:
    return table.is_bounded or table.last_label >= wanted
