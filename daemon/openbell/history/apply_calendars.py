"""What events do to corrections of calendars."""

from __future__ import annotations

from typing import assert_never

from openbell.history.queries import Statements
from openbell.model import events as ev
from openbell.model.history import RecordRefusedError
from openbell.sdk.values import to_us


def change_overlay(db: Statements, event: ev.OverlayAdded | ev.OverlayRemoved) -> None:
    """Keep a correction, or note who took it back."""
    match event:
        case ev.OverlayAdded():
            db.run(
                "insert_overlay",
                {
                    "overlay_id": event.overlay_id,
                    "calendar": event.overlay.calendar,
                    "session": event.overlay.session.isoformat(),
                    "closed": int(event.overlay.closed),
                    "open_time": event.overlay.open_time,
                    "close_time": event.overlay.close_time,
                    "reason": event.overlay.reason,
                    "by": event.by,
                    "at_us": to_us(event.at),
                },
            )
        case ev.OverlayRemoved():
            row = {"overlay_id": event.overlay_id, "by": event.by, "at_us": to_us(event.at)}
            if db.run("remove_overlay", row).rowcount == 0:
                reason = f"there is no overlay {event.overlay_id!r} to remove"
                raise RecordRefusedError(event.name, reason)
        case _:
            assert_never(event)
