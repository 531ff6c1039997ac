"""What is said of calendars in a configuration, and how each of them stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, Literal, Protocol

HorizonPolicy = Literal["block", "weekmask", "warn"]
"""What is done about days of which a calendar knows nothing: refuse; take its usual weekdays and
hours; or go on as if there were no session, and say so."""

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})  # python 3.11 cannot hash it: no plain default


def _no_days() -> Mapping[date, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """A correction to a calendar. `open_time` and `close_time` are local `HH:MM`."""

    calendar: str
    session: date
    closed: bool = False
    open_time: str | None = None
    close_time: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedEvent:
    """Something that happens in every session at a local `HH:MM`, on early days at `early`."""

    at: str
    early: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarDefinition:
    """A calendar of the configuration: hours over a week mask, or over the days of a base.

    Hours are local `HH:MM` in `zone`; a session whose close is not after its open begins on the day
    before its label. What is None comes from the base. `weekdays` counts Monday as 0 and is
    empty with a base.
    """

    name: str
    base: str | None = None
    zone: str | None = None
    weekdays: tuple[int, ...] = ()
    open: str | None = None
    close: str | None = None
    breaks: tuple[tuple[str, str], ...] | None = None
    pre_open: str | None = None
    post_close: str | None = None
    events: Mapping[str, NamedEvent] = field(default_factory=_nothing)
    closed: frozenset[date] = frozenset()
    early: Mapping[date, str] = field(default_factory=_no_days)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarRules:
    """`calendars:` of the configuration, but for the overlays.

    `near_sessions` is how many sessions before the end of what is known the warnings begin.
    """

    defined: Mapping[str, CalendarDefinition] = field(default_factory=_nothing)
    policy: HorizonPolicy = "block"
    policies: Mapping[str, HorizonPolicy] = field(default_factory=_nothing)
    near_sessions: int = 20

    def policy_of(self, calendar: str) -> HorizonPolicy:
        """Return what is done where this calendar knows nothing."""
        return self.policies.get(calendar, self.policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarStatus:
    """How a calendar stands.

    It is `ready`, `ending` (few sessions are left), `failed` (for `reason`), or `unbuilt` as long
    as nobody asked for it.

    `horizon` is the last day of which anything is known; None for a calendar that failed.
    """

    calendar: str
    state: Literal["ready", "ending", "failed", "unbuilt"]
    policy: HorizonPolicy
    horizon: date | None = None
    sessions_left: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayRecord:
    """An overlay that was added by hand, and who took it back, if anyone did."""

    overlay_id: str
    overlay: Overlay
    added_at: datetime
    added_by: str
    removed_at: datetime | None = None
    removed_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionHours:
    """One session as people read it: UTC instants."""

    label: date
    open: datetime
    close: datetime
    breaks: tuple[tuple[datetime, datetime], ...] = ()
    early_close: bool = False
    late_open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionChange:
    """What becomes of one day: None is no session."""

    label: date
    before: SessionHours | None
    after: SessionHours | None


OverlayKind = Literal["closed", "early_close", "late_open", "extra_session"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedOverlay:
    """A correction in force. One of the configuration has no id, nobody and no instant."""

    overlay: Overlay
    overlay_id: str = ""
    added_at: datetime | None = None
    added_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FireChange:
    """What becomes of one fire of a schedule: it moves, appears (no `before`) or vanishes."""

    pipeline: str
    schedule: str
    session: date | None
    event: str
    index: int
    before: datetime | None
    after: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayAnswer:
    """What a correction changes. Without an id it was only tried.

    Of the fires that change, `fire_count` in all, the first are named.
    """

    overlay: Overlay
    changes: tuple[SessionChange, ...]
    overlay_id: str = ""
    fires: tuple[FireChange, ...] = ()
    fire_count: int = 0


class UnknownOverlayError(Exception):
    """No correction of this calendar that was made by hand has this id."""

    def __init__(self, calendar: str, overlay_id: str) -> None:
        super().__init__(f"calendar {calendar!r} has no overlay {overlay_id!r} made by hand")


class Calendars(Protocol):
    """What the API asks of calendars; `openbell.supervisor.calendar_service` answers."""

    async def statuses(self, *, build: bool = False) -> Sequence[CalendarStatus]:
        """Return every calendar by name; one that was never built is `unbuilt` unless `build`."""
        ...

    async def status(self, calendar: str) -> CalendarStatus:
        """Return how one calendar stands."""
        ...

    async def sessions(self, calendar: str, first: date, last: date) -> Sequence[SessionHours]:
        """Return the sessions with labels from `first` to `last`."""
        ...

    async def next(self, calendar: str, *, count: int = 1) -> Sequence[SessionHours]:
        """Return the next sessions to open, soonest first."""
        ...

    def overlays(self, calendar: str | None = None) -> Sequence[ListedOverlay]:
        """Return the corrections in force, by calendar and day."""
        ...

    async def add_overlay(
        self, overlay: Overlay, *, kind: OverlayKind, by: str, dry_run: bool = False
    ) -> OverlayAnswer:
        """Correct a calendar, or say what that would change; raises ConflictError."""
        ...

    async def remove_overlay(
        self, calendar: str, overlay_id: str, *, by: str, dry_run: bool = False
    ) -> OverlayAnswer:
        """Take a correction back that was made by hand; raises UnknownOverlayError."""
        ...


def session_fields(hours: SessionHours) -> dict[str, Any]:
    """Return a session as the API and the command line write it."""
    return {
        "session": hours.label,
        "open": hours.open,
        "close": hours.close,
        "breaks": [list(pair) for pair in hours.breaks],
        "early_close": hours.early_close,
        "late_open": hours.late_open,
    }


def overlay_fields(listed: ListedOverlay) -> dict[str, Any]:
    """Return a correction as the API and the command line write it."""
    overlay = listed.overlay
    return {
        "id": listed.overlay_id or None,
        "calendar": overlay.calendar,
        "date": overlay.session,
        "closed": overlay.closed,
        "open": overlay.open_time,
        "close": overlay.close_time,
        "reason": overlay.reason,
        "origin": "hand" if listed.overlay_id else "configuration",
        "added_by": listed.added_by,
        "added_at": listed.added_at,
    }


def answer_fields(answer: OverlayAnswer) -> dict[str, Any]:
    """Return what a correction changes, as the API and the command line write it."""
    overlay = answer.overlay
    return {
        "id": answer.overlay_id or None,
        "calendar": overlay.calendar,
        "date": overlay.session,
        "closed": overlay.closed,
        "open": overlay.open_time,
        "close": overlay.close_time,
        "reason": overlay.reason,
        "changes": [
            {
                "session": change.label,
                "before": None if change.before is None else session_fields(change.before),
                "after": None if change.after is None else session_fields(change.after),
            }
            for change in answer.changes
        ],
        "fire_count": answer.fire_count,
        "fires": [asdict(change) for change in answer.fires],
    }
