"""What corrections of calendars do to an in-memory history."""

from __future__ import annotations

from dataclasses import replace

from openbell.model import events as ev
from openbell.model.calendars import OverlayRecord
from openbell.model.history import RecordRefusedError
from openbell.testing.memory_tables import MISFIT, Tables


def add_overlay(tables: Tables, event: ev.OverlayAdded) -> None:
    """Keep a correction."""
    if event.overlay_id in tables.overlays:
        raise RecordRefusedError(event.name, MISFIT)
    record = OverlayRecord(
        overlay_id=event.overlay_id, overlay=event.overlay, added_at=event.at, added_by=event.by
    )
    tables.put(tables.overlays, event.overlay_id, record)


def remove_overlay(tables: Tables, event: ev.OverlayRemoved) -> None:
    """Take a correction back; it stays on record."""
    known = tables.overlays.get(event.overlay_id)
    if known is None or known.removed_at is not None:
        reason = f"there is no overlay {event.overlay_id!r} to remove"
        raise RecordRefusedError(event.name, reason)
    removed = replace(known, removed_at=event.at, removed_by=event.by)
    tables.put(tables.overlays, event.overlay_id, removed)
