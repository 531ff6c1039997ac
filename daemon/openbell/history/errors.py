"""What can be wrong with the history database, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from openbell.sdk.errors import FatalError, OpenbellError, RetryableError

PARTIAL = ".partial"
"""How the name of a copy ends that is still being written."""


def newest_backup(path: Path) -> Path | None:
    """Return the newest backup beside the database at `path`, or None."""
    copies = path.parent.glob(f"{path.name}.backup-*")
    backups = [copy for copy in copies if copy.suffix != PARTIAL]
    return max(backups, key=lambda backup: backup.stat().st_mtime_ns, default=None)


def _advice(path: Path) -> str:
    backup = newest_backup(path)
    if backup is None:
        return "there is no backup beside it; move it away to begin with an empty history"
    return (
        f"the newest backup is {backup}; to go back to it, stop openbell, copy it over the database "
        f"and remove {path.name}-wal and {path.name}-shm"
    )


class HistoryRefusedError(FatalError):
    """The file at `path` cannot serve as history; the message says why and names the backup.

    `needs_a_person` tells that starting again does not help: somebody must choose what to do.
    """

    kind: ClassVar[str] = "history_refused"

    def __init__(self, path: Path, reason: str, *, names_backup: bool = True) -> None:
        advice = f": {_advice(path)}" if names_backup else ""
        super().__init__(f"history database {path} {reason}{advice}")
        self.path = path
        self.reason = reason
        self.needs_a_person = names_backup


class HistoryBusyError(HistoryRefusedError):
    """Another process keeps the database at `path` locked."""

    def __init__(self, path: Path, waited_s: float) -> None:
        super().__init__(
            path,
            f"is locked by another process (waited {waited_s:g} s); close whatever has it open",
            names_backup=False,
        )


class HistoryDamagedError(HistoryRefusedError):
    """The database at `path` turned out to be damaged while it was in use."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, f"is damaged ({reason})")


class HistoryWriteError(RetryableError):
    """The disk took nothing of this call; once it does again the same call succeeds."""

    kind: ClassVar[str] = "history_write"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"history database {path} cannot be written: {reason}", retry_after_s=5.0)
        self.path = path
        self.reason = reason


class HistoryReadError(RetryableError):
    """The database gave no answer this time: the disk is failing, or somebody keeps a lock."""

    kind: ClassVar[str] = "history_read"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"history database {path} cannot be read: {reason}", retry_after_s=5.0)
        self.path = path
        self.reason = reason


HISTORY_TROUBLE = (HistoryReadError, HistoryWriteError)
"""Trouble of the disk that passes, and that is of no concern to whatever was being recorded."""


class HistoryClosedError(OpenbellError):
    """History was closed; what waited may or may not have been recorded, never half."""

    kind: ClassVar[str] = "history_closed"

    def __init__(self, path: Path) -> None:
        super().__init__(f"history database {path} is closed")
        self.path = path
