"""What the planner needs to know about calendars: names to parse by, sessions to plan by.

`openbell.calendars` implements both protocols; the planner never asks for more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

EVENTS = ("open", "close", "break_start", "break_end", "pre_open", "post_close", "session")
"""Events that every calendar may have; `pre_open` and `post_close` only where it defines them."""


class Sessions(Protocol):
    """Every known session of one calendar, in label order; positions count from 0.

    `days` (days since 1970-01-01), `opens_us` and `closes_us` (microseconds since then) are
    parallel and strictly increasing. `break_*` hold a session's position and the break's ends, in
    order of time; a session may have any number of breaks. Knowledge covers the labels from
    `first_day` to `last_day`, both included, and outside nothing is known.
    """

    @property
    def calendar(self) -> str:
        """The calendar's canonical name."""
        ...

    @property
    def zone(self) -> str:
        """The exchange's time zone."""
        ...

    @property
    def first_day(self) -> int:
        """The first day of which anything is known."""
        ...

    @property
    def last_day(self) -> int:
        """The last day of which anything is known."""
        ...

    @property
    def days(self) -> Sequence[int]:
        """Labels."""
        ...

    @property
    def opens_us(self) -> Sequence[int]:
        """Opens."""
        ...

    @property
    def closes_us(self) -> Sequence[int]:
        """Closes."""
        ...

    @property
    def break_indices(self) -> Sequence[int]:
        """Position of each break's session."""
        ...

    @property
    def break_starts_us(self) -> Sequence[int]:
        """Start of each break."""
        ...

    @property
    def break_ends_us(self) -> Sequence[int]:
        """End of each break."""
        ...

    @property
    def early_indices(self) -> Sequence[int]:
        """Positions of the sessions that close earlier than is usual at the time, ascending."""
        ...

    @property
    def late_indices(self) -> Sequence[int]:
        """Positions of the sessions that open later than is usual at the time, ascending."""
        ...

    def named(self, event: str) -> tuple[Sequence[int], Sequence[int]]:
        """Return the positions of the sessions that have a named event, and its instants.

        Parallel, both ascending, at most one instant a session. `pre_open` and `post_close` come
        this way too. Raises KeyError for an event that the calendar does not define.
        """
        ...


class CalendarNames(Protocol):
    """Which calendars and events there are, known when schedules are read."""

    def canonical(self, calendar: str) -> str:
        """Return the calendar that a name or an alias means; raises UnknownCalendarError."""
        ...

    def events(self, calendar: str) -> Sequence[str]:
        """Return the named events that a calendar (by its canonical name) defines.

        Lower-case words such as `settle`, also `pre_open` and `post_close` where they are defined;
        the events that every calendar has (`open`, `close`, breaks, `session`) are not among them.
        """
        ...


class Tables(Protocol):
    """The sessions that are loaded."""

    def sessions(self, calendar: str) -> Sessions | None:
        """Return the sessions of a calendar by its canonical name, or None: it has no table."""
        ...
