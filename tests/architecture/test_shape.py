"""How large things may be, how they may be called, and where they stand."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.architecture

ROOT = Path(__file__).resolve().parents[2]
MODULE_LINES = 400
FUNCTION_LINES = 60
BANNED = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
TOP_LEVEL = {
    "LICENSE",
    "README.md",
    "benchmarks",
    "contrib",
    "daemon",
    "plugins",
    "pyproject.toml",
    "systemd",
    "tests",
    "uv.lock",
}
BROAD_EXCEPTS = {
    "daemon/openbell/execution/worker/__main__.py": "a node attempt",
    "daemon/openbell/http/app.py": "the HTTP handler",
    "daemon/openbell/plugin_host/guard.py": "plugin load",
    "daemon/openbell/supervisor/crashes.py": "supervision: what an actor's crash means",
    "daemon/openbell/execution/conversation.py": "carried out of a task group and raised there",
    "daemon/openbell/supervisor/journal.py": "an observer's bug, logged and counted",
    "daemon/openbell/supervisor/deadline.py": "carried out of a task group and raised there",
}
FRAGMENT = re.compile(
    r"[a-z0-9]+(\.[a-z0-9][a-z0-9_-]*)?\.(breaking|feature|fix|deprecation|security|docs)\.md"
)
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:(?:home|Users)/(?!(?:me|q|user)\b)|work/|root/)[\w.-]+")
REGISTRY_HOST = re.compile(r"https?://[^\s\"')]*(?:pypi|pythonhosted|artifactory|nexus)[^\s\"')]*")


def tracked() -> list[Path]:
    """Return the files that git tracks and that are still there."""
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("this is no git checkout")
    return [Path(name) for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def modules() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py"]


def text_of(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_modules_stay_small() -> None:
    lines = {str(path): len(text_of(path).splitlines()) for path in modules()}
    assert {path: n for path, n in lines.items() if n > MODULE_LINES} == {}


def test_functions_stay_small() -> None:
    long = [
        f"{path}:{name} has {lines} lines"
        for path in modules()
        for name, lines in functions(path)
        if lines > FUNCTION_LINES
    ]
    assert long == []


def test_names_say_what_is_inside() -> None:
    bad = [str(path) for path in modules() for part in path.with_suffix("").parts if part in BANNED]
    assert bad == []


def test_only_agreed_things_stand_at_the_top() -> None:
    top = {path.parts[0] for path in tracked()}
    assert {name for name in top if not name.startswith(".")} <= TOP_LEVEL


def test_changelog_fragments_are_named_after_issue_and_kind() -> None:
    fragments = [path.name for path in tracked() if path.parts[0] == ".changelog"]
    assert [name for name in fragments if not FRAGMENT.fullmatch(name)] == []


def test_no_file_names_a_place_of_one_machine() -> None:
    found = [
        f"{path}: {match[0]}"
        for path in tracked()
        if path.name not in {"uv.lock", Path(__file__).name}
        for pattern in (MACHINE_PATH, REGISTRY_HOST)
        for match in pattern.finditer(text_of(path))
    ]
    assert found == []


def test_every_module_uses_the_annotations_of_the_future() -> None:
    without = [
        str(path)
        for path in modules()
        if text_of(path).strip() and "from __future__ import annotations" not in text_of(path)
    ]
    assert [path for path in without if not path.endswith("__init__.py")] == []


def test_broad_excepts_stand_in_the_agreed_places() -> None:
    found = {
        str(path)
        for path in modules()
        if path.parts[0] in {"daemon", "plugins"}
        for node in ast.walk(ast.parse(text_of(path)))
        if isinstance(node, ast.ExceptHandler) and _is_swallowing(node)
    }
    assert sorted(found - BROAD_EXCEPTS.keys()) == []


def _is_swallowing(handler: ast.ExceptHandler) -> bool:
    """Return whether a handler catches every Exception and does not raise at its end."""
    kind = handler.type
    names = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    is_broad = any(isinstance(name, ast.Name) and name.id == "Exception" for name in names)
    return is_broad and not isinstance(handler.body[-1], ast.Raise)
