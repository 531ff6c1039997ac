"""Numbers of nodes over all their attempts. Pure."""

from __future__ import annotations

from openbell.model.runs import Totals


def added(before: Totals | None, now: Totals) -> Totals:
    """Return a node's numbers over all attempts: those before this attempt and its own."""
    if before is None:
        return now
    return Totals(
        rows_in=before.rows_in + now.rows_in,
        rows_out=before.rows_out + now.rows_out,
        rows_written=before.rows_written + now.rows_written,
        rows_unchanged=before.rows_unchanged + now.rows_unchanged,
        rows_quarantined=before.rows_quarantined + now.rows_quarantined,
        size_bytes=before.size_bytes + now.size_bytes,
        verdict=_worse(before.verdict, now.verdict),
    )


def _worse(one: str | None, other: str | None) -> str | None:
    order = [None, "pass", "warn", "quarantine", "fail"]
    return max(one, other, key=order.index)
