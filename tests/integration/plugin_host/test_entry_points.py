"""Plugins as they are installed: distributions with entry points on the path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from openbell.plugin_host import PluginInfo, load_plugins

pytestmark = pytest.mark.integration

Install = Callable[..., None]
OPERATOR = """
from openbell.sdk import NoSettings, OperatorSpec, hookimpl

class Plugin:
    @hookimpl
    def openbell_register_operators(self):
        return [OperatorSpec(name="{name}", settings_model=NoSettings, factory="a:B", role="sink")]

plugin = Plugin()
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return what puts a distribution of one module on the path."""
    monkeypatch.syspath_prepend(tmp_path)

    def put(distribution: str, code: str, *, entry: str = "{module}") -> None:
        module = distribution.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(code, encoding="utf-8")
        info = tmp_path / f"{module}-2.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.1\n", encoding="utf-8"
        )
        point = entry.format(module=module)
        (info / "entry_points.txt").write_text(f"[openbell]\nx = {point}\n", encoding="utf-8")

    return put


def fate(distribution: str) -> PluginInfo:
    (info,) = [p for p in load_plugins().plugins if p.distribution == distribution]
    return info


def test_an_entry_point_may_name_an_object(install: Install) -> None:
    install("acme-tools", OPERATOR.format(name="acme"), entry="{module}:plugin")
    info = fate("acme-tools")
    assert (info.state, info.version) == ("loaded", "2.1")
    assert info.registers == {"operator": ("acme",)}


def test_no_plugin_takes_a_name_of_the_core(install: Install) -> None:
    install("aaa-first-by-name", OPERATOR.format(name="write"), entry="{module}:plugin")
    info = fate("aaa-first-by-name")
    assert info.reason == "operator 'write' is already registered by core of openbell"
    assert fate("openbell-storage-lake").state == "loaded"


def test_the_first_distribution_by_name_keeps_a_name(install: Install) -> None:
    install("zeta-tools", OPERATOR.format(name="same"), entry="{module}:plugin")
    install("beta-tools", OPERATOR.format(name="same"), entry="{module}:plugin")
    assert fate("beta-tools").state == "loaded"
    assert fate("zeta-tools").reason == "operator 'same' is already registered by x of beta-tools"


def test_an_import_that_fails_is_told_with_its_traceback(install: Install) -> None:
    install("acme-broken", "def half(:\n")
    info = fate("acme-broken")
    assert info.state == "refused"
    assert info.reason.startswith("SyntaxError")
    assert "acme_broken.py" in info.traceback


def test_an_entry_point_to_nothing_is_refused(install: Install) -> None:
    install("acme-nothing", "", entry="{module}:plugin")
    assert fate("acme-nothing").reason.startswith("AttributeError")
