from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from openbell.cli import errors
from openbell.cli.main import build

pytestmark = pytest.mark.unit

PAGE = (Path(__file__).parents[3] / "daemon" / "spec" / "cli.md").read_text(encoding="utf-8")


def verbs(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[str]:
    command = command or typer.main.get_command(build())
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield " ".join(("mdp", *path))
        return
    for name, sub in subcommands.items():
        yield from verbs(sub, (*path, name))


def test_every_verb_is_on_the_page_and_the_page_names_no_other() -> None:
    described = set(re.findall(r"^- `(mdp [a-z ]+)` - ", PAGE, flags=re.MULTILINE))

    assert described == set(verbs())


def test_every_exit_code_is_on_the_page() -> None:
    codes = {value for name, value in vars(errors).items() if name.isupper() and name[0] != "_"}
    table = PAGE.split("| exit code |")[1].split("\n\n")[0]

    assert codes == {
        int(number)
        for number in re.findall(r"\b\d+\b", table.split("means")[1])
        if int(number) in codes
    }
