"""Calendars as the API and the command line ask for them: how they stand, sessions, corrections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import anyio

from openbell.calendars.names import CalendarCatalog
from openbell.calendars.overlays import OverlayError, changes, check_kind, hours_of
from openbell.calendars.table import from_day
from openbell.model.calendars import (
    CalendarStatus,
    ListedOverlay,
    Overlay,
    OverlayAnswer,
    OverlayKind,
    OverlayRecord,
    SessionHours,
    UnknownOverlayError,
)
from openbell.model.control import ConflictError
from openbell.model.events import OverlayAdded, OverlayRemoved
from openbell.model.ids import RandomBits, sortable_id
from openbell.sdk.clock import Clock
from openbell.sdk.errors import SettingsError
from openbell.sdk.values import to_us
from openbell.supervisor.calendars import CalendarDesk, Tell
from openbell.supervisor.fire_effects import FireEffects, Scheduled


class CalendarService:
    """Answers for calendars; one correction is made at a time, wholly or not at all."""

    def __init__(
        self,
        desk: CalendarDesk,
        record: Tell,
        *,
        clock: Clock,
        random_bits: RandomBits,
        scheduled: Scheduled = tuple,
    ) -> None:
        self._desk = desk
        self._record = record
        self._clock = clock
        self._random_bits = random_bits
        self._changing = anyio.Lock()
        self._effects = FireEffects(desk, scheduled, clock)

    async def statuses(self, *, build: bool = False) -> Sequence[CalendarStatus]:
        """Return every calendar by name; one that was never built is `unbuilt` unless `build`."""
        store = self._desk.store
        today = self._clock.now().date()
        found: list[CalendarStatus] = []
        for name in CalendarCatalog(store.rules).names():
            is_there = build or self._desk.is_known(name, today)
            found.append(
                await self._desk.status(name)
                if is_there
                else CalendarStatus(
                    calendar=name,
                    state="unbuilt",
                    policy=store.rules.policy_of(store.source(name)),
                )
            )
        return found

    async def status(self, calendar: str) -> CalendarStatus:
        """Return how one calendar stands; raises UnknownCalendarError."""
        return await self._desk.status(self._desk.store.canonical(calendar))

    async def sessions(self, calendar: str, first: date, last: date) -> Sequence[SessionHours]:
        """Return the sessions with labels from `first` to `last`.

        Raises UnknownCalendarError, and FatalError when the calendar cannot be built or nothing is
        known of a part of the range and its policy is `block`.
        """
        name = self._desk.store.canonical(calendar)
        table = await self._desk.table(name, through=last)
        await self._desk.require(name, last)
        found = (table.session(from_day(day)) for day in table.between(first, last).labels_day)
        return [hours for session in found if (hours := hours_of(session)) is not None]

    async def next(self, calendar: str, *, count: int = 1) -> Sequence[SessionHours]:
        """Return the next sessions to open, soonest first; fewer where fewer are known."""
        name = self._desk.store.canonical(calendar)
        table = await self._desk.table(name)
        found: list[SessionHours] = []
        session = table.next_open(self._clock.now())
        while session is not None and len(found) < count:
            hours = hours_of(session)
            assert hours is not None
            found.append(hours)
            session = table.next(session.label)
        return found

    def overlays(self, calendar: str | None = None) -> Sequence[ListedOverlay]:
        """Return the corrections in force, by calendar and day; raises UnknownCalendarError."""
        wanted = None if calendar is None else self._desk.store.canonical(calendar)
        configured = [ListedOverlay(overlay=overlay) for overlay in self._desk.configured]
        by_hand = [
            ListedOverlay(
                overlay=record.overlay,
                overlay_id=record.overlay_id,
                added_at=record.added_at,
                added_by=record.added_by,
            )
            for record in self._desk.added.values()
        ]
        found = [
            one
            for one in (*configured, *by_hand)
            if wanted is None or one.overlay.calendar == wanted
        ]
        return sorted(found, key=lambda one: (one.overlay.calendar, one.overlay.session))

    async def add_overlay(
        self, overlay: Overlay, *, kind: OverlayKind, by: str, dry_run: bool = False
    ) -> OverlayAnswer:
        """Correct a calendar, or say what that would change.

        Raises UnknownCalendarError; ConflictError for a correction that contradicts another,
        changes nothing or is not what `kind` says. It is durable when this returns.
        """
        name = self._desk.store.canonical(overlay.calendar)
        overlay = replace(overlay, calendar=name)
        async with self._changing:
            before = await self._desk.table(name, through=overlay.session)
            overlays = (*self._desk.store.overlays, overlay)
            try:
                after = self._desk.store.preview(name, overlays)
                check_kind(kind, overlay, before)
            except OverlayError as error:
                raise ConflictError(str(error)) from error
            found = changes(before, after)
            if not found:
                raise ConflictError(f"overlay of {name} on {overlay.session}: it changes nothing")
            fires, count = await self._effects.of(name, overlay.session, overlays)
            answer = OverlayAnswer(overlay=overlay, changes=found, fires=fires, fire_count=count)
            if dry_run:
                return answer
            now = self._clock.now()
            overlay_id = sortable_id("ovl", to_us(now), self._random_bits)
            record = OverlayRecord(
                overlay_id=overlay_id, overlay=overlay, added_at=now, added_by=by
            )
            event = OverlayAdded(at=now, overlay_id=overlay_id, overlay=overlay, by=by)
            await self._replace([*self._desk.added.values(), record], event)
            return replace(answer, overlay_id=overlay_id)

    async def remove_overlay(
        self, calendar: str, overlay_id: str, *, by: str, dry_run: bool = False
    ) -> OverlayAnswer:
        """Take a correction back that was made by hand; raises UnknownOverlayError."""
        name = self._desk.store.canonical(calendar)
        async with self._changing:
            record = self._desk.added.get(overlay_id)
            if record is None or record.overlay.calendar != name:
                raise UnknownOverlayError(name, overlay_id)
            others = [one for one in self._desk.added.values() if one is not record]
            before = await self._desk.table(name)
            left = (*self._desk.configured, *(one.overlay for one in others))
            try:
                after = self._desk.store.preview(name, left)
            except OverlayError as error:
                raise ConflictError(f"without it {error}") from error
            fires, count = await self._effects.of(name, record.overlay.session, left)
            answer = OverlayAnswer(
                overlay=record.overlay,
                overlay_id=overlay_id,
                changes=changes(before, after),
                fires=fires,
                fire_count=count,
            )
            if not dry_run:
                now = self._clock.now()
                event = OverlayRemoved(at=now, overlay_id=overlay_id, calendar=name, by=by)
                await self._replace(others, event)
            return answer

    async def _replace(
        self, records: Sequence[OverlayRecord], event: OverlayAdded | OverlayRemoved
    ) -> None:
        """Use other corrections and put it on record; when either fails nothing has changed."""
        earlier = list(self._desk.added.values())
        try:
            self._desk.adopt(records)
        except SettingsError as error:
            raise ConflictError("; ".join(each.message for each in error.problems)) from error
        try:
            await self._record(event)
        except BaseException:
            self._desk.adopt(earlier)
            raise
