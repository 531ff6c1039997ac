"""Wheels of the core and of plugins that are none of ours, in a fresh virtual environment.

The good plugin is the one that `plugins/README.md` shows; beside it are five broken ones.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from doubles.sample_plugin import ROOT, extract_sample

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

HOOK = """
from openbell.sdk import NoSettings, ProviderSpec, hookimpl
{constant}
{mark}
{kind} {name}():
    return [ProviderSpec(name="{provider}", settings_model=NoSettings, factory="somewhere:Thing")]
"""


def hook(
    *,
    provider: str,
    name: str = "openbell_register_providers",
    kind: str = "def",
    constant: str = "",
) -> str:
    return HOOK.format(provider=provider, name=name, kind=kind, constant=constant, mark="@hookimpl")


BROKEN = {
    "zz-no-import": "import a_library_that_nobody_has\n",
    "zz-misspelt": hook(provider="misspelt", name="openbell_register_provider"),
    "zz-async": hook(provider="asynchronous", kind="async def"),
    "zz-twice": hook(provider="ramp"),
    "zz-future": hook(provider="future", constant='OPENBELL_API = "2.0"'),
}
REASONS = {
    "zz-no-import": "ModuleNotFoundError: No module named 'a_library_that_nobody_has'",
    "zz-misspelt": "did you mean 'openbell_register_providers'",
    "zz-async": "is `async def`",
    "zz-twice": "provider 'ramp' is already registered by acme-bars of acme-bars",
    "zz-future": "written for plugin API 2.0, this daemon has 1.0",
}


def run(*command: str | Path, cwd: Path = ROOT, code: int = 0) -> str:
    """Run a command outside the checkout's environment; return what it wrote to stdout."""
    environment = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def write_wheel(directory: Path, distribution: str, code: str) -> Path:
    """Write a wheel of one module with one entry point."""
    module = distribution.replace("-", "_")
    info = f"{module}-1.0.0.dist-info"
    files = {
        f"{module}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[openbell]\n{distribution} = {module}\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    path = directory / f"{module}-1.0.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(name, content)
    return path


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with `bin/` of a fresh environment and the sample beside it."""
    if shutil.which("uv") is None:
        pytest.skip("uv is not installed")
    place = tmp_path_factory.mktemp("third-party")
    sample = extract_sample(place)
    wheels = place / "wheels"
    for project in (ROOT, ROOT / "plugins" / "openbell-storage-lake", sample):
        run("uv", "build", "-q", "--wheel", "--out-dir", wheels, project, cwd=place)
    for distribution, code in BROKEN.items():
        write_wheel(wheels, distribution, code)
    locked = place / "locked.txt"
    export = ("--frozen", "--all-packages", "--no-emit-workspace", "--no-hashes", "--no-annotate")
    run("uv", "export", "-q", *export, "-o", locked)
    run("uv", "venv", "-q", "--python", sys.executable, place / "venv")
    python = place / "venv" / "bin" / "python"
    install = ("uv", "pip", "install", "-q", "--python", python, "-c", locked)
    run(*install, *sorted(wheels.glob("*.whl")), cwd=place)
    return place


def mdp(place: Path, *arguments: str, code: int = 0) -> str:
    return run(place / "venv" / "bin" / "mdp", *arguments, cwd=place, code=code)


def test_the_sample_is_listed_with_what_it_registers(installed: Path) -> None:
    plugins: list[dict[str, Any]] = json.loads(mdp(installed, "plugins", "-o", "json"))
    (sample,) = [plugin for plugin in plugins if plugin["name"] == "acme-bars"]
    assert sample["state"] == "loaded"
    assert (sample["distribution"], sample["version"]) == ("acme-bars", "1.0.0")
    assert sample["registers"] == {"provider": ["ramp"], "rule": ["round_lot"]}


def test_broken_plugins_are_listed_with_their_reasons_and_stop_nothing(installed: Path) -> None:
    plugins = {p["name"]: p for p in json.loads(mdp(installed, "plugins", "-o", "json"))}
    told = {name: plugins[name]["reason"] for name in BROKEN}
    assert {name: plugins[name]["state"] for name in BROKEN} == dict.fromkeys(BROKEN, "refused")
    assert [name for name, words in REASONS.items() if words not in told[name]] == [], told
    others = {name: p["state"] for name, p in plugins.items() if name not in BROKEN}
    assert others.keys() >= {"core", "quality", "storage-lake", "acme-bars"}
    assert set(others.values()) == {"loaded"}


def test_the_samples_configuration_is_valid(installed: Path) -> None:
    mdp(installed, "validate", "--config", "acme-bars/example.yaml")


def test_a_pipeline_that_needs_a_refused_plugin_is_told_so(installed: Path) -> None:
    text = (installed / "acme-bars" / "example.yaml").read_text(encoding="utf-8")
    wrong = installed / "wrong.yaml"
    wrong.write_text(text.replace("type: ramp", "type: future"), encoding="utf-8")
    done = subprocess.run(
        [str(installed / "venv" / "bin" / "mdp"), "validate", "--config", str(wrong)],
        cwd=installed,
        capture_output=True,
        text=True,
        check=False,
    )
    words = done.stdout + done.stderr
    assert "'future'" in words
    assert "zz-future was refused: it was written for plugin API 2.0" in words


def test_the_sample_is_used_in_a_run(installed: Path) -> None:
    arguments = ("--config", "acme-bars/example.yaml", "--pipeline", "acme_checked")
    session = ("--session", "2026-01-05", "-o", "json")
    place = ("--state-dir", str(installed / "state"))
    first = json.loads(mdp(installed, "run", *arguments, *session, *place))
    assert first["state"] == "success"
    assert (first["rows_in"], first["rows_written"]) == (780, 780)
    assert first["nodes"]["check"]["verdict"] == "pass"
    again = json.loads(mdp(installed, "run", *arguments, *session, *place))
    assert (again["rows_written"], again["rows_unchanged"]) == (0, 780)
    lines = mdp(
        installed, "data", "read", "acme_bars", "--symbol", "MSFT", "-o", "csv", *arguments[:2]
    )
    assert len(lines.splitlines()) == 1 + 390


def test_the_samples_rule_holds_rows_back(installed: Path) -> None:
    text = (installed / "acme-bars" / "example.yaml").read_text(encoding="utf-8")
    strict = installed / "strict.yaml"
    strict.write_text(text.replace("lot: 100", "lot: 300").replace("acme_bars", "other_bars"))
    arguments = ("--config", "strict.yaml", "--pipeline", "acme_checked", "--session", "2026-01-05")
    place = ("--state-dir", str(installed / "strict-state"), "-o", "json")
    told = json.loads(mdp(installed, "run", *arguments, *place))
    assert told["nodes"]["check"]["verdict"] == "fail"
    assert (told["rows_written"], told["rows_quarantined"]) == (0, 780)
