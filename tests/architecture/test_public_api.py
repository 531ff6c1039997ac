"""The public packages look as `public_api.txt` says; a change is a reviewed difference.

Run with `OPENBELL_REWRITE_API=1` to write the file again, and add a changelog fragment.
"""

from __future__ import annotations

import difflib
import enum
import importlib
import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.architecture

STORED = Path(__file__).with_name("public_api.txt")
PACKAGES = ("openbell.sdk", "openbell.sdk.arrow", "openbell.testing")


def names_of(module: Any) -> list[str]:
    stated = getattr(module, "__all__", None)
    if stated is not None:
        return sorted(stated)
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    )


def signature(thing: Any) -> str:
    try:
        text = str(inspect.signature(thing))
    except (TypeError, ValueError):
        return "(...)"
    return re.sub(r" at 0x[0-9a-f]+", "", text).replace("'", '"')


def described(name: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value):
        yield from described_class(name, value)
    elif inspect.isroutine(value):
        yield f"def {name}{signature(value)}"
    else:
        yield f"{name}: {type(value).__name__}"


def described_class(name: str, kind: type) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in kind.__bases__ if base is not object)
    yield f"class {name}({bases})"
    if issubclass(kind, enum.Enum):
        yield from (f"    {member.name} = {member.value!r}" for member in kind)
        return
    is_own = "__init__" in vars(kind) and not getattr(kind, "_is_protocol", False)
    if is_own:
        yield f"    __init__{signature(kind)}"
    for member, value in sorted(vars(kind).items()):
        if member.startswith(("_", "model_", "test_")):
            continue
        if isinstance(value, property):
            yield f"    property {member}"
        elif isinstance(value, classmethod | staticmethod):
            yield f"    {type(value).__name__} {member}{signature(value.__func__)}"
        elif inspect.isfunction(value):
            yield f"    def {member}{signature(value)}"
    for member, annotation in sorted(vars(kind).get("__annotations__", {}).items()):
        if not is_own and not member.startswith("_"):
            yield f"    {member}: {annotation}"


def described_package(package: str) -> Iterator[str]:
    module = importlib.import_module(package)
    yield f"# {package}"
    for name in names_of(module):
        yield from described(name, getattr(module, name))
    yield ""


def test_the_public_api_is_as_reviewed() -> None:
    now = "\n".join(line for package in PACKAGES for line in described_package(package))
    if os.environ.get("OPENBELL_REWRITE_API"):
        STORED.write_text(now, encoding="utf-8")
    then = STORED.read_text(encoding="utf-8")
    changes = difflib.unified_diff(then.splitlines(), now.splitlines(), "reviewed", "now", n=0)
    told = "\n".join(changes)
    assert not told, f"review, then run again with OPENBELL_REWRITE_API=1:\n{told}"


@pytest.mark.parametrize("package", ["openbell.sdk", "openbell.testing"])
def test_every_public_name_is_there_and_documented(package: str) -> None:
    module = importlib.import_module(package)
    things = {name: getattr(module, name) for name in module.__all__}
    undocumented = [
        name
        for name, thing in things.items()
        if (inspect.isclass(thing) or inspect.isfunction(thing)) and not inspect.getdoc(thing)
    ]
    assert undocumented == []
