from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from doubles.command import mdp

from openbell.cli.main import build

pytestmark = pytest.mark.unit

HEAVY = (
    "pydantic",
    "httpx",
    "rich.progress",
    "fastapi",
    "hypercorn",
    "pyarrow",
    "ruamel",
    "aiosqlite",
)


def verbs(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    command = command or typer.main.get_command(build())
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield path
        return
    for name, sub in subcommands.items():
        yield from verbs(sub, (*path, name))


@pytest.mark.parametrize("verb", list(verbs()), ids=" ".join)
def test_every_verb_explains_itself(verb: tuple[str, ...]) -> None:
    done = mdp(*verb, "--help")

    assert done.code == 0
    assert f"Usage: mdp {' '.join(verb)}" in done.out
    assert done.err == ""


def test_the_verbs_are_those_of_the_design() -> None:
    found = {" ".join(verb) for verb in verbs()}
    wanted = {
        *("daemon run", "status", "reload", "drain", "stop", "validate", "schema", "config view"),
        *("doctor", "plugins", "run", "backfill", "demo", "cancel", "retry", "pause", "resume"),
        *("get pipelines", "get runs", "get nodes", "get datasets", "get schedules", "get budgets"),
        *("get workers", "describe run", "describe pipeline", "describe dataset", "logs", "events"),
        *("wait", "pace status", "lineage", "data read", "data stats"),
    }
    assert wanted <= found


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['mdp', '--help']\n"
        "from openbell.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_a_wrong_option_is_a_usage_error_and_no_traceback() -> None:
    done = mdp("status", "--nope")
    assert done.code == 2
    assert "No such option" in done.err
    assert "Traceback" not in done.err


def test_the_version_is_shown() -> None:
    assert mdp("--version").out == "0.1.0\n"
