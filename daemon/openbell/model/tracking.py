"""What is known of work while it waits or is under way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnWait:
    """A unit that waits for its turn: its place from 1, how long it waits, and for what."""

    run_id: str
    node: str
    pipeline: str
    priority: int
    position: int
    waited_s: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTrack:
    """How far a node under way came, and when its worker was last heard of."""

    rows: int = 0
    batches: int = 0
    total_rows: int | None = None
    heard_at: datetime
    cpu_s: float | None = None
    memory_bytes: int | None = None
    io_read_bytes: int | None = None
    io_written_bytes: int | None = None


def progress(
    track: NodeTrack | None, *, began_at: datetime, now: datetime, usual_s: float | None
) -> dict[str, Any]:
    """Return a running node's progress as plain values.

    `eta_s` follows from the rows where their number is known, else from `usual_s`, the median of
    what the node took before; `eta_from` says which. One that takes longer than usual has none.
    """
    spent_s = max(0.0, (now - began_at).total_seconds())
    share = None
    if track is not None and track.total_rows:
        share = min(1.0, track.rows / track.total_rows)
    eta_s, eta_from = None, None
    if share:
        eta_s, eta_from = spent_s * (1.0 - share) / share, "rows"
    elif usual_s is not None and usual_s > spent_s:
        eta_s, eta_from = usual_s - spent_s, "history"
    return {
        "rows": track.rows if track else 0,
        "batches": track.batches if track else 0,
        "total_rows": track.total_rows if track else None,
        "percent": None if share is None else round(100.0 * share, 1),
        "eta_s": None if eta_s is None else round(eta_s, 3),
        "eta_from": eta_from,
        "heartbeat_age_s": _age_s(track, now),
        "cpu_s": track.cpu_s if track else None,
        "memory_bytes": track.memory_bytes if track else None,
        "io_read_bytes": track.io_read_bytes if track else None,
        "io_written_bytes": track.io_written_bytes if track else None,
    }


def _age_s(track: NodeTrack | None, now: datetime) -> float | None:
    return None if track is None else round(max(0.0, (now - track.heard_at).total_seconds()), 3)
