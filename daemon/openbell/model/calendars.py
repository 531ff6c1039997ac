"""What is said of calendars in a configuration, and how each of them stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, Literal

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
    """How a calendar stands: `ready`, `ending` (few sessions are left) or `failed` (`reason`).

    `horizon` is the last day of which anything is known; None for a calendar that failed.
    """

    calendar: str
    state: Literal["ready", "ending", "failed"]
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
