"""A `CalendarTable` as bytes: a line of JSON, then the arrays as little-endian 64-bit integers."""

from __future__ import annotations

import json
import sys
from array import array

from openbell.calendars.table import CalendarTable, columns, content_digest

FORMAT = 2
COLUMN_COUNT = 8
_FIELDS = ("calendar", "zone", "library", "first_day", "last_day", "is_bounded", "digest")


class SnapshotError(Exception):
    """These bytes are no snapshot, or not one that this version reads, or they were damaged."""


def encode(table: CalendarTable) -> bytes:
    """Return `table`, which has no named events, as bytes that `decode` reads on any machine."""
    head = {name: getattr(table, name) for name in _FIELDS}
    head |= {"format": FORMAT, "lengths": [len(column) for column in columns(table)]}
    body = b"".join(_little_endian(column).tobytes() for column in columns(table))
    return json.dumps(head, sort_keys=True).encode() + b"\n" + body


def decode(content: bytes) -> CalendarTable:
    """Return the table that `encode` wrote; raises SnapshotError when anything is off."""
    line, newline, body = content.partition(b"\n")
    try:
        head = json.loads(line)
        if head["format"] != FORMAT or not newline:
            raise SnapshotError("the snapshot has another format")
        lengths = [int(length) for length in head["lengths"]]
        fields = {name: head[name] for name in _FIELDS}
    except (ValueError, TypeError, KeyError) as error:
        raise SnapshotError(f"the snapshot's head cannot be read: {error}") from error
    if len(lengths) != COLUMN_COUNT or min(lengths) < 0 or sum(lengths) * 8 != len(body):
        raise SnapshotError("the snapshot is cut off")
    arrays: list[array[int]] = []
    start = 0
    for length in lengths:
        column = array("q")
        column.frombytes(body[start : start + 8 * length])
        arrays.append(_little_endian(column))
        start += 8 * length
    table = CalendarTable(
        **fields,
        days=arrays[0],
        opens_us=arrays[1],
        closes_us=arrays[2],
        break_indices=arrays[3],
        break_starts_us=arrays[4],
        break_ends_us=arrays[5],
        early_indices=arrays[6],
        late_indices=arrays[7],
    )
    if content_digest(table) != table.digest:
        raise SnapshotError("the snapshot's digest does not fit its content")
    return table


def _little_endian(column: array[int]) -> array[int]:
    if sys.byteorder == "little":
        return column
    swapped = array("q", column)
    swapped.byteswap()
    return swapped
