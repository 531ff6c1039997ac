"""Opening the database: settings as code, and what is refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import aiosqlite

from openbell.history.backup import check_pages
from openbell.history.errors import HistoryBusyError, HistoryDamagedError, HistoryRefusedError
from openbell.history.queries import Statements, load_queries
from openbell.history.schema import Migration, migrate
from openbell.history.writer import WriterConnection, primary_code

_C = TypeVar("_C", bound=sqlite3.Connection)

APPLICATION_ID = 0x6F62656C
"""`obel`, in the header of every history database (SQLite file format, offset 68)."""

CHECKED_BYTES = 16 * 1024 * 1024
"""A database up to this size is checked page by page after an unclean stop (about 20 ms).

A larger one is not when it is opened: whoever opened it asks for that when there is time.
"""

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether `error` says that the file is damaged, or no database at all."""
    return primary_code(error) in _DAMAGED


async def connect(open_database: Callable[[], _C]) -> tuple[_C, aiosqlite.Connection]:
    """Return what `open_database` opens in a thread of aiosqlite, and aiosqlite's side of it.

    When opening raises, aiosqlite would leave its thread behind, still to be told so; an empty
    connection takes the place of the refused one until the thread has ended.
    """
    opened: list[_C] = []
    refusals: list[HistoryRefusedError] = []

    def connector() -> sqlite3.Connection:
        try:
            opened.append(open_database())
        except HistoryRefusedError as error:
            refusals.append(error)
            return sqlite3.connect(":memory:")
        return opened[0]

    connection = await aiosqlite.Connection(connector, 64)
    if refusals:
        await connection.close()
        raise refusals[0]
    return opened[0], connection


def open_writer(
    path: Path, *, busy_timeout_s: float, migrations: Sequence[Migration]
) -> WriterConnection:
    """Return the writing connection to the database at `path`, made or migrated as needed.

    Raises HistoryRefusedError for a file that is damaged, foreign or of a newer version, and
    HistoryBusyError when another process keeps it locked.
    """
    with refusals(path, busy_timeout_s):
        was_unclean = _size_bytes(path.with_name(path.name + "-wal")) > 0
        db = sqlite3.connect(
            path,
            factory=WriterConnection,
            timeout=busy_timeout_s,
            isolation_level=None,
            cached_statements=256,
        )
        try:
            check_owner(db, path)
            db.is_unsure = was_unclean and _size_bytes(path) > CHECKED_BYTES
            if was_unclean and not db.is_unsure:
                check_pages(db, path)
            _settle(db)
            migrate(db, path, migrations)
        except BaseException:
            db.close()
            raise
        return db


def open_reader(path: Path, *, busy_timeout_s: float) -> sqlite3.Connection:
    """Return a connection that can only read."""
    with refusals(path, busy_timeout_s):
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=busy_timeout_s,
            isolation_level=None,
        )


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def check_owner(db: sqlite3.Connection, path: Path) -> None:
    """Raise HistoryRefusedError if the database at `path` is another application's."""
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    if application_id == APPLICATION_ID:
        return
    tables = Statements(db, load_queries()).run("table_names", {}).fetchall()
    if application_id != 0 or tables:
        names = ", ".join(name for (name,) in tables[:3])
        reason = (
            f"belongs to another application (id {application_id:#x}; tables: {names or 'none'})"
        )
        raise HistoryRefusedError(path, reason)


def _settle(db: sqlite3.Connection) -> None:
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    if application_id == 0:
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA journal_size_limit = 67108864")
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute("BEGIN IMMEDIATE")  # a lock that somebody keeps shows now, not at the first record
    db.execute("ROLLBACK")


@contextmanager
def refusals(path: Path, busy_timeout_s: float) -> Iterator[None]:
    """Raise what goes wrong inside the block as HistoryRefusedError about `path`."""
    try:
        yield
    except OSError as error:
        raise HistoryRefusedError(
            path, f"cannot be opened ({error})", names_backup=False
        ) from error
    except sqlite3.Error as error:
        if primary_code(error) in _BUSY:
            raise HistoryBusyError(path, busy_timeout_s) from error
        if is_damage(error):
            raise HistoryDamagedError(path, str(error)) from error
        raise HistoryRefusedError(
            path, f"cannot be opened ({error})", names_backup=False
        ) from error
