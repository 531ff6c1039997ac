"""A history on real disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from openbell.history.store import HistoryStore


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


@pytest.fixture
async def history(database: Path) -> AsyncIterator[HistoryStore]:
    """Host the store in a task of its own: fixtures end in another task than they began in."""
    store = HistoryStore(database)
    opened, done = asyncio.Event(), asyncio.Event()

    async def host() -> None:
        async with store:
            opened.set()
            await done.wait()

    task = asyncio.create_task(host())
    await opened.wait()
    yield store
    done.set()
    await task
