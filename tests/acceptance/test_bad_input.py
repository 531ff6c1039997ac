"""Bad input as an operator meets it: the message says what to do, and nothing is lost or changed."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from doubles.commands import MDP, Mdp

pytestmark = pytest.mark.acceptance

IS_ROOT = os.getuid() == 0

GOOD = """\
version: 2
providers:
  made: {type: synthetic, seed: 42}
storage:
  primary: {type: lake, uri: "./lake"}
datasets:
  smoke: {provider: made, schema: bars_ohlcv, symbols: [AAPL, MSFT], interval: 1d, calendar: XNYS}
jobs:
  fill: {dataset: smoke, mode: backfill, from: 2024-01-02, to: 2024-01-31}
"""
BAD = """\
version: 2
providers:
  made: {type: synthetic, seed: many, sede: 3}
  other: {type: sinthetic}
storage:
  primary: {type: timescaledb}
datasets:
  smoke: {provider: mde, schema: bars_ohlcv, symbols: [AAPL, 7, "../etc"], interval: 1mn, calendar: XNYX}
jobs:
  fill: {dataset: smok, mode: backfill, from: 2024-02-30, to: 2024-01-31}
extra: 1
"""
PROBLEMS = (
    "bad.yaml:3:33: providers.made.seed: must be a whole number, not 'many'",
    "bad.yaml:3:39: providers.made.sede: is not a key that is known here (did you mean 'seed'?)",
    "bad.yaml:4:17: providers.other.type: provider type 'sinthetic' does not exist",
    "bad.yaml:6:19: storage.primary.type: backend 'timescaledb' does not exist yet; there are: lake",
    "bad.yaml:8:21: datasets.smoke.provider: provider 'mde' does not exist (did you mean 'made'?)",
    "bad.yaml:8:62: datasets.smoke.symbols[1]: must be text, not 7 (put it in quotes)",
    "bad.yaml:8:65: datasets.smoke.symbols[2]: symbol '../etc' has a path separator",
    "bad.yaml:8:86: datasets.smoke.interval: bar interval '1mn' is not understood",
    "bad.yaml:8:101: datasets.smoke.calendar: calendar 'XNYX' is unknown (did you mean 'XNYS'?)",
    "bad.yaml:10:19: jobs.fill.dataset: dataset 'smok' does not exist (did you mean 'smoke'?)",
    "bad.yaml:10:47: jobs.fill.from: '2024-02-30' is no date",
    "bad.yaml:11:1: extra: is not a section that is known",
)
CIRCLE = (
    GOOD
    + """\
pipelines:
  round:
    nodes:
      a: {op: ingest, dataset: smoke, needs: [c]}
      b: {op: gate, needs: [a], rules: [ohlc]}
      c: {op: write, needs: {b: [pass, wran]}, to: primary}
"""
)


def digests(folder: Path) -> dict[str, str]:
    """Return every file under `folder` with a digest of its content."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@contextmanager
def served(mdp: Mdp, config: str = "c.yaml") -> Iterator[subprocess.Popen[str]]:
    """Start a daemon that serves; end it at the end."""
    process = mdp.start("daemon", "run", "--config", config, "--socket", "s")
    try:
        end = time.monotonic() + 30
        while not (mdp.folder / "s").exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, "the daemon did not begin"
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.parametrize(
    "verb",
    [("validate",), ("run", "--job", "fill"), ("daemon", "run")],
    ids=["validate", "run", "daemon"],
)
def test_every_problem_of_a_configuration_is_told_at_its_place_and_nothing_begins(
    mdp: Mdp, verb: tuple[str, ...]
) -> None:
    mdp.write("bad.yaml", BAD)
    refused = mdp.run(*verb, "--config", "bad.yaml", code=78)

    told = refused.stderr.replace(f"{mdp.folder}/", "")
    assert [problem for problem in PROBLEMS if problem not in told] == []
    assert refused.stdout == ""
    assert sorted(path.name for path in mdp.folder.iterdir()) == ["bad.yaml"]


