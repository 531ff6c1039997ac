"""Chance that depends on what it is asked about, and on nothing that happened before. Pure."""

from __future__ import annotations

from hashlib import sha256

_BITS = 53


def chance(seed: int, *about: object) -> float:
    """Return a number in [0, 1) that is the same for the same seed and subject, on any machine."""
    text = "\x1f".join([str(seed), *map(str, about)])
    number = int.from_bytes(sha256(text.encode()).digest()[:8], "big")
    return (number >> (64 - _BITS)) / (1 << _BITS)
