"""Modules beside the configuration that are imported again when they changed, and those that are not."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import openbell.sdk
from openbell.operators.own_modules import OwnModules

pytestmark = pytest.mark.unit

ENVIRONMENT = "lib/python3/site-packages"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a folder with a module of its own, and an environment with two installed ones."""
    for folder in ("", ".venv/" + ENVIRONMENT, "python"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    for name in ("mine_of_test.py", f".venv/{ENVIRONMENT}/lib_of_test.py", "python/std_of_test.py"):
        (tmp_path / name).write_text("", encoding="utf-8")
        os.utime(tmp_path / name, (1_700_000_000, 1_700_000_000))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path / "python"))
    yield tmp_path
    for name in ("mine_of_test", "lib_of_test", "std_of_test"):
        sys.modules.pop(name, None)


def test_what_is_installed_inside_the_folder_is_imported_once(project: Path) -> None:
    library, standard = map(importlib.import_module, ("lib_of_test", "std_of_test"))
    own = OwnModules(str(project))
    own.forget_changed()
    mine = importlib.import_module("mine_of_test")
    own.note()
    os.utime(project / "mine_of_test.py", (1_700_000_009, 1_700_000_009))
    own.forget_changed()
    assert importlib.import_module("mine_of_test") is not mine
    assert importlib.import_module("lib_of_test") is library
    assert importlib.import_module("std_of_test") is standard


def test_openbell_itself_is_nobodys_own() -> None:
    package = Path(openbell.sdk.__file__).parents[2]
    OwnModules(str(package)).forget_changed()
    assert sys.modules["openbell.sdk"] is openbell.sdk
