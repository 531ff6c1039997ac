"""Sessions one by one, for what changes some of them. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, replace

from openbell.calendars.table import CalendarTable, sealed


@dataclass(frozen=True, slots=True)
class Hours:
    """One session, in microseconds since the epoch."""

    open_us: int
    close_us: int
    breaks: tuple[tuple[int, int], ...] = ()
    is_early: bool = False
    is_late: bool = False

    def within(self, open_us: int, close_us: int, *, is_early: bool, is_late: bool) -> Hours:
        """Return this session with other ends, and of its breaks those that lie inside."""
        inside = tuple(pair for pair in self.breaks if open_us < pair[0] and pair[1] < close_us)
        return Hours(open_us, close_us, inside, is_early, is_late)


def unpacked(table: CalendarTable) -> dict[int, Hours]:
    """Return the sessions of `table` by label day, in order."""
    breaks: dict[int, list[tuple[int, int]]] = {}
    rows = zip(table.break_indices, table.break_starts_us, table.break_ends_us, strict=True)
    for index, start_us, end_us in rows:
        breaks.setdefault(index, []).append((start_us, end_us))
    early, late = set(table.early_indices), set(table.late_indices)
    triples = zip(table.days, table.opens_us, table.closes_us, strict=True)
    return {
        day: Hours(open_us, close_us, tuple(breaks.get(index, ())), index in early, index in late)
        for index, (day, open_us, close_us) in enumerate(triples)
    }


def packed(table: CalendarTable, hours: Mapping[int, Hours]) -> CalendarTable:
    """Return `table` with these sessions instead of its own; named events are not kept."""
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
            early_indices=array("q", (i for i, (_, one) in enumerate(ordered) if one.is_early)),
            late_indices=array("q", (i for i, (_, one) in enumerate(ordered) if one.is_late)),
            events={},
        )
    )