def test_a_circle_and_an_outcome_that_is_none_are_told_with_their_nodes(mdp: Mdp) -> None:
    mdp.write("c.yaml", CIRCLE)
    refused = mdp.run("run", "--config", "c.yaml", "--job", "fill", code=78).stderr
    mdp.write("c.yaml", CIRCLE.replace("wran", "warn"))
    circle = mdp.run("run", "--config", "c.yaml", "--job", "fill", code=78).stderr

    assert "c.yaml:15:33: pipelines.round.nodes.c.needs.b: outcome of node 'b' 'wran'" in refused
    assert "c.yaml:13:46: pipelines.round.nodes.a.needs: nodes form a circle: a needs c" in circle
    assert not mdp.state.exists()


def test_a_daemon_that_is_asked_to_read_nonsense_goes_on_as_it_was(mdp: Mdp) -> None:
    mdp.write("c.yaml", GOOD)
    with served(mdp) as daemon:
        before = mdp.json("get", "pipelines", "--socket", "s")
        mdp.write("c.yaml", BAD)
        daemon.send_signal(signal.SIGHUP)
        end = time.monotonic() + 20
        while not (error := mdp.json("status", "--socket", "s")["last_error"]):
            assert time.monotonic() < end, "the daemon did not say that it refuses"
        assert "c.yaml:3:33: providers.made.seed: must be a whole number" in error
        assert "c.yaml:11:1: extra" in error
        assert mdp.json("get", "pipelines", "--socket", "s") == before
        mdp.json("run", "--job", "fill")
        assert daemon.poll() is None


FILES = """\
version: 2
providers:
  files: {type: files, profile: lean-daily, root: ./files, path: "{symbol:lower}.zip"}
storage:
  primary: {type: lake, uri: ./lake}
datasets:
"""
DATASET = (
    "  {name}: {{provider: files, schema: bars_ohlcv, symbols: [{symbols}], interval: 1d, "
    "calendar: XNYS}}\n"
)
JOB = "  {name}: {{dataset: {name}, mode: backfill, from: 2024-01-02, to: 2024-01-05}}\n"
LINES = "".join(
    f"202401{day:02} 00:00,1000000,1010000,990000,1005000,500\n" for day in (2, 3, 4, 5)
)


def archive(path: Path, text: str = LINES) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(path.with_suffix(".csv").name, text)


def cut(path: Path) -> None:
    archive(path)
    path.write_bytes(path.read_bytes()[:-40])


def bomb(path: Path) -> None:
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file,
        file.open("worse.csv", "w", force_zip64=True) as member,
    ):
        for _ in range(300):
            member.write(b"0" * 1_000_000)


SPOILED: dict[str, tuple[Callable[[Path], object], str]] = {
    "TRUNCATED": (cut, "cannot be read: File is not a zip file"),
    "PAGE": (lambda path: path.write_text("<html>"), "cannot be read: File is not a zip file"),
    "BOMB": (bomb, "which looks like a zip bomb; raise max_compression_ratio"),
    "FOLDER": (Path.mkdir, "is a directory, not a file"),
    "MISSING": (Path.exists, "no such file: "),
    "EMPTY": (Path.touch, "is empty (0 bytes)"),
}


def test_a_file_that_cannot_be_read_fails_its_run_by_name_and_nothing_else(mdp: Mdp) -> None:
    names = {"GOOD": "GOOD", **{name: f"GOOD, {name}" for name in SPOILED}}
    datasets = [DATASET.format(name=name, symbols=symbols) for name, symbols in names.items()]
    jobs = [JOB.format(name=name) for name in names]
    mdp.write("c.yaml", f"{FILES}{''.join(datasets)}jobs:\n{''.join(jobs)}")
    files = mdp.folder / "files"
    files.mkdir()
    archive(files / "good.zip")
    for name, (spoil, _) in SPOILED.items():
        spoil(files / f"{name.lower()}.zip")
    with served(mdp) as daemon:
        mdp.run("run", "--job", "GOOD")
        stored = digests(mdp.folder / "lake" / "GOOD")
        runs = {name: mdp.start("run", "--job", name, "-o", "json") for name in SPOILED}
        said = {name: run.communicate(timeout=60) for name, run in runs.items()}
        assert daemon.poll() is None
        archive(files / "truncated.zip")
        mended = mdp.json("run", "--job", "TRUNCATED")

    for name, (_, told) in SPOILED.items():
        summary, words = said[name]
        assert runs[name].returncode == 1, words
        assert '"state": "failed"' in summary
        assert f"files/{name.lower()}.zip" in words
        assert told in words
        assert "Traceback" not in words
    assert digests(mdp.folder / "lake" / "GOOD") == stored
    assert mended["rows_written"] + mended["rows_unchanged"] == 8


