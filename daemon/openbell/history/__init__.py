"""What was accepted and what became of it, in one SQLite file: the only place with SQL."""

from __future__ import annotations

from openbell.history.errors import (
    HistoryBusyError,
    HistoryClosedError,
    HistoryDamagedError,
    HistoryRefusedError,
    HistoryWriteError,
)
from openbell.history.lock import LockInfo, StateDirError, StateInUseError, StateLock, serving
from openbell.history.store import HistoryStore

__all__ = [
    "HistoryBusyError",
    "HistoryClosedError",
    "HistoryDamagedError",
    "HistoryRefusedError",
    "HistoryStore",
    "HistoryWriteError",
    "LockInfo",
    "StateDirError",
    "StateInUseError",
    "StateLock",
    "serving",
]
