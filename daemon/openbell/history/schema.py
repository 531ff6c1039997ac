"""Migrations: numbered, checksummed, forward only, each in one transaction, backup first."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from openbell.history.backup import copy_database
from openbell.history.errors import HistoryRefusedError
from openbell.history.queries import Statements, load_queries

_FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step of the schema; `checksum` is over its text."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Digest of the text, kept with the database when it is applied."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load_migrations() -> tuple[Migration, ...]:
    """Return the migrations of this version, in order."""
    found = sorted(
        (entry for entry in files("openbell.history").joinpath("migrations").iterdir()),
        key=lambda entry: entry.name,
    )
    return tuple(
        Migration(number=int(match[1]), name=entry.name, sql=entry.read_text(encoding="utf-8"))
        for entry in found
        if (match := _FILE_NAME.fullmatch(entry.name))
    )


def migrate(db: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> None:
    """Bring the database at `path` to the newest schema.

    An existing one is copied to `history.sqlite.backup-<its schema>` first. Raises
    HistoryRefusedError when an applied migration's text changed or the schema is newer than
    the code; then nothing was changed.
    """
    statements = Statements(db, load_queries())
    applied = _applied(statements)
    _check(applied, path, migrations)
    pending = [migration for migration in migrations if migration.number > len(applied)]
    if pending and applied:
        target = path.with_name(f"{path.name}.backup-{len(applied)}")
        copy_database(db, target, source=path)
    for migration in pending:
        _apply(db, statements, migration)


def _applied(statements: Statements) -> list[tuple[int, str, str]]:
    tables = {name for (name,) in statements.run("table_names", {})}
    if "schema_migrations" not in tables:
        return []
    return statements.run("applied_migrations", {}).fetchall()


def _check(
    applied: Sequence[tuple[int, str, str]], path: Path, migrations: Sequence[Migration]
) -> None:
    known = {migration.number: migration for migration in migrations}
    for number, name, checksum in applied:
        if number not in known:
            reason = f"has schema {number} ({name}), newer than the {len(known)} that this openbell knows"
            raise HistoryRefusedError(path, f"{reason}; use the openbell that wrote it")
        if known[number].checksum != checksum:
            reason = f"was made by another text of migration {name}, and a migration never changes"
            raise HistoryRefusedError(path, f"{reason}; use the openbell that wrote it")


def _apply(db: sqlite3.Connection, statements: Statements, migration: Migration) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        for statement in split_statements(migration.sql):
            db.execute(statement)
        row = {
            "number": migration.number,
            "name": migration.name,
            "checksum": migration.checksum,
        }
        statements.run("insert_migration", row)
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def split_statements(script: str) -> list[str]:
    """Return the statements of `script`; `executescript` would commit on its own."""
    statements: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending.strip())
            pending = ""
    return statements
