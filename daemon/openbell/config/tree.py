"""A parsed document: plain values, and for each the place it came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

Scalar: TypeAlias = str | int | float | bool | None
Path: TypeAlias = tuple[str | int, ...]
Plain: TypeAlias = Any
"""Dicts with text keys, lists and scalars, nested."""


class Mark(NamedTuple):
    """Where a value was written; `line` and `column` count from 1.

    `via` names what put it over the file: `profile prod`, `environment OPENBELL_X` or `flag`.
    """

    file: str = ""
    line: int = 0
    column: int = 0
    via: str = ""

    def origin(self) -> str:
        """Return the place as `config view --show-origin` tells it."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return " ".join(part for part in (self.via, place) if part)


@dataclass(slots=True, eq=False)
class Tree:
    """One value of a document. Never changed once made: shared where the document shares it.

    `key_mark` is where the key stands under which the value was found, and `mark` where the value
    itself begins.
    """

    value: Scalar | dict[str, Tree] | list[Tree]
    mark: Mark
    key_mark: Mark | None = None

    def plain(self) -> Plain:
        """Return the value without places: dicts, lists and scalars."""
        value = self.value
        if isinstance(value, dict):
            return {key: child.plain() for key, child in value.items()}
        if isinstance(value, list):
            return [child.plain() for child in value]
        return value

    def child(self, step: str | int) -> Tree | None:
        """Return what is at key or index `step`, or None."""
        value = self.value
        if isinstance(value, dict):
            return value.get(str(step))
        if isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
            return value[step]
        return None

    def entries(self) -> dict[str, Tree]:
        """Return the children of a mapping; nothing for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    def without(self, *keys: str) -> Tree:
        """Return this mapping without `keys`."""
        kept = {key: child for key, child in self.entries().items() if key not in keys}
        return Tree(kept, self.mark, self.key_mark)

    def mark_at(self, path: Path, *, of_key: bool = False) -> Mark:
        """Return the place of what is at `path`, or of its nearest parent that exists.

        Where one may be written for a list of one, `path` may say that it is the first.
        """
        node = self
        for step in path:
            if step == 0 and not isinstance(node.value, list):
                continue
            found = node.child(step)
            if found is None:
                return node.key_mark or node.mark
            node = found
        if of_key and node.key_mark is not None:
            return node.key_mark
        return node.mark

    def leaves(self, path: Path = ()) -> Iterator[tuple[Path, Tree]]:
        """Yield every scalar and every empty collection with its path, in order."""
        value = self.value
        if isinstance(value, dict) and value:
            for key, child in value.items():
                yield from child.leaves((*path, key))
        elif isinstance(value, list) and value:
            for index, child in enumerate(value):
                yield from child.leaves((*path, index))
        else:
            yield path, self


def merged(under: Tree, over: Tree) -> Tree:
    """Return `over` laid on `under`: mappings key by key, anything else replaced."""
    if not (isinstance(under.value, dict) and isinstance(over.value, dict)):
        return over
    values = dict(under.value)
    for key, child in over.value.items():
        below = values.get(key)
        values[key] = child if below is None else merged(below, child)
    return Tree(values, under.mark, under.key_mark)


def via(tree: Tree, name: str) -> Tree:
    """Return `tree` with every place marked as put there by `name`."""
    mark = tree.mark._replace(via=name)
    key_mark = tree.key_mark._replace(via=name) if tree.key_mark else None
    value = tree.value
    if isinstance(value, dict):
        return Tree({key: via(child, name) for key, child in value.items()}, mark, key_mark)
    if isinstance(value, list):
        return Tree([via(child, name) for child in value], mark, key_mark)
    return Tree(value, mark, key_mark)


def grown(value: Plain, mark: Mark) -> Tree:
    """Return plain values as a tree whose every place is `mark`."""
    if isinstance(value, dict):
        return Tree({str(key): grown(child, mark) for key, child in value.items()}, mark, mark)
    if isinstance(value, (list, tuple)):
        return Tree([grown(child, mark) for child in value], mark, mark)
    return Tree(value, mark, mark)


def key_path(path: Path) -> str:
    """Return `path` as people write it: `nodes.check.rules[0].name`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text
