"""What `plugins/README.md` shows works as it stands there."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from doubles.sample_plugin import ROOT, extract_sample

from openbell.plugin_host.kinds import KINDS

pytestmark = pytest.mark.integration


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return extract_sample(tmp_path)


def python(sample: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run python with the sample importable, as if it were installed."""
    environment = dict(os.environ, PYTHONPATH=str(sample / "src"))
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=sample,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_sample_passes_its_own_tests(sample: Path) -> None:
    done = python(
        sample, "-m", "pytest", "-q", "-p", "no:asyncio", "-W", "error", "-p", "no:cacheprovider"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_the_sample_has_one_entry_point(sample: Path) -> None:
    project = tomllib.loads((sample / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["openbell"] == {"acme-bars": "acme_bars"}


def test_the_sample_loads_and_is_light(sample: Path) -> None:
    code = (
        "import acme_bars, sys; from openbell.plugin_host import load_plugins;"
        "registry = load_plugins([('acme-bars', acme_bars)]); info = registry.plugins[-1];"
        "print(info.state, info.reason, dict(info.registers), info.warnings);"
        "print(registry.resolve('acme_bars.provider:RampProvider').__name__)"
    )
    done = python(sample, "-c", code)
    assert done.stdout.splitlines() == [
        "loaded  {'provider': ('ramp',), 'rule': ('round_lot',)} ()",
        "RampProvider",
    ], done.stderr


def test_the_page_names_every_hook_and_every_suite() -> None:
    text = (ROOT / "plugins" / "README.md").read_text(encoding="utf-8")
    assert [
        kind.hook for kind in KINDS if kind.hook.removeprefix("openbell_register") not in text
    ] == []
    for name in ("Provider", "Rule", "Backend", "Sink", "Operator"):
        assert f"{name}Conformance" in text
        assert (ROOT / "daemon" / "spec" / f"{name.lower()}.md").exists()
