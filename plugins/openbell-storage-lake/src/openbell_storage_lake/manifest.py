"""The manifest: a SQLite database that decides which files make up a table.

One transaction makes a commit visible; the Delta log follows it (`delta.py`).
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from openbell.sdk.values import Interval, Receipt, from_us, to_us
from openbell_storage_lake.snapshot import BUCKET_US, FileEntry, Snapshot

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    format INTEGER NOT NULL,
    spec TEXT NOT NULL,
    spec_version INTEGER NOT NULL,
    kind TEXT NOT NULL,
    seq INTEGER NOT NULL,
    version INTEGER NOT NULL,
    published_seq INTEGER NOT NULL,
    published_spec INTEGER NOT NULL,
    horizon_seq INTEGER NOT NULL,
    row_count INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    level INTEGER NOT NULL,
    period TEXT NOT NULL,
    row_count INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    min_ts INTEGER NOT NULL,
    max_ts INTEGER NOT NULL,
    min_series TEXT NOT NULL,
    max_series TEXT NOT NULL,
    content_seq INTEGER NOT NULL,
    added_seq INTEGER NOT NULL,
    removed_seq INTEGER,
    folded INTEGER NOT NULL,
    groups TEXT NOT NULL,
    stats TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS files_added ON files (added_seq);
CREATE INDEX IF NOT EXISTS files_removed ON files (removed_seq);
CREATE TABLE IF NOT EXISTS receipts (
    key TEXT PRIMARY KEY,
    start_us INTEGER NOT NULL,
    end_us INTEGER NOT NULL,
    row_count INTEGER NOT NULL,
    written_count INTEGER NOT NULL,
    unchanged_count INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    digest TEXT NOT NULL,
    version INTEGER NOT NULL,
    committed_at_us INTEGER NOT NULL,
    run_id TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS receipts_version ON receipts (version);
CREATE TABLE IF NOT EXISTS versions (
    seq INTEGER PRIMARY KEY,
    at_us INTEGER NOT NULL
) STRICT;
"""
_FILE_COLUMNS = (
    "id, path, level, period, row_count, size_bytes, min_ts, max_ts, min_series, max_series, "
    "content_seq, added_seq, removed_seq, folded, groups, stats"
)
_LIVE = f"SELECT {_FILE_COLUMNS} FROM files WHERE added_seq > ? AND removed_seq IS NULL"  # noqa: S608 - a constant list of columns
_AT = f"SELECT {_FILE_COLUMNS} FROM files WHERE added_seq <= ? AND (removed_seq IS NULL OR removed_seq > ?)"  # noqa: S608 - a constant list of columns
_INSERT = f"INSERT INTO files ({_FILE_COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?)"  # noqa: S608 - a constant list of columns
_BASE_CHANGES = (
    f"SELECT {_FILE_COLUMNS} FROM files WHERE level = 1 AND (added_seq > ? OR removed_seq > ?)"  # noqa: S608 - a constant list of columns
)
_SUPERSEDED = """
SELECT id, path, removed_seq FROM files
WHERE removed_seq <= (SELECT max(seq) FROM versions WHERE at_us <= ?) AND removed_seq <= ?
"""
_CONFLICT = """
SELECT 1 FROM files WHERE added_seq > ? AND folded = 0
AND min_ts <= ? AND max_ts >= ? AND min_series <= ? AND max_series >= ? LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Meta:
    """The manifest's one row about the whole table."""

    spec: str
    spec_version: int
    kind: str
    seq: int
    version: int
    published_seq: int
    published_spec: int
    horizon_seq: int
    row_count: int


