"""The machine's own time zone, for showing."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo


def local_zone() -> tzinfo:
    """Return the time zone that this machine is set to."""
    return datetime.fromtimestamp(0, UTC).astimezone().tzinfo or UTC
