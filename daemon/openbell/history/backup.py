"""Copies of the database, made while it is in use."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from openbell.history.errors import PARTIAL, HistoryDamagedError

_STAMP = "%Y%m%dT%H%M%SZ"


PAGES_A_STEP = 1000
_INSTRUCTIONS_A_LOOK = 100_000


def _go_on() -> None:
    """Never ask for an end."""


def copy_database(
    db: sqlite3.Connection, target: Path, *, source: Path, look: Callable[[], None] = _go_on
) -> None:
    """Write a whole, checked copy of `db` to `target`, durable and replaced at once.

    `look` is called now and then; what it raises ends the copy, and `target` stays as it was.
    Raises HistoryDamagedError about `source` if the copy does not hold together; `target` then
    stays as it was too.
    """
    for left in target.parent.glob(f"{source.name}.backup-*{PARTIAL}*"):
        left.unlink(missing_ok=True)  # of a copy that was killed
    partial = target.with_name(target.name + PARTIAL)
    try:
        with closing(sqlite3.connect(partial, isolation_level=None)) as copy:
            db.execute("BEGIN")  # one state for all steps: others go on writing meanwhile
            db.execute("PRAGMA schema_version").fetchone()
            db.backup(copy, pages=PAGES_A_STEP, progress=lambda *_: look())
            copy.execute("PRAGMA journal_mode = DELETE")
            check_pages(copy, source, look=look)
        partial.replace(target)
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
        partial.unlink(missing_ok=True)
    _sync_folder(target.parent)


def check_pages(db: sqlite3.Connection, path: Path, *, look: Callable[[], None] = _go_on) -> None:
    """Raise HistoryDamagedError about `path` if the pages of `db` do not hold together.

    What `look` raises ends the check.
    """
    db.set_progress_handler(look, _INSTRUCTIONS_A_LOOK)
    try:
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:
        look()  # it may be what interrupted the check
        raise
    finally:
        db.set_progress_handler(None, 0)
    if verdict != "ok":
        raise HistoryDamagedError(path, verdict)


def daily_backup(
    db: sqlite3.Connection, path: Path, *, now: datetime, keep: int, look: Callable[[], None]
) -> Path:
    """Copy the database at `path` to a name with the instant `now`; keep the newest `keep` copies.

    What `look` raises ends the copy.
    Copies made before a migration have other names and are left alone.
    """
    target = path.with_name(f"{path.name}.backup-{now.astimezone(UTC).strftime(_STAMP)}")
    copy_database(db, target, source=path, look=look)
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
