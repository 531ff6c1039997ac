"""Data plane only: sessions from `exchange_calendars`, which brings pandas.

The control plane names `openbell.calendars.store.BUILDER` in a task and never imports this module.
"""

from __future__ import annotations

import warnings
from array import array
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, time
from importlib.metadata import version

import exchange_calendars
import pandas as pd
from exchange_calendars import ExchangeCalendar

from openbell.calendars.names import canonical
from openbell.calendars.product import weekmask_table
from openbell.calendars.snapshot import encode
from openbell.calendars.table import CalendarTable, sealed, to_day
from openbell.model.calendars import CalendarDefinition

FIRST_LABEL = date(1990, 1, 1)


def build(calendar: str, through: str) -> bytes:
    """Return the snapshot of `calendar` from 1990 (or the library's start) to `through`.

    `through` is a date as text; a calendar of which the library knows less ends there. Whatever
    the library raises for a calendar that it cannot build goes on to the caller.
    """
    name = canonical(calendar)
    factory = exchange_calendars.calendar_utils.global_calendar_dispatcher._calendar_factories[name]  # noqa: SLF001
    low, high = factory.bound_min(), factory.bound_max()
    wanted_start, wanted_end = pd.Timestamp(FIRST_LABEL), pd.Timestamp(through)
    start = wanted_start if low is None else max(wanted_start, low)
    end = wanted_end if high is None else min(wanted_end, high)
    with warnings.catch_warnings():
        # What pandas will stop doing is between it and the library; the versions are locked.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        made = exchange_calendars.get_calendar(name, start=start, end=end)
    return encode(
        _table(name, made, start=start, end=end, is_bounded=high is not None and end >= high)
    )


def _table(
    name: str, made: ExchangeCalendar, *, start: pd.Timestamp, end: pd.Timestamp, is_bounded: bool
) -> CalendarTable:
    schedule = made.schedule
    has_break = schedule["break_start"].notna().to_numpy()
    days = (schedule.index - pd.Timestamp(0)).days
    return sealed(
        CalendarTable(
            calendar=name,
            zone=str(made.tz),
            library=library_version(),
            first_day=to_day(start.date()),
            last_day=to_day(end.date()),
            is_bounded=is_bounded,
            days=array("q", days.tolist()),
            opens_us=_instants(schedule["open"]),
            closes_us=_instants(schedule["close"]),
            break_indices=array("q", has_break.nonzero()[0].tolist()),
            break_starts_us=_instants(schedule["break_start"][has_break]),
            break_ends_us=_instants(schedule["break_end"][has_break]),
            early_indices=_positions(schedule.index, made.early_closes),
            late_indices=_positions(schedule.index, made.late_opens),
        )
    )


def _positions(sessions: pd.DatetimeIndex, some: pd.DatetimeIndex) -> array[int]:
    return array("q", sorted(sessions.get_indexer(some).tolist()))


def _instants(column: pd.Series) -> array[int]:
    utc = column.dt.tz_convert("UTC").dt.tz_localize(None)
    return array("q", utc.astype("datetime64[us]").astype("int64").tolist())


def build_weekmask(calendar: str, through: str) -> bytes:
    """Return a snapshot of `calendar` with its usual weekdays and hours, and no holidays at all.

    For calendars that `build` cannot make, where the configuration asks for this.
    """
    name = canonical(calendar)
    factory = exchange_calendars.calendar_utils.global_calendar_dispatcher._calendar_factories[name]  # noqa: SLF001
    plain = object.__new__(factory)  # its hours are known without the days that cannot be made
    table = weekmask_table(
        CalendarDefinition(
            name=name,
            zone=str(plain.tz),
            weekdays=tuple(at for at, mark in enumerate(plain.weekmask) if mark == "1"),
            open=_clock(plain.open_times),
            close=_clock(plain.close_times),
        ),
        FIRST_LABEL,
        date.fromisoformat(through),
    )
    return encode(sealed(replace(table, library=library_version())))


def _clock(times: Sequence[tuple[object, time]]) -> str:
    return times[-1][1].isoformat("minutes")


def library_version() -> str:
    """Return which library the sessions come from."""
    return f"exchange_calendars {version('exchange_calendars')}"
