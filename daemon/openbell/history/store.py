"""History on disk: one writer task, group commit, readers beside it."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, closing
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

import aiosqlite
import anyio
import anyio.from_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from openbell.history.backup import check_pages, daily_backup, is_due
from openbell.history.connections import ABOVE_EVERY_ID, Readers, close_connection
from openbell.history.errors import HistoryClosedError, HistoryDamagedError, HistoryWriteError
from openbell.history.opening import connect, is_damage, open_reader, open_writer
from openbell.history.queries import Statements
from openbell.history.readers import Answers
from openbell.history.retention import Pruning
from openbell.history.schema import Migration, load_migrations
from openbell.history.writer import Change, WriterConnection
from openbell.model.events import Event, StoredEvent
from openbell.sdk.values import to_us

_T = TypeVar("_T")

QUEUE_LENGTH = 1024
"""How many callers may wait to be recorded; the next one waits before it queues."""

GROUP_LENGTH = 256
"""How many callers share one transaction at most."""


class HistoryStore(Answers):
    """`History` in the SQLite file at `path`, whose folder exists. An async context manager.

    Entering raises HistoryRefusedError for a file that cannot serve. Leaving waits for what is
    queued, then closes the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        busy_timeout_s: float = 5.0,
        migrations: Sequence[Migration] | None = None,
    ) -> None:
        self._readers = Readers(path, busy_timeout_s=busy_timeout_s)
        super().__init__(self._readers)
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._migrations = load_migrations() if migrations is None else migrations
        self._stack = AsyncExitStack()
        self._backup_limiter = anyio.CapacityLimiter(1)
        self._send: MemoryObjectSendStream[Change] | None = None
        self._is_unsure = False

    @property
    def path(self) -> Path:
        """The database file."""
        return self._path

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            core, connection = await connect(self._open)
            self._is_unsure = core.is_unsure
            stack.push_async_callback(close_connection, connection)
            await stack.enter_async_context(self._readers.opened())
            tasks = await stack.enter_async_context(anyio.create_task_group())
            self._send, inbox = anyio.create_memory_object_stream[Change](QUEUE_LENGTH)
            tasks.start_soon(self._write, core, connection, inbox, name="history writer")
            stack.callback(self._send.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, traceback)

    def _open(self) -> WriterConnection:
        return open_writer(
            self._path, busy_timeout_s=self._busy_timeout_s, migrations=self._migrations
        )

    async def record(self, *events: Event) -> tuple[StoredEvent, ...]:
        """See `History`. Cancelled while it waits: all of the events are recorded, or none.

        Raises HistoryWriteError, a RetryableError, when the disk is full or failing.
        """
        stored: tuple[StoredEvent, ...] = await self._settled(Change(events=events))
        return stored

    async def prune(self, *, before: datetime, keep_runs: int) -> int:
        """See `History`. Works in small transactions, so that records go on in between."""
        pruning = Pruning(before_us=to_us(before), oldest_kept=await self._oldest_kept(keep_runs))
        pruned_count = 0
        while not pruning.is_done:
            pruned_count += await self._change(pruning.step)
        return pruned_count

    async def _oldest_kept(self, keep_runs: int) -> str:
        """Return the oldest of the newest `keep_runs` runs; a reader counts, the writer goes on."""
        if keep_runs <= 0:
            return ABOVE_EVERY_ID
        row = {"skipped": keep_runs - 1}
        found = await self._readers.first("oldest_kept_run", row, lambda row: str(row[0]))
        return found or ""

    async def backup(self, *, now: datetime, keep: int = 3) -> Path:
        """Copy the database beside itself while it is in use and return the copy's path.

        The copy is checked; of those made here the newest `keep` stay. Raises HistoryDamagedError
        if the database does not hold together. Cancelled, it leaves no copy.
        """
        copy = await self._aside(partial(daily_backup, path=self._path, now=now, keep=keep))
        self._is_unsure = False
        return copy

    async def check_if_unsure(self) -> None:
        """Look through the pages of a database that an unclean stop left too large for that at once.

        Raises HistoryDamagedError if it does not hold together. Cancelled, it is as unsure as before.
        """
        if self._is_unsure:
            await self._aside(partial(check_pages, path=self._path))
            self._is_unsure = False

    async def _aside(self, work: Callable[..., _T]) -> _T:
        """Return what `work` does in a thread, with a connection of its own and a look at our end."""

        def whole() -> _T:
            with closing(open_reader(self._path, busy_timeout_s=self._busy_timeout_s)) as db:
                return work(db, look=anyio.from_thread.check_cancelled)

        try:
            return await anyio.to_thread.run_sync(whole, limiter=self._backup_limiter)
        except (sqlite3.Error, OSError) as error:
            self._raise(error)

    async def backup_if_due(self, *, now: datetime) -> None:
        """Make a copy as `backup` does, unless one of the last day is there."""
        if await anyio.to_thread.run_sync(
            partial(is_due, self._path, now=now), limiter=self._backup_limiter
        ):
            await self.backup(now=now)

    async def _change(self, apply: Callable[[Statements], _T]) -> _T:
        value: _T = await self._settled(Change(apply=apply))
        return value

    async def _settled(self, change: Change) -> Any:  # noqa: ANN401 - what the change gives
        """Return the value of `change` once it is on disk."""
        if self._send is None:
            raise HistoryClosedError(self._path)
        try:
            await self._send.send(change)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            raise HistoryClosedError(self._path) from None
        await change.settled.wait()
        if change.error is not None:
            self._raise(change.error)
        return change.value

    def _raise(self, error: Exception) -> NoReturn:
        match error:
            case sqlite3.Error() if is_damage(error):
                raise HistoryDamagedError(self._path, str(error)) from error
            case sqlite3.OperationalError() | OSError():
                raise HistoryWriteError(self._path, str(error)) from error
            case _:
                raise error

    async def _write(
        self,
        core: WriterConnection,
        connection: aiosqlite.Connection,
        inbox: MemoryObjectReceiveStream[Change],
    ) -> None:
        group: list[Change] = []
        with inbox:
            try:
                async for first in inbox:
                    group = [first, *_waiting(inbox, GROUP_LENGTH - 1)]
                    core.group = group
                    with anyio.CancelScope(shield=True):
                        await connection.commit()
                    for change in group:
                        change.settled.set()
                    group = []
            finally:
                for change in (*group, *_waiting(inbox, sys.maxsize)):
                    change.error = change.error or HistoryClosedError(self._path)
                    change.settled.set()


def _waiting(inbox: MemoryObjectReceiveStream[Change], limit: int) -> list[Change]:
    waiting: list[Change] = []
    while len(waiting) < limit:
        try:
            waiting.append(inbox.receive_nowait())
        except (anyio.WouldBlock, anyio.EndOfStream):
            break
    return waiting
