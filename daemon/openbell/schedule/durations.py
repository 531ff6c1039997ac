"""Durations and times of day, as text and as integers. Pure."""

from __future__ import annotations

import re

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
MAX_US = 366 * DAY_US
"""The longest duration that the language takes."""

_UNITS = {"w": 7 * 86_400, "d": 86_400, "h": 3600, "m": 60, "min": 60, "s": 1}
_PART = re.compile(r"([0-9]{1,9})(min|[wdhms])", re.IGNORECASE)
DURATION = re.compile(r"(?:[0-9]{1,9}(?:min|[wdhms]))+(?![A-Za-z0-9_])", re.IGNORECASE)


def duration_us(text: str) -> int:
    """Return microseconds of a text that DURATION matches, such as `1h30m`."""
    parts = _PART.findall(text)
    return sum(int(number) * _UNITS[unit.lower()] for number, unit in parts) * SECOND_US


def duration_text(span_us: int) -> str:
    """Return the shortest usual way to write a positive duration; `duration_us` reads it."""
    left_s = span_us // SECOND_US
    parts: list[str] = []
    for unit in ("d", "h", "m", "s"):
        count, left_s = divmod(left_s, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def clock_text(clock_s: int) -> str:
    """Return a time of day, given in seconds since midnight, as `HH:MM` or `HH:MM:SS`."""
    minutes, seconds = divmod(clock_s, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}" + (f":{seconds:02}" if seconds else "")
