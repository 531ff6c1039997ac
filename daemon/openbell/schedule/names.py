"""The calendars that need no configuration, as the parser wants to know them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from openbell.calendars.names import canonical


class LibraryNames:
    """The calendars of the library; they define no events beyond those of every calendar."""

    def canonical(self, calendar: str) -> str:
        """Return the calendar that a name or an alias means; raises UnknownCalendarError."""
        return canonical(calendar)

    def events(self, calendar: str) -> Sequence[str]:
        """Return no names."""
        del calendar
        return ()