class Manifest:
    """The database of one table. Not safe for several threads at once: the table locks."""

    def __init__(self, path: Path, *, busy_timeout_s: float) -> None:
        self._db = sqlite3.connect(
            path, isolation_level=None, timeout=busy_timeout_s, check_same_thread=False
        )
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error:
            self._db.close()
            raise
        self._snapshot: Snapshot | None = None

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def create(self, *, spec: str, kind: str) -> None:
        """Make the tables, unless they are there."""
        self._db.executescript(_SCHEMA)
        self._db.execute(
            "INSERT OR IGNORE INTO meta VALUES (1, 1, ?, 1, ?, 0, 0, 0, 1, 0, 0)", (spec, kind)
        )

    def is_made(self) -> bool:
        """Return whether `create` was done."""
        found = self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone()
        return found is not None and self._db.execute("SELECT 1 FROM meta").fetchone() is not None

    def meta(self) -> Meta:
        """Return the row about the whole table."""
        row = self._db.execute(
            "SELECT spec, spec_version, kind, seq, version, published_seq, published_spec, "
            "horizon_seq, row_count FROM meta"
        ).fetchone()
        return Meta(*row)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Transaction]:
        """Hold the write lock; what was done is durable after the block, or undone by an error."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield Transaction(self._db)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def snapshot(self) -> Snapshot:
        """Return the live files, one object that later calls bring up to date."""
        if self._snapshot is None:
            self._snapshot = Snapshot(BUCKET_US[self.meta().kind])
        known = self._snapshot
        if self._db.execute("SELECT seq FROM meta").fetchone()[0] == known.seq:
            return known
        own = not self._db.in_transaction
        if own:
            self._db.execute("BEGIN")
        try:
            seq = self._db.execute("SELECT seq FROM meta").fetchone()[0]
            gone = self._db.execute("SELECT id FROM files WHERE removed_seq > ?", (known.seq,))
            gone_ids = gone.fetchall()
            fresh = self._db.execute(_LIVE, (known.seq,)).fetchall()
        finally:
            if own:
                self._db.execute("COMMIT")
        for (number,) in gone_ids:
            known.drop(number)
        for row in fresh:
            known.add(_entry(row))
        known.seq = seq
        return known

    def at(self, instant_us: int) -> Snapshot | None:
        """Return the files as they were at an instant, None when that is too long ago."""
        row = self._db.execute("SELECT max(seq) FROM versions WHERE at_us <= ?", (instant_us,))
        seq = row.fetchone()[0] or 0
        meta = self.meta()
        if seq < meta.horizon_seq:
            return None
        then = Snapshot(BUCKET_US[meta.kind])
        then.seq = seq
        for found in self._db.execute(_AT, (seq, seq)):
            then.add(_entry(found))
        return then

    def base_changes(self, since_seq: int) -> tuple[list[FileEntry], list[FileEntry]]:
        """Return base files (added, removed) after `since_seq`, without those that came and went."""
        added, removed = [], []
        for row in self._db.execute(_BASE_CHANGES, (since_seq, since_seq)):
            entry = _entry(row)
            if entry.added_seq > since_seq:
                if entry.removed_seq is None:
                    added.append(entry)
            else:
                removed.append(entry)
        return added, removed

    def receipt(self, key: str, dataset: str) -> Receipt | None:
        """Return the receipt that was given for `key`."""
        row = self._db.execute("SELECT * FROM receipts WHERE key = ?", (key,)).fetchone()
        return None if row is None else _receipt(row, dataset)

    def receipts_since(self, version: int, dataset: str, *, limit: int) -> list[Receipt]:
        """Return the newest `limit` receipts of versions after `version`, newest first."""
        rows = self._db.execute(
            "SELECT * FROM receipts WHERE version > ? ORDER BY version DESC LIMIT ?",
            (version, limit),
        )
        return [_receipt(row, dataset) for row in rows]

    def superseded(self, before_us: int, published_seq: int) -> list[tuple[int, str, int]]:
        """Return (id, path, removed_seq) of files superseded before an instant."""
        return self._db.execute(_SUPERSEDED, (before_us, published_seq)).fetchall()

    def paths(self) -> set[str]:
        """Return every path that the manifest names, live or superseded."""
        return {path for (path,) in self._db.execute("SELECT path FROM files")}


class Transaction:
    """What can be done while the write lock is held."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def next_seq(self, at_us: int) -> tuple[int, int]:
        """Return a new state's (number, instant); instants always go forward."""
        (seq,) = self._db.execute("UPDATE meta SET seq = seq + 1 RETURNING seq").fetchone()
        (last,) = self._db.execute("SELECT max(at_us) FROM versions").fetchone()
        at_us = max(at_us, last + 1) if last is not None else at_us
        self._db.execute("INSERT INTO versions VALUES (?, ?)", (seq, at_us))
        return seq, at_us

    def has_conflict(self, since_seq: int, box: tuple[int, int, str, str]) -> bool:
        """Return whether anyone committed rows into (min_ts, max_ts, min, max series) since."""
        (horizon,) = self._db.execute("SELECT horizon_seq FROM meta").fetchone()
        if horizon > since_seq:
            return True
        low, high, first, last = box
        row = self._db.execute(_CONFLICT, (since_seq, high, low, last, first)).fetchone()
        return row is not None

    def add(self, entries: Iterable[FileEntry]) -> None:
        """Make `entries` part of the table."""
        self._db.executemany(_INSERT, [_row(entry) for entry in entries])

    def supersede(self, entries: Iterable[FileEntry], seq: int) -> bool:
        """Take `entries` out of the table; returns False if one had been taken out before."""
        for entry in entries:
            done = self._db.execute(
                "UPDATE files SET removed_seq = ? WHERE id = ? AND removed_seq IS NULL",
                (seq, entry.id),
            )
            if done.rowcount != 1:
                return False
        return True

    def grow(self, row_count: int) -> None:
        """Count rows whose keys are new."""
        self._db.execute("UPDATE meta SET row_count = row_count + ?", (row_count,))

    def keep(self, receipt: Receipt, run_id: str) -> None:
        """Store `receipt`, and its version as the newest if it is."""
        self._db.execute(
            "INSERT INTO receipts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                receipt.key,
                to_us(receipt.interval.start),
                to_us(receipt.interval.end),
                receipt.row_count,
                receipt.written_count,
                receipt.unchanged_count,
                receipt.size_bytes,
                receipt.digest,
                receipt.version,
                to_us(receipt.committed_at),
                run_id,
            ),
        )
        self._db.execute("UPDATE meta SET version = max(version, ?)", (receipt.version,))

    def set_published(self, seq: int, spec_version: int) -> None:
        """Remember that the Delta log shows state `seq` with schema `spec_version`."""
        self._db.execute(
            "UPDATE meta SET published_seq = ?, published_spec = ?", (seq, spec_version)
        )

    def set_spec(self, spec: str) -> int:
        """Replace the table's spec; returns its new number."""
        row = self._db.execute(
            "UPDATE meta SET spec = ?, spec_version = spec_version + 1 RETURNING spec_version",
            (spec,),
        ).fetchone()
        return int(row[0])

    def forget(self, files: Iterable[tuple[int, str, int]], receipts_before_us: int) -> None:
        """Drop superseded files and old receipts; `as_of` reaches back to what is left."""
        files = list(files)
        self._db.executemany("DELETE FROM files WHERE id = ?", [(f[0],) for f in files])
        horizon = max((f[2] for f in files), default=0)
        self._db.execute("UPDATE meta SET horizon_seq = max(horizon_seq, ?)", (horizon,))
        self._db.execute("DELETE FROM receipts WHERE committed_at_us < ?", (receipts_before_us,))
        self._db.execute(
            "DELETE FROM versions WHERE seq < (SELECT horizon_seq FROM meta) "
            "AND seq < (SELECT max(seq) FROM versions)"
        )


