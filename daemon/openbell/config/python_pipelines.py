"""`pipelines_from:`: pipelines that functions return, read as if they stood under `pipelines:`.

The functions are not called here: whoever loads a configuration says how (`Collect`), because the
code is the user's and must not run in the control plane. `openbell.execution.collecting` calls
each in a process of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Any

from openbell.config.problems import Problems
from openbell.config.tree import Mark, Path, Tree, grown

_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
KEY = "pipelines_from"


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a function returned, as documents by name; or what is wrong with it, in words."""

    function: str
    pipelines: Mapping[str, Any] = field(default_factory=_nothing)
    error: str = ""
    hint: str = ""


Collect = Callable[[Sequence[str], FilePath], Sequence[Collected]]
"""Calls functions by their import strings, one answer for each in that order.

The folder is the configuration's: modules are looked for there after all others.
"""


def with_python(tree: Tree, folder: FilePath, collect: Collect, problems: Problems) -> Tree:
    """Return the tree with the pipelines of `pipelines_from` beside those written in it."""
    wanted = _functions(tree, problems)
    if not wanted:
        return tree
    section = tree.child("pipelines") or Tree({}, tree.mark)
    written = dict(section.entries())
    origin = dict.fromkeys(written, "the file")
    places = list(wanted)
    for answer in collect([wanted[path] for path in places], folder):
        path = places.pop(0)
        if answer.error:
            problems.add(path, f"{answer.function} {answer.error}", answer.hint)
        for name, document in answer.pipelines.items():
            if name in origin:
                message = f"{answer.function} returns pipeline {name!r}, which {origin[name]} has"
                problems.add(path, message, "pipelines need names of their own")
                continue
            origin[name] = answer.function
            written[name] = grown(document, Mark(file=answer.function))
    whole = {**tree.entries(), "pipelines": Tree(written, section.mark, section.key_mark)}
    return Tree(whole, tree.mark, tree.key_mark)


def _functions(tree: Tree, problems: Problems) -> dict[Path, str]:
    """Return the functions that are named, each once, by where."""
    found = tree.child(KEY)
    if found is None:
        return {}
    entries = found.value if isinstance(found.value, list) else [found]
    functions: dict[Path, str] = {}
    for index, entry in enumerate(entries):
        path: Path = (KEY, index) if isinstance(found.value, list) else (KEY,)
        name = entry.value
        if not isinstance(name, str) or _FUNCTION.fullmatch(name) is None:
            message = f"{entry.plain()!r} names no function"
            problems.add(path, message, "write it as package.module:function")
        elif name in functions.values():
            problems.add(path, f"{name} is named twice")
        else:
            functions[path] = name
    return functions


def refuse(functions: Sequence[str], folder: FilePath) -> tuple[Collected, ...]:
    """Call nothing: for places where a configuration is read and no code may run."""
    del folder
    return tuple(Collected(function=function, error="is not called here") for function in functions)
