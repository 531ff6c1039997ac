from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from doubles import story

from openbell.history.errors import HistoryDamagedError, HistoryRefusedError
from openbell.history.inspection import inspect
from openbell.history.schema import load_migrations
from openbell.history.store import HistoryStore

pytestmark = pytest.mark.integration


async def test_a_history_in_use_can_be_looked_at(history: HistoryStore, database: Path) -> None:
    await history.record(story.defined())
    facts = inspect(database)
    assert facts.schema == facts.known_schema == len(load_migrations())
    assert facts.size_bytes + facts.log_bytes > 0
    assert facts.backup is None
    backup = await history.backup(now=story.START)
    assert inspect(database).backup == backup


async def test_a_page_that_is_damaged_is_found_however_large_the_history_is(
    database: Path,
) -> None:
    async with HistoryStore(database) as store:
        await store.record(story.defined(), *story.whole_run())
    pages = bytearray(database.read_bytes())
    pages[8192:] = b"\xff" * (len(pages) - 8192)
    database.write_bytes(pages)
    with pytest.raises(HistoryDamagedError, match="is damaged") as caught:
        inspect(database)
    assert caught.value.needs_a_person


def test_what_is_no_history_is_refused(database: Path) -> None:
    with closing(sqlite3.connect(database)) as other:
        other.execute("CREATE TABLE cats (name TEXT)")
        other.commit()
    with pytest.raises(HistoryRefusedError, match="belongs to another application"):
        inspect(database)