@pytest.fixture(scope="session")
def one_good_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration, a state directory and a lake after one run."""
    made = Mdp(tmp_path_factory.mktemp("filled"))
    made.write("c.yaml", GOOD)
    made.run("run", "--config", "c.yaml", "--job", "fill")
    return made.folder


@pytest.fixture
def filled(mdp: Mdp, one_good_run: Path) -> Mdp:
    """A state directory and a lake that hold one good run."""
    shutil.copytree(one_good_run, mdp.folder, dirs_exist_ok=True)
    return mdp


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
    refused = filled.run(*verb, "--config", "c.yaml", code=1).stderr
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
    filled.run("run", "--config", "c.yaml", "--job", "fill", code=1)
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
    filled.write("slow.yaml", slow.replace("1d", "1min").replace("./lake", "./slow"))
    first = filled.start("run", "--config", "slow.yaml", "--job", "fill")
    try:
        end = time.monotonic() + 30
        while not (filled.state / "openbell.lock").read_text():
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


WITHOUT_ROOTS_RIGHTS = (
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
)


def run_with_plain_rights(mdp: Mdp, *words: str, code: int) -> str:
    """Run `mdp` bound by the modes of files even as root; return what it told."""
    if IS_ROOT and shutil.which("setpriv") is None:
        pytest.skip("root reads everything, and there is no setpriv to take that right away")
    prefix = WITHOUT_ROOTS_RIGHTS if IS_ROOT else ()
    done = subprocess.run(
        [*prefix, MDP, *words],
        cwd=mdp.folder,
        env=mdp.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stderr


def test_what_may_not_be_read_or_written_is_named_and_stays(filled: Mdp) -> None:
    run = ("run", "--job", "fill", "--config", "c.yaml")
    before = digests(filled.folder)
    (filled.folder / "c.yaml").chmod(0o000)
    config = run_with_plain_rights(filled, *run, code=78)
    (filled.folder / "c.yaml").chmod(0o600)
    filled.state.chmod(0o500)
    other = run_with_plain_rights(filled, *run, "--state-dir", "state/inner", code=77)
    filled.state.chmod(0o700)
    table = filled.folder / "lake" / "smoke"
    (table / "_openbell" / "manifest.sqlite").chmod(0o400)
    lake = run_with_plain_rights(filled, *run, code=1)
    (table / "_openbell" / "manifest.sqlite").chmod(0o600)
    after = digests(filled.folder)

    assert "c.yaml: the configuration cannot be read: Permission denied" in config
    assert "state directory state/inner cannot be used: Permission denied" in other
    assert f"the lake at {filled.folder / 'lake'}" in lake
    assert "cannot be written: attempt to write a readonly database" in lake
    changed = {name for name in before if before[name] != after.get(name)}
    assert {name for name in changed if not name.startswith("state/")} == set()
    assert filled.json("data", "stats", "smoke", "--config", "c.yaml")["row_count"] == 42


def test_a_file_without_permission_fails_its_run_by_name(mdp: Mdp) -> None:
    mdp.write(
        "c.yaml",
        f"{FILES}{DATASET.format(name='bars', symbols='GOOD')}jobs:\n{JOB.format(name='bars')}",
    )
    (mdp.folder / "files").mkdir()
    archive(mdp.folder / "files" / "good.zip")
    (mdp.folder / "files" / "good.zip").chmod(0o000)
    told = run_with_plain_rights(mdp, "run", "--config", "c.yaml", "--job", "bars", code=1)

    assert "files/good.zip" in told
    assert "Permission denied" in told or "permission" in told
