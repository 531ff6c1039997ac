"""Bad configurations, files and rights: a clear word at the right place, and nothing changed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from doubles.commands import MDP, Mdp
from doubles.good_run import GOOD, IS_ROOT, digests, served

pytestmark = pytest.mark.acceptance


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
