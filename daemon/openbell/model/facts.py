"""What a run knows by itself: the names that `${...}` and commands find it under. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

SESSION_FACTS: Mapping[str, str] = MappingProxyType(
    {
        "session": "2026-01-02",
        "session_open": "2026-01-02T14:30:00Z",
        "session_close": "2026-01-02T21:00:00Z",
        "prev_session": "2025-12-31",
        "interval_start": "2026-01-02T14:30:00Z",
        "interval_end": "2026-01-02T21:00:00Z",
    }
)
"""Names, each with an example of what it may stand for."""

SINCE = "sessions_since"
"""`${sessions_since(x)}`: how many sessions after `x` there are up to the run's."""

_SINCE = re.compile(rf"{SINCE}\(([A-Za-z0-9_-]+)\)")


def since_argument(name: str) -> str | None:
    """Return what stands in the brackets of `sessions_since(x)`, or None: the name is another."""
    match = _SINCE.fullmatch(name)
    return None if match is None else match[1]


def is_reserved(name: str) -> bool:
    """Return whether no parameter of anybody's own may have this name."""
    return name in SESSION_FACTS or name == SINCE
