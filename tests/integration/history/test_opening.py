from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from importlib.resources import files
from pathlib import Path

import pytest
from doubles import story

from openbell.history.errors import (
    HistoryBusyError,
    HistoryDamagedError,
    HistoryRefusedError,
    HistoryWriteError,
)
from openbell.history.opening import APPLICATION_ID
from openbell.history.schema import Migration, load_migrations
from openbell.history.store import HistoryStore
from openbell.model import events as ev
from openbell.sdk.errors import FatalError

pytestmark = pytest.mark.integration

NEXT = Migration(
    number=len(load_migrations()) + 1,
    name="9999_next.sql",
    sql="-- Tried.\nALTER TABLE events ADD COLUMN extra TEXT;\nCREATE TABLE more (id INTEGER) STRICT;\n",
)


async def _filled(database: Path) -> None:
    async with HistoryStore(database) as store:
        await store.record(story.defined(), *story.whole_run())


async def _open(database: Path, **options: object) -> None:
    async with HistoryStore(database, **options):  # type: ignore[arg-type]
        pass


def _rows(database: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as reader:
        return reader.execute(sql).fetchall()


async def test_a_new_database_has_the_settings_that_durability_needs(database: Path) -> None:
    async with HistoryStore(database) as store:

        def settings(db: object) -> list[object]:
            run = db._connection.execute  # type: ignore[attr-defined]
            names = ("journal_mode", "synchronous", "foreign_keys", "auto_vacuum")
            return [run(f"PRAGMA {name}").fetchone()[0] for name in names]

        assert await store._change(settings) == ["wal", 2, 1, 2]
    assert _rows(database, "PRAGMA application_id") == [(APPLICATION_ID,)]
    strict = _rows(
        database, "SELECT name FROM pragma_table_list WHERE type = 'table' AND strict = 0"
    )
    assert [name for (name,) in strict if not str(name).startswith("sqlite_")] == []


async def test_the_migrations_add_up_to_the_stored_schema(database: Path) -> None:
    await _open(database)
    sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY name"
    found = "".join(f"{text};\n\n" for (text,) in _rows(database, sql))
    stored = files("openbell.history").joinpath("schema.sql").read_text(encoding="utf-8")
    assert found == stored.split("\n\n", maxsplit=1)[1]


async def test_a_migration_keeps_a_backup_of_what_was_there_and_every_row(database: Path) -> None:
    await _filled(database)
    async with HistoryStore(database, migrations=(*load_migrations(), NEXT)) as store:
        assert len(await store.events()) == 14
    backup = database.with_name(f"history.sqlite.backup-{len(load_migrations())}")
    assert _rows(backup, "SELECT count(*) FROM events") == [(14,)]
    assert _rows(backup, "SELECT count(*) FROM schema_migrations") == [(len(load_migrations()),)]
    assert _rows(database, "SELECT count(extra), count(*) FROM events") == [(0, 14)]


async def test_what_was_on_record_before_items_had_attempts_is_of_whole_nodes(
    database: Path,
) -> None:
    await _open(database, migrations=load_migrations()[:3])
    with closing(sqlite3.connect(database)) as db:
        db.executescript(_BEFORE_ITEMS)
    async with HistoryStore(database) as store:
        (attempt,) = await store.attempts("r")
        (line,) = await store.logs("r")
        assert (attempt.item, line.item) == (-1, -1)
        assert (await store.metrics())["log_lines_dropped"] == 3
        sizes = _rows(database, "SELECT item, attempt, size_bytes FROM node_log_sizes")
        assert sizes == [(-1, 1, 40)]
        assert await store.prune(before=story.after(1e6), keep_runs=0) == 1
        assert (await store.metrics())["log_lines_dropped"] == 0


_BEFORE_ITEMS = """
INSERT INTO pipeline_workflows (pipeline, version, fingerprint, definition, active, created_at_us)
VALUES ('p', 1, 'f', '{}', 1, 1);
INSERT INTO pipeline_jobs (
    job_id, pipeline, mode, state, params, origin, run_count, last_run_id, submitted_at_us
) VALUES ('j', 'p', '', 'success', '{}', '', 1, 'r', 1);
INSERT INTO pipeline_runs (
    run_id, job_id, pipeline, workflow_version, mode, state, params, origin, dry_run, trace_id,
    submitted_at_us, finished_at_us
) VALUES ('r', 'j', 'p', 1, '', 'success', '{}', '', 0, '', 1, 2);
INSERT INTO pipeline_nodes (run_id, node, position, op, state) VALUES ('r', 'n', 0, 'noop', 'success');
INSERT INTO job_executions (attempt_id, run_id, node, number, state, started_at_us)
VALUES ('a', 'r', 'n', 1, 'success', 1);
INSERT INTO node_logs (run_id, node, attempt, stream, level, text, written_at_us)
VALUES ('r', 'n', 1, 'stdout', 'info', 'hello', 1);
INSERT INTO node_log_sizes (run_id, node, attempt, size_bytes, dropped_count)
VALUES ('r', 'n', 1, 40, 3);
"""


async def test_a_migration_that_fails_leaves_the_database_as_it_was(database: Path) -> None:
    await _filled(database)
    before = _rows(database, "SELECT name, sql FROM sqlite_schema")
    bad = replace(
        NEXT, sql="CREATE TABLE more (id INTEGER) STRICT;\nCREATE TABLE events (id INTEGER);\n"
    )
    with pytest.raises(HistoryRefusedError, match="events already exists"):
        await _open(database, migrations=(*load_migrations(), bad))
    assert _rows(database, "SELECT name, sql FROM sqlite_schema") == before
    await _open(database)


async def test_a_newer_schema_is_refused_with_the_backup_that_this_version_wrote(
    database: Path,
) -> None:
    await _filled(database)
    await _open(database, migrations=(*load_migrations(), NEXT))
    content = database.read_bytes()
    with pytest.raises(
        HistoryRefusedError,
        match=f"newer than the {len(load_migrations())} that this openbell knows",
    ) as caught:
        await _open(database)
    assert f"the newest backup is {database}.backup-{len(load_migrations())}" in str(caught.value)
    assert isinstance(caught.value, FatalError)
    assert database.read_bytes() == content


async def test_a_changed_migration_is_refused(database: Path) -> None:
    await _filled(database)
    (first, *rest) = load_migrations()
    changed = replace(first, sql=first.sql + "-- changed\n")
    with pytest.raises(HistoryRefusedError, match="made by another text of migration 0001_initial"):
        await _open(database, migrations=(changed, *rest))


@pytest.mark.parametrize(
    "content", [b"this is no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4096]
)
async def test_a_file_that_is_no_database_is_refused_and_kept(
    content: bytes, database: Path
) -> None:
    database.write_bytes(content)
    with pytest.raises(
        HistoryDamagedError, match=r"is damaged \(file is not a database\)"
    ) as caught:
        await _open(database)
    assert "there is no backup beside it" in str(caught.value)
    assert database.read_bytes() == content


async def test_a_damaged_database_is_refused_and_names_the_newest_backup(database: Path) -> None:
    async with HistoryStore(database) as store:
        await store.record(story.defined(), *story.whole_run())
        copies = [
            await store.backup(now=story.START + timedelta(days=day), keep=3) for day in range(2)
        ]
    content = bytearray(database.read_bytes())
    content[4096:8192] = b"\xa5" * 4096
    database.write_bytes(content)
    database.with_name(database.name + "-wal").write_bytes(b"left by an unclean stop")
    with pytest.raises(HistoryDamagedError) as caught:
        await _open(database)
    assert f"the newest backup is {copies[-1]}" in str(caught.value)
    assert "remove history.sqlite-wal and history.sqlite-shm" in str(caught.value)
    for left in ("-wal", "-shm"):
        database.with_name(database.name + left).unlink(missing_ok=True)
    database.write_bytes(copies[-1].read_bytes())
    async with HistoryStore(database) as store:
        assert await store.last_event_id() == 14


async def test_a_large_database_is_looked_through_once_it_is_open_after_an_unclean_stop(
    database: Path,
) -> None:
    async with HistoryStore(database) as store:
        large = ev.ReloadRefused(at=story.START, problems=("x" * 1_000_000,))
        await store.record(*[large] * 17)
    content = bytearray(database.read_bytes())
    page = _rows(database, "SELECT rootpage FROM sqlite_schema WHERE name = 'quality_results'")[0][
        0
    ]
    assert isinstance(page, int)
    content[(page - 1) * 4096 : page * 4096] = b"\xa5" * 4096
    database.write_bytes(content)
    async with HistoryStore(database) as store:
        await store.check_if_unsure()
    database.with_name(database.name + "-wal").write_bytes(b"left by an unclean stop")
    async with HistoryStore(database) as store:
        assert await store.last_event_id() == 17
        with pytest.raises(HistoryDamagedError, match="is damaged"):
            await store.check_if_unsure()


async def test_damage_that_shows_later_is_named_as_damage(database: Path) -> None:
    await _filled(database)
    content = bytearray(database.read_bytes())
    page = _rows(database, "SELECT rootpage FROM sqlite_schema WHERE name = 'events'")[0][0]
    assert isinstance(page, int)
    content[(page - 1) * 4096 : page * 4096] = b"\xa5" * 4096
    database.write_bytes(content)
    async with HistoryStore(database) as store:
        with pytest.raises(HistoryDamagedError, match="is damaged"):
            await store.events()
        with pytest.raises(HistoryDamagedError, match="is damaged"):
            await store.record(story.defined(2))
        with pytest.raises(HistoryDamagedError, match="is damaged"):
            await store.backup(now=story.START)
    assert list(database.parent.glob("*.backup-*")) == []


async def test_another_applications_database_is_refused_and_untouched(database: Path) -> None:
    with closing(sqlite3.connect(database)) as foreign:
        foreign.execute("CREATE TABLE bookmarks (url)")
        foreign.commit()
    content = database.read_bytes()
    with pytest.raises(HistoryRefusedError, match=r"another application .*bookmarks"):
        await _open(database)
    assert database.read_bytes() == content


async def test_a_folder_in_the_databases_place_is_refused(database: Path) -> None:
    database.mkdir()
    with pytest.raises(HistoryRefusedError, match="cannot be opened"):
        await _open(database)


async def test_a_history_in_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(HistoryRefusedError, match="cannot be opened"):
        await _open(tmp_path / "state" / "history.sqlite")


async def test_an_empty_file_becomes_a_history(database: Path) -> None:
    database.touch()
    await _filled(database)


HOLDER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute(sys.argv[2])
db.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
db.execute("ROLLBACK")
"""


@contextmanager
def _held(database: Path, how: str) -> Iterator[None]:
    command = [sys.executable, "-c", HOLDER, str(database), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"locked\n"
        try:
            yield
        finally:
            holder.stdin.close()


@pytest.mark.parametrize("how", ["PRAGMA locking_mode = EXCLUSIVE", "PRAGMA user_version"])
async def test_a_database_that_another_process_locks_is_refused(how: str, database: Path) -> None:
    await _filled(database)
    with (
        _held(database, how),
        pytest.raises(HistoryBusyError, match=r"locked by another process \(waited 0.1 s\)"),
    ):
        await _open(database, busy_timeout_s=0.1)
    await _open(database)


async def test_a_lock_taken_later_fails_records_until_it_is_gone(database: Path) -> None:
    async with HistoryStore(database, busy_timeout_s=0.1) as store:
        await store.record(story.defined(), story.submitted())
        with _held(database, "PRAGMA user_version"):
            with pytest.raises(HistoryWriteError, match="database is locked"):
                await store.record(story.started())
            assert len(await store.events()) == 2
        await store.record(story.started())


async def test_backups_are_whole_databases_and_the_newest_three_stay(database: Path) -> None:
    async with HistoryStore(database) as store:
        await store.record(story.defined())
        for day in range(5):
            await store.record(story.submitted(f"run_{day}"))
            left = database.with_name("history.sqlite.backup-killed.partial-journal")
            left.touch()
            await store.backup(now=story.START + timedelta(days=day))
    copies = sorted(database.parent.glob("history.sqlite.backup-*"))
    assert [copy.name[-16:] for copy in copies] == [
        "20260104T143000Z",
        "20260105T143000Z",
        "20260106T143000Z",
    ]
    async with HistoryStore(copies[-1]) as store:
        assert await store.last_event_id() == 6
