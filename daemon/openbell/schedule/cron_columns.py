"""The plain forms of cron's columns, read here because that is ten times faster. Pure.

Plain is `*`, a number, a range, a step over everything or over a range, and lists of these. Everything
else, and everything that is wrong, is croniter's to read; tests hold both to the same answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

Column = Sequence[int | str]

_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6), (0, 59))
_DAY, _WEEKDAY = 2, 4
_PART = re.compile(r"(?:\*|([0-9]{1,2})-([0-9]{1,2}))/([0-9]{1,2})|([0-9]{1,2})(?:-([0-9]{1,2}))?")


def plain_columns(text: str) -> list[Column] | None:
    """Return what croniter expands an expression of five or six fields to, None if it is not plain.

    A column is `["*"]` or the numbers in it, ascending.
    """
    fields = text.split()
    columns: list[Column] = []
    for place, field in enumerate(fields):
        numbers = None if field == "*" else _numbers(field, *_BOUNDS[place])
        if numbers is None and field != "*":
            return None
        is_all = numbers is None or _is_every(place, numbers, fields)
        columns.append(["*"] if numbers is None or is_all else numbers)
    return columns


def _numbers(field: str, low: int, high: int) -> list[int] | None:
    found: set[int] = set()
    for part in field.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            return None
        start, end, step, alone, last = match.groups()
        first = int(alone or start or low)
        final = int(last or end or alone or high)
        stride = int(step or 1)
        is_range = alone is None or last is not None
        if stride == 0 or first < low or final > high or (is_range and first >= final):
            return None
        found.update(range(first, final + 1, stride))
    return sorted(found)


def _is_every(place: int, numbers: list[int], fields: list[str]) -> bool:
    """Return whether a full list counts as `*`: of days and weekdays only beside a star."""
    low, high = _BOUNDS[place]
    if len(numbers) <= high - low:
        return False
    other = {_DAY: _WEEKDAY, _WEEKDAY: _DAY}.get(place)
    return other is None or "*" in fields[other]
