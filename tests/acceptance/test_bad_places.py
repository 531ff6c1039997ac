"""Bad histories, lakes, disks and neighbours: a clear word, and nothing changed."""

from __future__ import annotations

import hashlib
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from doubles.commands import Mdp
from doubles.good_run import GOOD, IS_ROOT, digests, served

pytestmark = pytest.mark.acceptance


def spoil_header(database: Path) -> None:
    database.write_bytes(b"<html>" + database.read_bytes()[6:])


def spoil_pages(database: Path) -> None:
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 8192)


@pytest.mark.parametrize(
    ("verb", "spoil"),
    [
        (("run", "--job", "fill"), spoil_pages),
        (("daemon", "run", "--socket", "s"), spoil_header),
    ],
    ids=["run", "daemon"],
)
def test_a_damaged_history_is_refused_with_its_backup_and_kept_as_it_is(
    filled: Mdp, verb: tuple[str, ...], spoil: Callable[[Path], None]
) -> None:
    database = filled.state / "history.sqlite"
    backup = database.with_name("history.sqlite.backup-20260102T030405Z")
    shutil.copyfile(database, backup)
    spoil(database)
    before = digests(filled.folder / "lake") | digests(filled.state)
    refused = filled.run(*verb, "--config", "c.yaml", code=78).stderr
    after = digests(filled.folder / "lake") | digests(filled.state)

    assert f"history database {database} is damaged" in refused
    assert f"the newest backup is {backup}" in refused
    assert "copy it over the database" in refused
    assert {name: after.get(name) for name in before} == before
    assert not (filled.folder / "s").exists()


def test_following_the_advice_brings_the_history_back(filled: Mdp) -> None:
    database = filled.state / "history.sqlite"
    (backup,) = filled.state.glob("history.sqlite.backup-*")
    spoil_pages(database)
    filled.run("run", "--config", "c.yaml", "--job", "fill", code=78)
    shutil.copyfile(backup, database)
    for rest in ("-wal", "-shm"):
        database.with_name(database.name + rest).unlink(missing_ok=True)
    again = filled.json("run", "--config", "c.yaml", "--job", "fill")
    assert (again["rows_written"], again["rows_unchanged"]) == (0, 42)


def test_a_locked_history_is_worth_another_try_later(filled: Mdp) -> None:
    database = filled.state / "history.sqlite"
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        refused = filled.run("run", "--config", "c.yaml", "--job", "fill", code=75).stderr
        other.execute("ROLLBACK")

    assert f"history database {database} is locked by another process" in refused
    again = filled.json("run", "--config", "c.yaml", "--job", "fill")
    assert again["rows_unchanged"] == 42


def test_a_lake_folder_that_is_no_table_is_refused_and_untouched(mdp: Mdp) -> None:
    mdp.write("c.yaml", GOOD)
    strange = mdp.folder / "lake" / "smoke"
    strange.mkdir(parents=True)
    (strange / "thesis.tex").write_text("years of work")
    failed = mdp.run("run", "--config", "c.yaml", "--job", "fill", code=1).stderr

    assert f"{strange} is no Delta table (it holds thesis.tex)" in failed
    assert "point the storage's uri at another folder" in failed
    assert digests(strange) == {"thesis.tex": hashlib.sha256(b"years of work").hexdigest()}


def test_a_table_whose_log_is_gone_is_refused_and_comes_back_with_it(filled: Mdp) -> None:
    table = filled.folder / "lake" / "smoke"
    before = digests(table)
    (table / "_delta_log").rename(filled.folder / "log")
    failed = filled.run("run", "--config", "c.yaml", "--job", "fill", code=1).stderr
    (filled.folder / "log").rename(table / "_delta_log")

    assert str(table) in failed
    assert digests(table) == before
    assert filled.json("data", "stats", "smoke", "--config", "c.yaml")["row_count"] == 42