def placed(entry: FileEntry, *, added_seq: int, content_seq: int, folded: bool) -> FileEntry:
    """Return `entry` with its place in the table's history."""
    return replace(entry, added_seq=added_seq, content_seq=content_seq, folded=folded)


def _entry(row: tuple[Any, ...]) -> FileEntry:
    number, path, level, period, row_count, size_bytes, min_ts, max_ts, first, last, *rest = row
    content_seq, added_seq, removed_seq, folded, groups, stats = rest
    return FileEntry(
        path=path, level=level, period=period, row_count=row_count, size_bytes=size_bytes,
        min_ts=min_ts, max_ts=max_ts, min_series=first, max_series=last,
        groups_json=groups, stats=stats, content_seq=content_seq, added_seq=added_seq,
        removed_seq=removed_seq, folded=bool(folded), id=number,
    )  # fmt: skip


def _row(entry: FileEntry) -> tuple[Any, ...]:
    return (
        entry.path, entry.level, entry.period, entry.row_count, entry.size_bytes,
        entry.min_ts, entry.max_ts, entry.min_series, entry.max_series,
        entry.content_seq, entry.added_seq, int(entry.folded), entry.groups_json, entry.stats,
    )  # fmt: skip


def _receipt(row: tuple[Any, ...], dataset: str) -> Receipt:
    key, start_us, end_us, rows, written, unchanged, size, digest, version, at_us, _ = row
    return Receipt(
        key=key,
        dataset=dataset,
        interval=Interval(from_us(start_us), from_us(end_us)),
        row_count=rows,
        written_count=written,
        unchanged_count=unchanged,
        size_bytes=size,
        digest=digest,
        version=version,
        committed_at=from_us(at_us),
    )
