"""What the README says is what happens."""

from __future__ import annotations

import re
import shlex
import time

import pytest
from doubles.commands import ROOT, Mdp

pytestmark = pytest.mark.acceptance

README = (ROOT / "README.md").read_text(encoding="utf-8")
CSV = """Date,Open,High,Low,Close,Adj Close,Volume
2004-08-19,49.676899,51.693783,47.669952,49.845802,49.845802,44994500
2004-08-20,50.178635,54.187561,49.925285,53.805050,53.805050,23005800
2018-01-19,1138.030029,1138.030029,1131.729980,1137.510010,1137.510010,1418400
"""


def block(language: str, containing: str) -> str:
    for found, text in re.findall(r"^```(\w*)$(.*?)^```$", README, re.DOTALL | re.MULTILINE):
        if found == language and containing in text:
            return str(text)
    raise AssertionError(f"no {language} block with {containing!r}")


def test_the_demo_prints_what_the_readme_shows_in_good_time(mdp: Mdp) -> None:
    began = time.monotonic()
    done = mdp.run("demo")
    assert time.monotonic() - began < 60, "15 s on a quiet machine"
    shown = block("", "A quarter of one-minute bars")
    for line in shown.splitlines():
        words = re.sub(r", [\d.]+ s$", "", line.split(" Config:")[0]).strip()
        assert words in done.stdout + done.stderr, words
    again = mdp.run("demo")
    assert "118,830 unchanged" in again.stderr
    for command in re.findall(r"^  (mdp .*)$", done.stderr, re.MULTILINE):
        if "daemon run" not in command:
            mdp.run(*shlex.split(command)[1:])


def test_the_readmes_own_configuration_runs_with_its_commands(mdp: Mdp) -> None:
    mdp.write("openbell.yaml", block("yaml", "yahoo-csv"))
    (mdp.folder / "csv").mkdir()
    mdp.write("csv/GOOG.csv", CSV)
    commands = [
        shlex.split(line, comments=True)
        for line in block("sh", "mdp validate").strip().splitlines()
    ]
    before, after = commands[:3], commands[4:]
    assert commands[3][1:3] == ["daemon", "run"]
    for _, *arguments in before:
        mdp.run(*arguments)
    with mdp.start(*commands[3][1:-1]) as daemon:
        try:
            until = time.monotonic() + 30
            while not (mdp.state / "openbell.sock").exists():
                assert time.monotonic() < until, "the daemon does not serve"
                time.sleep(0.05)
            for _, *arguments in after:
                mdp.run(*arguments)
        finally:
            daemon.terminate()
            daemon.communicate(timeout=30)
    assert daemon.returncode == 0
    (stats,) = mdp.json("data", "stats", "--config", "openbell.yaml")
    assert stats["row_count"] == 3
