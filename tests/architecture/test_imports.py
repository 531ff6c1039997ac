"""The import contracts of pyproject.toml hold, and each of them catches what it is there for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.architecture

ROOT = Path(__file__).resolve().parents[2]
VERDICT = re.compile(r"^(.*?) (KEPT|BROKEN)(?: \(|$)", re.MULTILINE)

PLANTED = {
    "Folders import down only, siblings not at all": (
        "openbell/pacing/planted_sibling.py",
        "import openbell.history",
        "openbell.pacing.planted_sibling -> openbell.history",
    ),
    "Only the data plane and testing import pyarrow and its kin": (
        "openbell/config/planted_arrow.py",
        "def late():\n    import pyarrow",
        "openbell.config.planted_arrow -> pyarrow",
    ),
    "Nothing outside the data plane and testing imports its modules": (
        "openbell/supervisor/planted_operator.py",
        "from openbell.sdk.arrow import BatchView",
        "openbell.supervisor.planted_operator -> openbell.sdk.arrow",
    ),
    "The product does not import what tests use": (
        "openbell/cli/planted_fake.py",
        "from openbell.testing import ManualClock",
        "openbell.cli.planted_fake",
    ),
    "What the plugin host loads is light": (
        "openbell_rules_core/__init__.py",
        "import numpy",
        "openbell_rules_core -> numpy",
    ),
    "SQL only in history": (
        "openbell/http/planted_sql.py",
        "import sqlite3",
        "openbell.http.planted_sql -> sqlite3",
    ),
    "OpenTelemetry and Prometheus only in telemetry": (
        "openbell/supervisor/planted_metric.py",
        "from prometheus_client import Counter",
        "openbell.supervisor.planted_metric -> prometheus_client",
    ),
    "Pure modules know no clock, thread, socket or chance": (
        "openbell/model/planted_chance.py",
        "import random",
        "openbell.model.planted_chance -> random",
    ),
    "Plugins import the public packages only": (
        "openbell_provider_files/planted_private.py",
        "from openbell.model import ids",
        "openbell_provider_files.planted_private",
    ),
    "Plugins do not import each other, and the core none of them": (
        "openbell/service/planted_plugin.py",
        "import openbell_storage_lake",
        "openbell.service.planted_plugin -> openbell_storage_lake",
    ),
}


def lint(directory: Path, sources: Path | None = None) -> tuple[dict[str, str], str]:
    """Return the verdict on each contract, and the whole report."""
    environment = dict(os.environ, COLUMNS="200", NO_COLOR="1")
    if sources is not None:
        environment["PYTHONPATH"] = str(sources)
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [command, "--no-cache", "--no-logo"],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    report = done.stdout + done.stderr
    return dict(VERDICT.findall(report)), report


def copy_sources(target: Path) -> None:
    packages = [ROOT / "daemon" / "openbell", *sorted(ROOT.glob("plugins/*/src/*"))]
    for package in packages:
        if (package / "__init__.py").exists():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(package, target / package.name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", target)


def test_the_import_contracts_hold() -> None:
    verdicts, report = lint(ROOT)
    assert verdicts.keys() == PLANTED.keys(), report
    assert set(verdicts.values()) == {"KEPT"}, report


def test_planted_violations_are_caught(tmp_path: Path) -> None:
    copy_sources(tmp_path)
    for place, code, _ in PLANTED.values():
        path = tmp_path / place
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        path.write_text(f"{before}\n{code}\n", encoding="utf-8")
    verdicts, report = lint(tmp_path, sources=tmp_path)
    assert verdicts == dict.fromkeys(PLANTED, "BROKEN"), report
    words = re.sub(r"\s+", " ", report)
    assert [told for _, _, told in PLANTED.values() if told not in words] == []


def test_a_new_folder_must_find_its_layer(tmp_path: Path) -> None:
    copy_sources(tmp_path)
    (tmp_path / "openbell" / "unheard_of").mkdir()
    (tmp_path / "openbell" / "unheard_of" / "__init__.py").touch()
    _, report = lint(tmp_path, sources=tmp_path)
    assert "unheard_of" in report


def test_every_plugin_is_under_contract() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (roots,) = re.findall(r"^root_packages = \[(.*)\]$", text, re.MULTILINE)
    packages = {path.parent.name for path in ROOT.glob("plugins/*/src/*/__init__.py")}
    assert packages <= set(re.findall(r'"(\w+)"', roots))
