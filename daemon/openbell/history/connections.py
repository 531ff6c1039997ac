"""Connections that can only read, lent to one caller at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
import anyio

from openbell.history.errors import HistoryClosedError, HistoryDamagedError, HistoryReadError
from openbell.history.opening import connect, is_damage, open_reader
from openbell.history.queries import load_queries

_T = TypeVar("_T")

ABOVE_EVERY_ID = "\U0010ffff"
"""Sorts after every id: where a list without a cursor begins."""

PAGE_LENGTH = 1024 * 1024
"""How many characters of bodies are enough for one page, however many more were asked for."""

_SLICE = 100
_CLOSE_S = 5.0


class Readers:
    """A few reading connections, each used by one caller at a time; a write never waits for them."""

    def __init__(self, path: Path, *, count: int = 2, busy_timeout_s: float = 5.0) -> None:
        self._path = path
        self._count = count
        self._busy_timeout_s = busy_timeout_s
        self._queries = load_queries()
        self._idle: list[aiosqlite.Connection] = []
        self._is_open = False
        self._lent = anyio.Semaphore(count)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Keep the connections open inside the block."""
        async with AsyncExitStack() as stack:
            for _ in range(self._count):
                _, connection = await connect(
                    lambda: open_reader(self._path, busy_timeout_s=self._busy_timeout_s)
                )
                stack.push_async_callback(close_connection, connection)
                self._idle.append(connection)
            self._is_open = True
            try:
                yield
            finally:
                self._is_open = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[aiosqlite.Connection]:
        """Lend a connection; waits while all are lent."""
        async with self._lent:
            if not self._is_open:
                raise HistoryClosedError(self._path)
            connection = self._idle.pop()
            try:
                yield connection
            except sqlite3.Error as error:
                if is_damage(error):
                    raise HistoryDamagedError(self._path, str(error)) from error
                raise HistoryReadError(self._path, str(error)) from error
            finally:
                self._idle.append(connection)

    async def rows(
        self, query: str, parameters: Mapping[str, Any], make: Callable[[Sequence[Any]], _T]
    ) -> list[_T]:
        """Return what `make` makes of each row of the block's answer."""
        async with self.connection() as connection:
            rows = await connection.execute_fetchall(self._queries[query], parameters)
        return [make(row) for row in rows]

    async def rows_within(
        self,
        query: str,
        parameters: Mapping[str, Any],
        make: Callable[[Sequence[Any]], _T],
        *,
        column: int,
    ) -> list[_T]:
        """Return as `rows` does, but none after a slice with which `column` comes to PAGE_LENGTH."""
        found: list[_T] = []
        length = 0
        async with (
            self.connection() as connection,
            connection.execute(self._queries[query], parameters) as cursor,
        ):
            while length < PAGE_LENGTH and (rows := await cursor.fetchmany(_SLICE)):
                length += sum(len(row[column]) for row in rows)
                found += map(make, rows)
        return found

    async def first(
        self, query: str, parameters: Mapping[str, Any], make: Callable[[Sequence[Any]], _T]
    ) -> _T | None:
        """Return what `make` makes of the first row, or None."""
        rows = await self.rows(query, parameters, make)
        return rows[0] if rows else None


async def close_connection(connection: aiosqlite.Connection) -> None:
    """Close `connection`, also when the scope around is cancelled."""
    with anyio.move_on_after(_CLOSE_S, shield=True):
        await connection.close()
