"""Corrections to a calendar: days closed, opened late, closed early, or added. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from openbell.calendars.table import CalendarTable, sealed, to_day
from openbell.model.pipelines import Overlay
from openbell.sdk.values import from_us, to_us


class OverlayError(Exception):
    """An overlay cannot be applied; `overlay` is the one."""

    def __init__(self, overlay: Overlay, message: str) -> None:
        super().__init__(f"overlay of {overlay.calendar} on {overlay.session}: {message}")
        self.overlay = overlay


@dataclass(frozen=True, slots=True)
class _Hours:
    open_us: int
    close_us: int
    breaks: tuple[tuple[int, int], ...] = ()


def corrected(table: CalendarTable, overlays: Iterable[Overlay]) -> CalendarTable:
    """Return `table` with its overlays applied, in order; those of other calendars are ignored.

    A closed day that is no session stays none. Hours are local to the calendar's zone. Raises
    OverlayError for hours that make no session, and for one hour given on a day without a session.
    """
    mine = [overlay for overlay in overlays if overlay.calendar == table.calendar]
    if not mine:
        return table
    hours = _unpacked(table)
    zone = ZoneInfo(table.zone)
    for overlay in mine:
        day = to_day(overlay.session)
        if overlay.closed:
            hours.pop(day, None)
        else:
            hours[day] = _changed(overlay, hours.get(day), zone)
    return _packed(table, hours)


def _changed(overlay: Overlay, now: _Hours | None, zone: ZoneInfo) -> _Hours:
    if now is None and (overlay.open_time is None or overlay.close_time is None):
        raise OverlayError(overlay, "there is no session; give open and close to add one")
    open_day = _local_day(now.open_us, zone) if now else overlay.session
    # A close at local midnight belongs to the day that it ends.
    close_day = _local_day(now.close_us - 1, zone) if now else overlay.session
    open_us = _instant_us(open_day, overlay.open_time, zone) if overlay.open_time else None
    close_us = _instant_us(close_day, overlay.close_time, zone) if overlay.close_time else None
    open_us = open_us if open_us is not None else (now.open_us if now else 0)
    close_us = close_us if close_us is not None else (now.close_us if now else 0)
    if open_us >= close_us:
        raise OverlayError(overlay, f"it opens at {from_us(open_us)} and closes before that")
    breaks = now.breaks if now else ()
    inside = tuple(pair for pair in breaks if open_us < pair[0] and pair[1] < close_us)
    return _Hours(open_us, close_us, inside)


def _local_day(instant_us: int, zone: ZoneInfo) -> date:
    return from_us(instant_us).astimezone(zone).date()


def _instant_us(day: date, clock: str, zone: ZoneInfo) -> int:
    local = datetime.combine(day, time.fromisoformat(clock), tzinfo=zone)
    return to_us(local.astimezone(UTC))


def _unpacked(table: CalendarTable) -> dict[int, _Hours]:
    breaks: dict[int, list[tuple[int, int]]] = {}
    rows = zip(table.break_indices, table.break_starts_us, table.break_ends_us, strict=True)
    for index, start_us, end_us in rows:
        breaks.setdefault(index, []).append((start_us, end_us))
    triples = zip(table.days, table.opens_us, table.closes_us, strict=True)
    return {
        day: _Hours(open_us, close_us, tuple(breaks.get(index, ())))
        for index, (day, open_us, close_us) in enumerate(triples)
    }


def _packed(table: CalendarTable, hours: dict[int, _Hours]) -> CalendarTable:
    ordered = sorted(hours.items())
    rows = [
        (index, start_us, end_us)
        for index, (_, session) in enumerate(ordered)
        for start_us, end_us in session.breaks
    ]
    return sealed(
        replace(
            table,
            days=array("q", (day for day, _ in ordered)),
            opens_us=array("q", (session.open_us for _, session in ordered)),
            closes_us=array("q", (session.close_us for _, session in ordered)),
            break_indices=array("q", (row[0] for row in rows)),
            break_starts_us=array("q", (row[1] for row in rows)),
            break_ends_us=array("q", (row[2] for row in rows)),
        )
    )
