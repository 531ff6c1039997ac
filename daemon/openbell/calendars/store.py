"""Snapshots of calendars on disk, and the tables read from them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path

from openbell.calendars.names import ALWAYS, canonical
from openbell.calendars.overlays import corrected
from openbell.calendars.snapshot import SnapshotError, decode
from openbell.calendars.table import CalendarTable, always_open
from openbell.model.pipelines import Overlay

BUILDER = "openbell.calendars.build:build"
"""Import string of the function that a worker calls as `build(calendar, through)` for bytes."""

AHEAD_DAYS = 365
"""How far ahead of today a snapshot is built."""

STALE_DAYS = 185
"""A snapshot that reaches less far ahead of today is built again, if the library knows more."""

FIRST_ALWAYS = date(1970, 1, 1)


def library_version() -> str:
    """Return which library a fresh snapshot comes from, without importing it."""
    return f"exchange_calendars {version('exchange_calendars')}"


class SessionStore:
    """Session tables by calendar, from the snapshots in `folder`, with overlays applied.

    Reading a table costs a few milliseconds once; the loop may call `table` after that. Not for
    several threads at once.
    """

    def __init__(
        self, folder: Path, *, overlays: Iterable[Overlay] = (), library: str | None = None
    ) -> None:
        self._folder = folder
        self._overlays = tuple(overlays)
        self._library = library_version() if library is None else library
        self._plain: dict[str, CalendarTable] = {}
        self._tables: dict[str, CalendarTable] = {}

    def table(self, calendar: str, *, today: date) -> CalendarTable | None:
        """Return the calendar's sessions, or None when a worker has to build the snapshot.

        None for a snapshot that is missing, damaged, of another library version, or that ends
        too soon after `today`. Raises UnknownCalendarError and OverlayError.
        """
        name = canonical(calendar)
        plain = self._plain.get(name)
        if plain is None or not self._is_fresh(plain, today):
            plain = always_table(today) if name == ALWAYS else self._read(name)
            if plain is None or not self._is_fresh(plain, today):
                return None
            self._keep(plain)
        return self._tables[name]

    def save(self, content: bytes) -> CalendarTable:
        """Keep a snapshot that a worker built, durably, and return its table with overlays.

        Raises SnapshotError when the bytes are none, and OSError when the disk refuses.
        """
        plain = decode(content)
        target = self._path(plain.calendar)
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
        return self._keep(plain)

    def use_overlays(self, overlays: Iterable[Overlay]) -> None:
        """Apply `overlays` from now on in place of the earlier ones; raises OverlayError."""
        new = tuple(overlays)
        tables = {name: corrected(plain, new) for name, plain in self._plain.items()}
        self._overlays, self._tables = new, tables

    def wanted_through(self, today: date) -> date:
        """Return the day to which a worker should build."""
        return today + timedelta(days=AHEAD_DAYS)

    def _keep(self, plain: CalendarTable) -> CalendarTable:
        table = corrected(plain, self._overlays)
        self._plain[plain.calendar] = plain
        self._tables[plain.calendar] = table
        return table

    def _read(self, name: str) -> CalendarTable | None:
        try:
            table = decode(self._path(name).read_bytes())
        except (OSError, SnapshotError):
            return None
        return table if table.calendar == name and table.library == self._library else None

    @staticmethod
    def _is_fresh(table: CalendarTable, today: date) -> bool:
        return table.is_bounded or table.last_label >= today + timedelta(days=STALE_DAYS)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name.replace('/', '-')}.sessions"


def always_table(today: date) -> CalendarTable:
    """Return the calendar that is always open, from 1970 to a year after `today`."""
    return always_open(ALWAYS, FIRST_ALWAYS, today + timedelta(days=AHEAD_DAYS))
