"""Corrections of calendars, as far as they may bring fires into the past."""

from __future__ import annotations

from datetime import datetime, timedelta

from openbell.supervisor.services import Services

LOOK_BACK = timedelta(days=7)
"""How far back a change of a calendar still makes fires."""


async def has_fresh_overlays(services: Services, now: datetime) -> bool:
    """Return whether a correction may have brought a fire into the past that nobody looked for."""
    since = now - LOOK_BACK
    if any(overlay.session >= since.date() for overlay in services.deployment.overlays):
        return True
    return any(
        record.overlay.session >= since.date()
        or max(record.added_at, record.removed_at or record.added_at) >= since
        for record in await services.history.overlays()
    )
