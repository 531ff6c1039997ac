"""Group commit: everything that waits becomes one transaction, and one fsync.

aiosqlite costs a hop to its thread for every call, so a whole group is one call: `commit` of the
writing connection first applies what waits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

import anyio
from typing_extensions import override

from openbell.history.batch import Batch, UnsureError
from openbell.history.queries import Statements, load_queries
from openbell.model.events import Event
from openbell.model.history import RecordRefusedError
from openbell.model.runs import IllegalStepError

_PRIMARY_CODE = 0xFF

REFUSALS = (
    RecordRefusedError,
    IllegalStepError,
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)
"""What is wrong with one caller's change, and of no concern to the others of its group."""


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code (sqlite.org/rescode.html), 0 for none."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & _PRIMARY_CODE


@dataclass(slots=True, kw_only=True, eq=False)
class Change:
    """What one caller wants: `events` recorded, or else what `apply` does.

    `error` or `value` is set once `settled` is. `apply` may be called again after it was undone.
    """

    events: Sequence[Event] = ()
    apply: Callable[[Statements], Any] | None = None
    settled: anyio.Event = field(default_factory=anyio.Event)
    value: Any = None
    error: Exception | None = None


class WriterConnection(sqlite3.Connection):
    """The one connection that writes. Put changes into `group`, then `commit`."""

    group: Sequence[Change] = ()
    is_unsure: bool = False
    """Whether an unclean stop was before, and nobody looked through the pages since."""

    @cached_property
    def statements(self) -> Statements:
        """The named blocks, on this connection."""
        return Statements(self, load_queries())

    @override
    def commit(self) -> None:
        """Apply `group` in one transaction; on return each change has its value or its error.

        A refused change is undone alone. When the disk refuses the transaction each change is
        tried again in its own, so that one that is too large does not stop the others.
        """
        group, self.group = self.group, ()
        try:
            self._apply(group)
        except sqlite3.Error as error:
            if len(group) == 1 or primary_code(error) == sqlite3.SQLITE_BUSY:
                _fail(group, error)
                return
            for change in group:
                try:
                    self._apply((change,))
                except sqlite3.Error as lone_error:
                    _fail((change,), lone_error)

    def _apply(self, group: Sequence[Change]) -> None:
        """Apply `group` as one, as if nothing were refused; if something is, one by one."""
        try:
            with self._transaction():
                self._apply_together(group)
        except (*REFUSALS, UnsureError):
            with self._transaction():
                for change in group:
                    self._apply_alone(change)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self.in_transaction:
                self.execute("ROLLBACK")
            raise

    def _apply_together(self, group: Sequence[Change]) -> None:
        batch = Batch(self.statements, one_by_one=False)
        for change in group:
            change.error = None
            if change.apply is None:
                for event in change.events:
                    batch.add(event)
            else:
                batch.flush()
                change.value = change.apply(self.statements)
        stored = iter(batch.finish())
        for change in group:
            if change.apply is None:
                change.value = tuple(islice(stored, len(change.events)))

    def _apply_alone(self, change: Change) -> None:
        change.error = None
        self.execute("SAVEPOINT change")
        try:
            if change.apply is None:
                batch = Batch(self.statements, one_by_one=True)
                for event in change.events:
                    batch.add(event)
                change.value = tuple(batch.finish())
            else:
                change.value = change.apply(self.statements)
        except REFUSALS as error:
            change.error = error
            self.execute("ROLLBACK TO change")
        self.execute("RELEASE change")


def _fail(group: Sequence[Change], error: Exception) -> None:
    for change in group:
        change.value, change.error = None, error
