"""What happened in a rehearsal, as lines in order of time, and their digest."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec

_CHUNK_BYTES = 256 * 1024


class Timeline:
    """Lines of JSON, each an end of a run or a fire that began none; kept packed.

    Lines of one instant are put in order by what they say, so that it does not matter which of
    two things happened first when both happened at once.
    """

    def __init__(self) -> None:
        self._hash = sha256()
        self._at: datetime | None = None
        self._now: list[bytes] = []
        self._open: list[bytes] = []
        self._open_bytes = 0
        self._packed: list[bytes] = []
        self.line_count = 0

    def add(self, at: datetime, entry: dict[str, Any]) -> None:
        """Add what happened at an instant, which is none before the last one."""
        if at != self._at:
            self._settle()
            self._at = at
        self._now.append(msgspec.json.encode(entry))

    def close(self) -> str:
        """Return the digest of all lines: SHA-256 of what `lines` gives, each with a line feed."""
        self._settle()
        self._pack()
        return self._hash.hexdigest()

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of a timeline that is closed."""
        for packed in self._packed:
            yield from zlib.decompress(packed).splitlines()

    def entries(self) -> Iterator[Any]:
        """Yield what the lines say."""
        return map(msgspec.json.decode, self.lines())

    def _settle(self) -> None:
        """Put the lines of one instant in order and take them in."""
        self._now.sort()
        for line in self._now:
            whole = line + b"\n"
            self._hash.update(whole)
            self._open.append(whole)
            self._open_bytes += len(whole)
        self.line_count += len(self._now)
        self._now.clear()
        if self._open_bytes > _CHUNK_BYTES:
            self._pack()

    def _pack(self) -> None:
        if self._open:
            self._packed.append(zlib.compress(b"".join(self._open), 1))
            self._open.clear()
            self._open_bytes = 0
