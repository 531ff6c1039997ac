"""What was accepted and what became of it, in one SQLite file: the only place with SQL."""

from __future__ import annotations

from openbell.history.errors import (
    HistoryBusyError,
    HistoryDamagedError,
    HistoryRefusedError,
    HistoryWriteError,
)
from openbell.history.store import HistoryStore

__all__ = [
    "HistoryBusyError",
    "HistoryDamagedError",
    "HistoryRefusedError",
    "HistoryStore",
    "HistoryWriteError",
]
