"""Identifiers: a prefix that says of what, then 26 characters that sort by time."""

from __future__ import annotations

from collections.abc import Callable
from typing import NewType

RunId = NewType("RunId", str)
JobId = NewType("JobId", str)
AttemptId = NewType("AttemptId", str)
LetterId = NewType("LetterId", str)

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

RandomBits = Callable[[int], int]
"""`random_bits(n)` returns an integer of n random bits."""


def sortable_id(prefix: str, now_us: int, random_bits: RandomBits) -> str:
    """Return `prefix_` and 26 characters of Crockford's base 32, later ids sorting later.

    48 bits of milliseconds since 1970 and 80 random bits, as in the ULID specification
    (github.com/ulid/spec); two ids of one millisecond sort by chance.
    """
    number = ((now_us // 1000) << 80) | random_bits(80)
    letters = [_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5)]
    return f"{prefix}_{''.join(letters)}"


class IdSource:
    """Makes ids from an injected source of chance and the instants it is given."""

    def __init__(self, random_bits: RandomBits) -> None:
        self._random_bits = random_bits

    def run(self, now_us: int) -> RunId:
        """Return a new run's id."""
        return RunId(sortable_id("run", now_us, self._random_bits))

    def job(self, now_us: int) -> JobId:
        """Return a new submission's id."""
        return JobId(sortable_id("job", now_us, self._random_bits))

    def attempt(self, now_us: int) -> AttemptId:
        """Return a new attempt's id."""
        return AttemptId(sortable_id("att", now_us, self._random_bits))

    def letter(self, now_us: int) -> LetterId:
        """Return a new dead letter's id."""
        return LetterId(sortable_id("let", now_us, self._random_bits))
