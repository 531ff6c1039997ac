"""A fire: one due moment of a schedule, unique for ever. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Fire:
    """A due moment; everything but `at` (aware UTC) is its identity.

    `session` is the label that it belongs to, or None for `cron`, `every` and `at`, whose `index`
    then tells fires apart: seconds since 1970, the step's number, 0. Otherwise `index` counts the
    fires of one session from 0.
    """

    fingerprint: str
    session: date | None
    event: str
    index: int
    at: datetime

    @property
    def identity(self) -> str:
        """The same text for the same fire, on every machine and for ever."""
        session = self.session.isoformat() if self.session else "-"
        return f"{self.fingerprint}/{session}/{self.event}/{self.index}"


def jitter(fire: Fire, most: timedelta) -> timedelta:
    """Return how much later to run a fire: from nothing to `most`, always the same for one fire."""
    digest = hashlib.sha256(fire.identity.encode()).digest()
    return most * (int.from_bytes(digest[:8], "big") / 2**64)
