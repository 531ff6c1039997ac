"""Local times of day as instants, quickly for many days. Pure: time zone rules are a value."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

from openbell.calendars.table import DAY_US, from_day
from openbell.sdk.values import to_us

_MINUTE_US = 60_000_000
_STEP_DAYS = 8


def minutes_of(clock: str) -> int:
    """Return the minutes after local midnight that `HH:MM` writes."""
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


class LocalTime:
    """Turns a day and minutes of it in one zone into an instant.

    A time that a clock change skips is shifted by the change; of one that comes twice the first
    is meant. Days without a change near them cost an addition.
    """

    def __init__(self, zone: str) -> None:
        self._zone = ZoneInfo(zone)
        self._steady: dict[int, int | None] = {}

    def instant_us(self, day: int, minutes: int) -> int:
        """Return microseconds since the epoch; `minutes` may lie outside the day."""
        offset_us = self._offset_us(day)
        if offset_us is not None:
            return day * DAY_US + minutes * _MINUTE_US - offset_us
        return self._exact_us(day, minutes)

    def _offset_us(self, day: int) -> int | None:
        """Return the zone's offset around `day`, None where it changes nearby."""
        step = day // _STEP_DAYS
        if step not in self._steady:
            first = step * _STEP_DAYS
            marks = {
                self._noon_offset_us(first + shift)
                for shift in (-2, 2, _STEP_DAYS - 2, _STEP_DAYS + 2)
            }
            self._steady[step] = marks.pop() if len(marks) == 1 else None
        return self._steady[step]

    def _noon_offset_us(self, day: int) -> int:
        noon = datetime.combine(from_day(day), time(12))
        as_utc = to_us(noon.replace(tzinfo=UTC))
        return as_utc - to_us(noon.replace(tzinfo=self._zone).astimezone(UTC))

    def _exact_us(self, day: int, minutes: int) -> int:
        days, rest = divmod(minutes, 24 * 60)
        local = datetime.combine(from_day(day + days), time(rest // 60, rest % 60), self._zone)
        return to_us(local.astimezone(UTC))
