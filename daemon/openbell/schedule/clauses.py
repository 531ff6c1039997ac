"""The small parts that several forms of a schedule share: durations, clocks, zones, offsets. Pure."""

from __future__ import annotations

import re
from typing import cast

from openbell.schedule.durations import DURATION, MAX_US, duration_us
from openbell.schedule.grammar import DstPolicy, Duplicate, Missing
from openbell.schedule.scanner import Scanner
from openbell.schedule.zones import zone_named

_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?(?![0-9:])")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+\-]*(?:/[A-Za-z0-9_+\-]+)*")
_NUMBER = re.compile(r"[0-9]{1,9}")
_KEYWORDS = ("missing", "duplicate")
_MAX_SESSIONS = 1000
_DURATION_HINT = "write a number and a unit: 30s, 5m, 1h30m, 2d, 1w"


def duration(scanner: Scanner) -> int:
    """Read a duration of at least a second; raises ScheduleError."""
    start = scanner.position
    span_us = _any_duration(scanner)
    if span_us == 0:
        scanner.fail("a step of nothing", _DURATION_HINT, position=start)
    return span_us


def _any_duration(scanner: Scanner) -> int:
    start = scanner.position
    match = scanner.take(DURATION)
    if match is None:
        scanner.fail(f"{scanner.here()} is no duration", _DURATION_HINT)
    span_us = duration_us(match[0])
    if span_us > MAX_US:
        scanner.fail(f"{match[0]} is longer than 366d", position=start)
    return span_us


def offsets(scanner: Scanner) -> tuple[int, int]:
    """Read any number of `± n sessions` and `± duration`; return both sums."""
    shift, offset_us = session_offsets(scanner), 0
    while (sign := scanner.symbol("+", "-")) is not None:
        start = scanner.position
        sessions = _sessions(scanner)
        if sessions is not None:
            shift += sessions * (1 if sign == "+" else -1)
        else:
            offset_us += _any_duration(scanner) * (1 if sign == "+" else -1)
        _check_reach(scanner, start, shift, offset_us)
    return shift, offset_us


def session_offsets(scanner: Scanner) -> int:
    """Read any number of `± n sessions`, up to the first other offset; return their sum."""
    shift = 0
    while True:
        mark = scanner.position
        sign = scanner.symbol("+", "-")
        start = scanner.position
        sessions = None if sign is None else _sessions(scanner)
        if sessions is None:
            scanner.position = mark
            return shift
        shift += sessions * (1 if sign == "+" else -1)
        _check_reach(scanner, start, shift, 0)


def _sessions(scanner: Scanner) -> int | None:
    """Read `n sessions` and return the number, or read nothing."""
    mark = scanner.position
    number = scanner.take(_NUMBER)
    if number is not None and scanner.take_word("session", "sessions") is not None:
        return int(number[0])
    scanner.position = mark
    return None


def _check_reach(scanner: Scanner, start: int, shift: int, offset_us: int) -> None:
    if abs(shift) > _MAX_SESSIONS:
        scanner.fail(f"more than {_MAX_SESSIONS} sessions away", position=start)
    if abs(offset_us) > MAX_US:
        scanner.fail("more than 366d away", position=start)


def clock(scanner: Scanner) -> int:
    """Read a time of day and return its seconds; raises ScheduleError."""
    match = scanner.take(_CLOCK)
    if match is None:
        scanner.fail(f"{scanner.here()} is no time of day", "write HH:MM, such as 09:30")
    return int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3] or 0)


def zone(scanner: Scanner) -> str | None:
    """Read a time zone's name, or nothing; raises ScheduleError for one that does not exist."""
    if scanner.word() in _KEYWORDS:
        return None
    start = scanner.position
    match = scanner.take(_ZONE)
    if match is None:
        return None
    if zone_named(match[0]) is None:
        hint = "write a name of the tz database, such as America/New_York or UTC"
        scanner.fail(f"time zone {match[0]!r} is unknown", hint, position=start)
    return match[0]


def dst_policy(scanner: Scanner, default: DstPolicy) -> DstPolicy:
    """Read `missing shift|skip` and `duplicate first|last|both`, in any order; unsaid: `default`."""
    found: dict[str, str] = {}
    while (word := scanner.take_word(*_KEYWORDS)) is not None:
        choices = ("shift", "skip") if word == "missing" else ("first", "last", "both")
        found[word] = scanner.one_of(f"a policy for {word} local times", choices)
    return DstPolicy(
        missing=cast("Missing", found.get("missing", default.missing)),
        duplicate=cast("Duplicate", found.get("duplicate", default.duplicate)),
    )
