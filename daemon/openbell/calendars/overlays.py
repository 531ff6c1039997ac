"""Corrections to a calendar: days closed, opened late, closed early, or added. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from zoneinfo import ZoneInfo

from openbell.calendars.hours import Hours, packed, unpacked
from openbell.calendars.local_time import LocalTime, minutes_of
from openbell.calendars.table import CalendarTable, Session, from_day, to_day
from openbell.model.calendars import Overlay, OverlayKind, SessionChange, SessionHours
from openbell.sdk.values import from_us

_GIVEN: Mapping[OverlayKind, tuple[bool, bool, bool]] = {
    "closed": (True, False, False),
    "early_close": (False, False, True),
    "late_open": (False, True, False),
    "extra_session": (False, True, True),
}
_NEEDS: Mapping[OverlayKind, str] = {
    "closed": "a day that is closed has no open or close",
    "early_close": "an early close needs its close, and nothing else",
    "late_open": "a late open needs its open, and nothing else",
    "extra_session": "an extra session needs its open and its close",
}


class OverlayError(Exception):
    """An overlay cannot be applied; `overlay` is the one."""

    def __init__(self, overlay: Overlay, message: str) -> None:
        super().__init__(f"overlay of {overlay.calendar} on {overlay.session}: {message}")
        self.overlay = overlay


def described(overlay: Overlay) -> str:
    """Return what an overlay says of its day, for people."""
    if overlay.closed:
        return "closed"
    hours = [
        f"{word} {clock}"
        for word, clock in (("open", overlay.open_time), ("close", overlay.close_time))
        if clock is not None
    ]
    return " ".join(hours)


def merged(overlays: Iterable[Overlay]) -> dict[tuple[str, date], Overlay]:
    """Return one overlay a calendar and day; the order of `overlays` does not matter.

    Raises OverlayError where two contradict each other: closed and hours, or two different hours.
    """
    found: dict[tuple[str, date], Overlay] = {}
    for overlay in overlays:
        key = (overlay.calendar, overlay.session)
        other = found.get(key)
        found[key] = overlay if other is None else _joined(other, overlay)
    return found


def _joined(one: Overlay, other: Overlay) -> Overlay:
    pairs = ((one.open_time, other.open_time), (one.close_time, other.close_time))
    differs = any(a is not None and b is not None and a != b for a, b in pairs)
    if one.closed != other.closed or differs:
        raise OverlayError(other, f"{described(other)!r} contradicts {described(one)!r}")
    return replace(
        one,
        open_time=one.open_time or other.open_time,
        close_time=one.close_time or other.close_time,
        reason=one.reason or other.reason,
    )


def corrected(table: CalendarTable, overlays: Iterable[Overlay]) -> CalendarTable:
    """Return `table` with its overlays applied; those of other calendars are ignored.

    A closed day that is no session stays none. Hours are local to the calendar's zone. Raises
    OverlayError for hours that make no session, for one hour given on a day without a session, for
    sessions that would overlap, and for overlays that contradict each other.
    """
    mine = merged(overlay for overlay in overlays if overlay.calendar == table.calendar)
    if not mine:
        return table
    hours = unpacked(table)
    zone = ZoneInfo(table.zone)
    clock = LocalTime(table.zone)
    for (_, session), overlay in mine.items():
        day = to_day(session)
        if overlay.closed:
            hours.pop(day, None)
        else:
            hours[day] = _changed(overlay, hours.get(day), zone, clock)
    for overlay in mine.values():
        _check_apart(overlay, hours)
    return packed(table, hours)


def _changed(overlay: Overlay, now: Hours | None, zone: ZoneInfo, clock: LocalTime) -> Hours:
    label = to_day(overlay.session)
    if now is None:
        if overlay.open_time is None or overlay.close_time is None:
            raise OverlayError(overlay, "there is no session; give open and close to add one")
        now = Hours(
            clock.instant_us(label, minutes_of(overlay.open_time)),
            clock.instant_us(label, minutes_of(overlay.close_time) or 24 * 60),
        )
        open_us, close_us = now.open_us, now.close_us
    else:
        open_us, close_us = now.open_us, now.close_us
        if overlay.open_time is not None:
            open_day = _local_day(now.open_us, zone)
            open_us = clock.instant_us(open_day, minutes_of(overlay.open_time))
        if overlay.close_time is not None:
            # A close at local midnight belongs to the day that it ends.
            close_day = _local_day(now.close_us - 1, zone)
            close_us = clock.instant_us(close_day, minutes_of(overlay.close_time) or 24 * 60)
    if open_us >= close_us:
        raise OverlayError(overlay, f"it opens at {from_us(open_us)} and closes before that")
    return now.within(
        open_us,
        close_us,
        is_early=close_us < now.close_us or (now.is_early and close_us == now.close_us),
        is_late=open_us > now.open_us or (now.is_late and open_us == now.open_us),
    )


def _check_apart(overlay: Overlay, hours: dict[int, Hours]) -> None:
    """Refuse a session that begins before the one before it ends, or ends after the next begins."""
    day = to_day(overlay.session)
    mine = hours.get(day)
    if mine is None:
        return
    for other in (day - 1, day + 1):
        beside = hours.get(other)
        if beside and mine.open_us < beside.close_us and beside.open_us < mine.close_us:
            raise OverlayError(overlay, f"it would overlap the session of {from_day(other)}")


def _local_day(instant_us: int, zone: ZoneInfo) -> int:
    return to_day(from_us(instant_us).astimezone(zone).date())


def check_kind(kind: OverlayKind, overlay: Overlay, before: CalendarTable) -> None:
    """Refuse an overlay that is not of its kind on its day; raises OverlayError."""
    if not before.covers(overlay.session, overlay.session):
        known = f"{before.first_label} to {before.last_label}"
        raise OverlayError(overlay, f"nothing is known of that day; known is {known}")
    session = before.session(overlay.session)
    given = (overlay.closed, overlay.open_time is not None, overlay.close_time is not None)
    if given != _GIVEN[kind]:
        raise OverlayError(overlay, _NEEDS[kind])
    if kind == "extra_session":
        if session is not None:
            raise OverlayError(overlay, "there is a session on that day already")
        return
    if session is None:
        raise OverlayError(overlay, "there is no session on that day")
    changed = corrected(before, [overlay]).session(overlay.session)
    if kind == "early_close" and changed and changed.close >= session.close:
        raise OverlayError(overlay, f"it closes at {session.close} as it is, not later than that")
    if kind == "late_open" and changed and changed.open <= session.open:
        raise OverlayError(overlay, f"it opens at {session.open} as it is, not earlier than that")


def hours_of(session: Session | None) -> SessionHours | None:
    """Return a session as people read it."""
    if session is None:
        return None
    return SessionHours(
        label=session.label,
        open=session.open,
        close=session.close,
        breaks=tuple((pause.start, pause.end) for pause in session.breaks),
        early_close=session.early_close,
        late_open=session.late_open,
    )


def changes(before: CalendarTable, after: CalendarTable) -> tuple[SessionChange, ...]:
    """Return the days on which the two differ, in order."""
    old, new = unpacked(before), unpacked(after)
    return tuple(
        SessionChange(
            label=from_day(day),
            before=hours_of(before.session(from_day(day))),
            after=hours_of(after.session(from_day(day))),
        )
        for day in sorted(old.keys() | new.keys())
        if old.get(day) != new.get(day)
    )
