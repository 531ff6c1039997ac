from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from doubles import story

from openbell.history.errors import HistoryWriteError
from openbell.history.store import HistoryStore
from openbell.model.history import RunFilter

pytestmark = pytest.mark.integration

WRITER = """
import os, sys
from pathlib import Path
import anyio
from doubles import story
from openbell.history.store import HistoryStore
from openbell.model import events as ev

async def submit(store, lane):
    number = 0
    while True:
        run_id = f"run_{lane:02}_{number:06}"
        await store.record(story.submitted(run_id), story.started(run_id))
        await store.record(story.committed(1, run_id))
        place = {"at": story.START, "run_id": run_id, "pipeline": "eod"}
        letter = {"letter_id": run_id, "node": "fetch", "error_kind": "late", "error": "e", "attempts": 3}
        await store.record(
            ev.DeadLettered(**place, **letter),
            ev.DecisionNoted(**place, what="gave_up", reason="late"),
        )
        os.write(1, run_id.encode() + b"\\n")
        number += 1

async def main():
    async with HistoryStore(Path(sys.argv[1])) as store:
        if await store.workflow("eod") is None:
            await store.record(story.defined())
        offset = int(sys.argv[2])
        async with anyio.create_task_group() as tasks:
            for lane in range(8):
                tasks.start_soon(submit, store, offset + lane)

anyio.run(main)
"""
TESTS = Path(__file__).parents[2]


def _start(database: Path, offset: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(database), str(offset)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )


async def test_kill_9_at_any_instant_loses_nothing_that_was_acknowledged(database: Path) -> None:
    chance = random.Random(7)
    acknowledged: set[str] = set()
    for attempt in range(5):
        with _start(database, attempt * 10) as writer:
            assert writer.stdout is not None
            acknowledged.add(writer.stdout.readline().decode().strip())
            time.sleep(chance.uniform(0.0, 0.15))
            writer.send_signal(signal.SIGKILL)
            # a last line without its end may be cut
            lines = writer.stdout.read().decode().split("\n")[:-1]
            acknowledged.update(lines)
        async with HistoryStore(database) as store:
            runs = {run.run_id for run in await store.runs(RunFilter(limit=1_000_000))}
            assert acknowledged <= runs
            for run_id in chance.sample(sorted(acknowledged), 5):
                checkpoint = await store.checkpoint(run_id, "fetch")
                assert checkpoint is not None
                assert checkpoint.next_chunk == 1
        with closing(sqlite3.connect(database)) as reader:
            assert reader.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert reader.execute("PRAGMA foreign_key_check").fetchall() == []
            events = reader.execute("SELECT count(*) FROM events WHERE run_id IS NOT NULL")
            checkpoints = reader.execute("SELECT count(*) FROM checkpoints").fetchone()[0]
            letters = reader.execute("SELECT count(*) FROM dead_letters").fetchone()[0]
            decisions = reader.execute("SELECT count(*) FROM decisions").fetchone()[0]
            assert len(acknowledged) <= letters == decisions
            assert events.fetchone()[0] == 2 * len(runs) + checkpoints + 2 * letters
            running = "SELECT value FROM history_counts WHERE name = 'running'"
            assert reader.execute(running).fetchone() == (len(runs),)
    assert len(acknowledged) > 50


async def test_a_torn_end_of_the_log_is_cut_and_the_whole_records_stay(database: Path) -> None:
    wal = database.with_name(database.name + "-wal")
    async with HistoryStore(database) as store:
        await store.record(story.defined(), story.submitted("run_1"))
        whole = wal.read_bytes()
        await store.record(story.submitted("run_2"))
        torn = wal.read_bytes()[: len(whole) + 2000]
        main_file = database.read_bytes()
    database.write_bytes(main_file)
    wal.write_bytes(torn)
    async with HistoryStore(database) as store:
        assert [run.run_id for run in await store.runs(RunFilter())] == ["run_1"]
        await store.record(story.submitted("run_2"))


async def test_a_full_disk_fails_records_clearly_and_history_goes_on_when_there_is_space(
    history: HistoryStore, database: Path
) -> None:
    await history.record(story.defined(), story.submitted())
    await _limit_pages(history, used_up=True)
    with pytest.raises(HistoryWriteError, match="full") as caught:
        await history.record(story.logged("x" * 200_000))
    assert str(database) in str(caught.value)
    assert caught.value.retry_after_s == 5.0
    assert await history.logs("run_1") == []
    await history.record(story.started())  # small, and fits into a page that is there
    await _limit_pages(history, used_up=False)
    await history.record(story.logged("x" * 200_000))
    assert len(await history.logs("run_1")) == 1


async def test_on_a_full_disk_the_small_callers_of_a_group_are_still_recorded(
    history: HistoryStore,
) -> None:
    await history.record(story.defined(), story.submitted())
    await _limit_pages(history, used_up=True)
    failed: list[str] = []

    async def log(text: str) -> None:
        try:
            await history.record(story.logged(text))
        except HistoryWriteError as error:
            failed.append(error.reason)

    async with anyio.create_task_group() as tasks:
        for text in ("a", "y" * 200_000, "b", "z" * 200_000, "c"):
            tasks.start_soon(log, text)
    assert len(failed) == 2
    assert sorted(line.line.text for line in await history.logs("run_1")) == ["a", "b", "c"]


async def test_a_file_that_may_not_grow_fails_records_and_loses_nothing(database: Path) -> None:
    async with HistoryStore(database) as store:
        await store.record(story.defined(), story.submitted())
        wal = database.with_name(database.name + "-wal")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size + 100, limits[1]))
        try:
            with pytest.raises(HistoryWriteError, match="cannot be written"):
                await store.record(story.started())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        await store.record(story.started())
    async with HistoryStore(database) as store:
        assert len(await store.events()) == 3


async def _limit_pages(history: HistoryStore, *, used_up: bool) -> None:
    def limit(db: object) -> None:
        connection: sqlite3.Connection = db._connection  # type: ignore[attr-defined]
        (count,) = connection.execute("PRAGMA page_count").fetchone()
        most = count + 1 if used_up else 1_000_000
        connection.execute(f"PRAGMA max_page_count = {most}").fetchone()

    await history._change(limit)
