"""The files that make up a table at one moment, and where in time and series each has rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

_WIDE = -(1 << 62)
_MOST_BUCKETS = 64
BUCKET_US: Mapping[str, int] = {
    "day": 3_600_000_000,
    "month": 86_400_000_000,
    "year": 30 * 86_400_000_000,
    "decade": 365 * 86_400_000_000,
}


@dataclass(frozen=True, slots=True)
class Group:
    """One row group: its period, rows, and the box of series and instants it covers."""

    period: str
    row_count: int
    min_series: str
    max_series: str
    min_ts: int
    max_ts: int


@dataclass(frozen=True)
class FileEntry:
    """A file of the table. `level` is 0 (L0) or 1 (base); base files have one `period`.

    Rows of equal `ingested_at` are decided by `content_seq`. `removed_seq` is when it was
    superseded. `folded` files hold no new knowledge.
    """

    path: str
    level: int
    period: str
    row_count: int
    size_bytes: int
    min_ts: int
    max_ts: int
    min_series: str
    max_series: str
    groups_json: str
    stats: str
    content_seq: int = 0
    added_seq: int = 0
    removed_seq: int | None = None
    folded: bool = False
    id: int = 0

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The file's row groups, in order."""
        return tuple(Group(*raw) for raw in json.loads(self.groups_json))


class Snapshot:
    """The files of the table at `seq`, found quickly by time (buckets of `bucket_us`)."""

    def __init__(self, bucket_us: int) -> None:
        self.seq = 0
        self.files: dict[int, FileEntry] = {}
        self._bucket_us = bucket_us
        self._buckets: dict[int, dict[int, FileEntry]] = {}

    def add(self, entry: FileEntry) -> None:
        """Take `entry` in."""
        self.files[entry.id] = entry
        for bucket in self._places(entry.min_ts, entry.max_ts):
            self._buckets.setdefault(bucket, {})[entry.id] = entry

    def drop(self, number: int) -> None:
        """Take the file with this id out, if it is in."""
        entry = self.files.pop(number, None)
        if entry is not None:
            for bucket in self._places(entry.min_ts, entry.max_ts):
                del self._buckets[bucket][number]

    def overlapping(self, low_us: int, high_us: int, first: str, last: str) -> list[FileEntry]:
        """Return the files that may hold rows in a box of instants and series, oldest first."""
        found: dict[int, FileEntry] = {}
        places = self._places(low_us, high_us)
        nearby = self._buckets.values() if places[0] == _WIDE else self._near(places)
        for bucket in nearby:
            found |= {
                number: entry
                for number, entry in bucket.items()
                if entry.min_ts <= high_us
                and entry.max_ts >= low_us
                and entry.min_series <= last
                and entry.max_series >= first
            }
        return sorted(found.values(), key=lambda entry: (entry.content_seq, entry.id))

    def _near(self, places: Sequence[int]) -> list[dict[int, FileEntry]]:
        return [self._buckets[b] for b in (*places, _WIDE) if b in self._buckets]

    def _places(self, low_us: int, high_us: int) -> Sequence[int]:
        first, last = low_us // self._bucket_us, high_us // self._bucket_us
        return range(first, last + 1) if last - first < _MOST_BUCKETS else (_WIDE,)
