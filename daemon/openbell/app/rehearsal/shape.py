"""What an attempt would have to do: rows by its sessions, requests by its rows. Pure."""

from __future__ import annotations

from functools import lru_cache

from openbell.execution.protocol import DatasetTask
from openbell.sdk.values import BarWidth, SessionTable

REQUEST_S = 0.2
"""How long one request to a vendor takes in a rehearsal that says nothing else."""

ROWS_PER_S = 500_000
"""How many rows a node works through in a second, when nothing else is said."""

_US = 1_000_000


def row_count(dataset: DatasetTask) -> int:
    """Return the rows of a complete fetch: a bar for each symbol and step of the sessions."""
    return len(dataset.symbols) * _bars(dataset.sessions, dataset.bar_interval)


def request_count(dataset: DatasetTask, rows: int) -> int:
    """Return how many pages are asked for; the last one says that nothing follows."""
    return -(-rows // dataset.batch_rows) + 1


@lru_cache(maxsize=4096)
def _bars(sessions: SessionTable, bar_interval: str) -> int:
    bar = BarWidth.parse(bar_interval)
    if bar.is_daily:
        return len(sessions)
    open_us = sum(sessions.closes_us) - sum(sessions.opens_us)
    open_us -= sum(end - start for _, start, end in sessions.breaks)
    return open_us // (bar.width_s * _US)