@pytest.fixture
def small_disk(mdp: Mdp) -> Iterator[Path]:
    """A file system of 2 MB."""
    if not IS_ROOT:
        pytest.skip("only root can mount a small file system")
    disk = mdp.folder / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.decode().strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def fill_up(disk: Path) -> Path:
    """Leave not a byte free on `disk`; return the file that holds them."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096):
                pass
        except OSError:
            return ballast
    return ballast


def test_a_full_disk_under_the_lake_fails_the_run_and_leaves_the_table(
    mdp: Mdp, small_disk: Path
) -> None:
    text = GOOD.replace("./lake", str(small_disk / "lake"))
    once = "mode: backfill, execution: {retry: {max_attempts: 1}}"
    text = text.replace("mode: backfill", once)
    mdp.write("c.yaml", text)
    mdp.run("run", "--config", "c.yaml", "--job", "fill")
    rows = mdp.run("data", "read", "smoke", "--config", "c.yaml").stdout
    ballast = fill_up(small_disk)
    mdp.write("c.yaml", text.replace("seed: 42", "seed: 43"))
    failed = mdp.run("run", "--config", "c.yaml", "--job", "fill", code=1).stderr
    ballast.unlink()
    left = mdp.run("data", "read", "smoke", "--config", "c.yaml").stdout
    again = mdp.json("run", "--config", "c.yaml", "--job", "fill")

    assert " is full: " in failed
    assert "smoke" in failed
    assert left == rows
    assert again["rows_written"] == 42


def test_a_full_disk_under_the_state_is_worth_another_try_later(
    filled: Mdp, small_disk: Path
) -> None:
    place = ("--config", "c.yaml", "--state-dir", str(small_disk / "state"))
    shutil.copytree(filled.state, small_disk / "state")
    before = digests(small_disk / "state")
    ballast = fill_up(small_disk)
    verbs = [("run", "--job", "fill"), ("daemon", "run", "--socket", "s")]
    refused = [filled.run(*verb, *place, code=75).stderr for verb in verbs]
    after = digests(small_disk / "state")
    ballast.unlink()
    again = filled.json("run", "--job", "fill", *place)

    for words in refused:
        assert f"state directory {small_disk / 'state'} cannot be used: No space left" in words
    assert after == before
    assert again["rows_unchanged"] == 42


def test_a_run_in_the_foreground_keeps_others_off_its_state(filled: Mdp) -> None:
    slow = GOOD.replace("seed: 42", "seed: 42, pacing: {requests_per_minute: 60, burst: 1}")
    slow = slow.replace('uri: "./lake"', 'uri: "./slow", write: {batch_size: 100}')
    filled.write("slow.yaml", slow.replace("1d", "1min"))
    first = filled.start("run", "--config", "slow.yaml", "--job", "fill")
    try:
        end = time.monotonic() + 30
        while f'"pid":{first.pid}' not in (filled.state / "openbell.lock").read_text():
            assert time.monotonic() < end, "the first run did not begin"
            time.sleep(0.02)
        verbs = [("run", "--job", "fill"), ("daemon", "run", "--socket", "s")]
        refused = [filled.run(*verb, "--config", "c.yaml", code=75).stderr for verb in verbs]
        assert first.poll() is None
    finally:
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=30)

    for words in refused:
        assert f"is in use by process {first.pid} (openbell " in words
        assert "choose another state directory" in words
    assert first.returncode == 130
    assert not (filled.folder / "s").exists()


def test_a_second_daemon_on_a_socket_in_use_leaves_the_first_alone(filled: Mdp) -> None:
    with served(filled) as first:
        other = str(filled.folder / "other")
        refused = filled.run(
            "daemon", "run", "--config", "c.yaml", "--socket", "s", "--state-dir", other, code=78
        )
        status = filled.json("status", "--socket", "s")

        assert "another process listens on s" in refused.stderr
        assert "name another path with --socket" in refused.stderr
        assert status["pid"] == first.pid
        assert not Path(other).exists()


def test_a_file_in_the_place_of_the_socket_is_kept(mdp: Mdp) -> None:
    mdp.write("c.yaml", GOOD)
    mdp.write("s", "not a socket")
    refused = mdp.run("daemon", "run", "--config", "c.yaml", "--socket", "s", code=78).stderr

    assert "s exists and is no socket (move it away, or name another path)" in refused
    assert (mdp.folder / "s").read_text() == "not a socket"
    assert not mdp.state.exists()


@pytest.mark.parametrize("verb", ["run", "daemon"])
def test_a_state_directory_that_cannot_be_made_is_named(mdp: Mdp, verb: str) -> None:
    mdp.write("c.yaml", GOOD)
    mdp.write("file", "not a folder")
    words = {"run": ["run", "--job", "fill"], "daemon": ["daemon", "run", "--socket", "s"]}[verb]
    refused = mdp.run(*words, "--config", "c.yaml", "--state-dir", "file/state", code=1).stderr

    assert "state directory file/state cannot be used: Not a directory" in refused
    assert (mdp.folder / "file").read_text() == "not a folder"
