"""The section `calendars`: rules, definitions and corrections, as values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from openbell.calendars.names import KNOWN, UnknownCalendarError, canonical, is_taken
from openbell.calendars.overlays import OverlayError, merged
from openbell.config.problems import Problems
from openbell.config.schema import CalendarSection, CalendarsSection
from openbell.config.tree import Path
from openbell.model.calendars import (
    WEEKDAYS,
    CalendarDefinition,
    CalendarRules,
    HorizonPolicy,
    NamedEvent,
    Overlay,
)

_EVENT = re.compile(r"[a-z][a-z0-9_]{0,31}")
_RESERVED = frozenset(
    [
        "open",
        "close",
        "break_start",
        "break_end",
        "pre_open",
        "post_close",
        "session",
        "sessions",
        "every",
        "nth",
        "first",
        "last",
        "of",
        "week",
        "month",
        "quarter",
        "year",
        "early_close",
        "late_open",
        "full",
        "in_session",
        "in",
        "cal",
        "cron",
        "at",
        "not",
    ]
)


class CalendarReader:
    """Turns the section into rules and overlays, noting whatever is wrong with it."""

    def __init__(self, section: CalendarsSection, problems: Problems) -> None:
        self._section = section
        self._problems = problems

    def rules(self) -> CalendarRules:
        """Return the rules and definitions."""
        defined = {
            name: self._definition(name, entry) for name, entry in self._section.define.items()
        }
        return CalendarRules(
            defined=defined,
            policy=self._section.policy,
            policies=self._policies(),
            near_sessions=self._section.near_sessions,
        )

    def overlays(self) -> tuple[Overlay, ...]:
        """Return the corrections; of those that contradict an earlier one a problem is noted."""
        found: list[Overlay] = []
        for index, entry in enumerate(self._section.overlays):
            path = ("calendars", "overlays", index)
            if not entry.closed and entry.open is None and entry.close is None:
                self._problems.add(path, "changes nothing", "give closed, open or close")
            elif entry.closed and (entry.open or entry.close):
                self._problems.add(path, "a day that is closed has no open or close")
            calendar = self._known(entry.calendar, (*path, "calendar"))
            if calendar is None:
                continue
            overlay = Overlay(
                calendar=calendar,
                session=entry.session,
                closed=entry.closed,
                open_time=entry.open,
                close_time=entry.close,
                reason=entry.reason,
            )
            try:
                merged([*found, overlay])
            except OverlayError as error:
                self._problems.add(path, str(error))
                continue
            found.append(overlay)
        return tuple(found)

    def _known(self, name: str, path: Path) -> str | None:
        try:
            return canonical(name, self._section.define)
        except UnknownCalendarError as error:
            self._problems.add(path, f"calendar {name!r} is unknown", error.hint)
            return None

    def _policies(self) -> Mapping[str, HorizonPolicy]:
        found: dict[str, HorizonPolicy] = {}
        for name, policy in self._section.policies.items():
            calendar = self._known(name, ("calendars", "policies", name))
            if calendar is not None and calendar in self._section.define:
                self._problems.add(
                    ("calendars", "policies", name),
                    "a defined calendar ends where its base does",
                    "give the policy of its base",
                )
            if calendar is not None:
                found[calendar] = policy
        return found

    def _definition(self, name: str, entry: CalendarSection) -> CalendarDefinition:
        path: Path = ("calendars", "define", name)
        if is_taken(name):
            self._problems.add(path, f"{name!r} is a calendar already", at_key=True)
        self._check_hours(entry, path)
        self._check_events(entry, path)
        if entry.zone is not None:
            self._check_zone(entry.zone, (*path, "zone"))
        is_round = entry.roll is not None
        weekdays = entry.days or (WEEKDAYS if is_round else WEEKDAYS[:5])
        return CalendarDefinition(
            name=name,
            base=self._base(entry, path),
            zone=entry.zone or (None if entry.base else "UTC"),
            weekdays=() if entry.base else tuple(sorted(WEEKDAYS.index(day) for day in weekdays)),
            open=entry.roll or entry.open,
            close=entry.roll or entry.close,
            breaks=entry.breaks,
            pre_open=entry.pre_open,
            post_close=entry.post_close,
            events={
                event: NamedEvent(at=section.at, early=section.early)
                for event, section in entry.events.items()
            },
            closed=frozenset(entry.closed),
            early=dict(entry.early),
        )

    def _base(self, entry: CalendarSection, path: Path) -> str | None:
        if entry.base is None:
            return None
        for key, given in (("days", entry.days), ("roll", entry.roll)):
            if given:
                self._problems.add((*path, key), "its days are those of its base", "leave one out")
        try:
            return canonical(entry.base)
        except UnknownCalendarError as error:
            message = f"calendar {entry.base!r} is unknown"
            hint = error.hint
            if entry.base in self._section.define:
                message = "a base is a calendar that is not defined here"
                hint = "`mdp calendar list` shows them"
            self._problems.add((*path, "base"), message, hint)
            return KNOWN[0]

    def _check_hours(self, entry: CalendarSection, path: Path) -> None:
        if entry.roll is not None:
            if entry.open or entry.close:
                self._problems.add((*path, "roll"), "stands for both open and close", "leave them")
        elif (entry.open is None) != (entry.close is None):
            self._problems.add(path, "open and close belong together", "give both")
        elif entry.open is None and entry.base is None:
            hint = "give base, or open and close, or roll"
            self._problems.add(path, "says neither whose hours it has nor which", hint)

    def _check_events(self, entry: CalendarSection, path: Path) -> None:
        for event in entry.events:
            at = (*path, "events", event)
            if event in _RESERVED:
                self._problems.add(at, f"{event!r} has a meaning of its own", at_key=True)
            elif _EVENT.fullmatch(event) is None:
                self._problems.add(
                    at, f"{event!r} is no event: lower-case letters, digits and '_'", at_key=True
                )
        both = sorted(set(entry.closed) & set(entry.early))
        if both:
            self._problems.add((*path, "early"), f"{both[0]} is closed: it cannot close early")

    def _check_zone(self, zone: str, path: Path) -> None:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            hint = "write a name of the IANA database, such as America/New_York"
            self._problems.add(path, f"time zone {zone!r} is unknown", hint)
