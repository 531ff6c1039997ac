"""A look at a history from outside, whether or not a daemon uses it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from openbell.history.backup import check_pages
from openbell.history.errors import newest_backup
from openbell.history.opening import check_owner, open_reader, refusals
from openbell.history.queries import Statements, load_queries
from openbell.history.schema import load_migrations

_BUSY_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFacts:
    """What a history is like: its schema and the newest that this openbell knows, sizes, a copy."""

    schema: int
    known_schema: int
    size_bytes: int
    log_bytes: int
    backup: Path | None


def inspect(path: Path) -> HistoryFacts:
    """Look through every page of the database at `path` and return what it is like.

    Takes seconds for each GB. Raises HistoryRefusedError for what is damaged or not ours.
    """
    with (
        refusals(path, _BUSY_TIMEOUT_S),
        closing(open_reader(path, busy_timeout_s=_BUSY_TIMEOUT_S)) as db,
    ):
        check_owner(db, path)
        check_pages(db, path)
        applied = Statements(db, load_queries()).run("applied_migrations", {}).fetchall()
    log = path.with_name(path.name + "-wal")
    return HistoryFacts(
        schema=len(applied),
        known_schema=len(load_migrations()),
        size_bytes=path.stat().st_size,
        log_bytes=log.stat().st_size if log.exists() else 0,
        backup=newest_backup(path),
    )
