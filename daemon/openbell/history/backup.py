"""Copies of the database, made while it is in use."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from openbell.history.errors import PARTIAL, HistoryDamagedError

_STAMP = "%Y%m%dT%H%M%SZ"


def copy_database(db: sqlite3.Connection, target: Path, *, source: Path) -> None:
    """Write a whole, checked copy of `db` to `target`, durable and replaced at once.

    Raises HistoryDamagedError about `source` if the copy does not hold together; `target` then
    stays as it was.
    """
    for left in target.parent.glob(f"{source.name}.backup-*{PARTIAL}*"):
        left.unlink(missing_ok=True)  # of a copy that was killed
    partial = target.with_name(target.name + PARTIAL)
    try:
        with closing(sqlite3.connect(partial, isolation_level=None)) as copy:
            db.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            check_pages(copy, source)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(target.parent)


def check_pages(db: sqlite3.Connection, path: Path) -> None:
    """Raise HistoryDamagedError about `path` if the pages of `db` do not hold together."""
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise HistoryDamagedError(path, verdict)


def daily_backup(db: sqlite3.Connection, path: Path, *, now: datetime, keep: int) -> Path:
    """Copy the database at `path` to a name with the instant `now`; keep the newest `keep` copies.

    Copies made before a migration have other names and are left alone.
    """
    target = path.with_name(f"{path.name}.backup-{now.astimezone(UTC).strftime(_STAMP)}")
    copy_database(db, target, source=path)
    copies = sorted(path.parent.glob(f"{path.name}.backup-????????T??????Z"))
    for old in copies[: -max(1, keep)]:
        old.unlink(missing_ok=True)
    return target


def is_due(path: Path, *, now: datetime) -> bool:
    """Return whether the newest daily copy of the database at `path` is a day old, or missing."""
    names = [copy.name for copy in path.parent.glob(f"{path.name}.backup-????????T??????Z")]
    day_ago = (now.astimezone(UTC) - timedelta(days=1)).strftime(_STAMP)
    return max(names, default="") <= f"{path.name}.backup-{day_ago}"


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
