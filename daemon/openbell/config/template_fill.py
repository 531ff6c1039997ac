"""`{{name}}` in a template filled in, every value keeping the place that it came from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from openbell.config.template_file import Template
from openbell.config.tree import Mark, Path, Scalar, Tree

_SLOT = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)(?:\.([a-z]+))?\s*\}\}")

Lookup = Callable[[str, str], Scalar]
"""Returns an attribute of a dataset by its name: what `{{dataset.calendar}}` asks for."""


class UnknownSlotError(Exception):
    """A template uses a parameter that it does not declare."""


@dataclass(slots=True)
class Filling:
    """A template being filled in for one pipeline.

    `origins` maps paths of the result to the parameters whose arguments stand there. Text of the
    template itself is placed at `mark`.
    """

    template: Template
    arguments: Mapping[str, Tree]
    mark: Mark
    lookup: Lookup
    origins: dict[Path, str] = field(default_factory=dict)
    _values: dict[str, Tree] = field(default_factory=dict)

    def body(self) -> Tree:
        """Return the pipeline; raises UnknownSlotError for a template with a fault."""
        for name in self.template.params:
            given = self.arguments.get(name)
            default = self.template.defaults.get(name)
            if given is not None:
                self._values[name] = given
            elif default is not None:
                filled = self._filled(default, ("params", name))
                self._values[name] = filled or Tree(None, self.mark, self.mark)
        self.origins.clear()
        whole = self._filled(self.template.body, ())
        assert whole is not None
        return whole

    def _filled(self, tree: Tree, path: Path) -> Tree | None:
        """Return `tree` filled in, None where an argument that was left out stands."""
        value = tree.value
        if isinstance(value, dict):
            members: dict[str, Tree] = {}
            for key, child in value.items():
                name = self._written(key, path)
                filled = self._filled(child, (*path, name))
                if filled is not None:
                    members[name] = Tree(filled.value, filled.mark, filled.key_mark or self.mark)
            return Tree(members, self.mark, self.mark)
        if isinstance(value, list):
            items: list[Tree] = []
            for child in value:
                filled = self._filled(child, (*path, len(items)))
                if filled is not None:
                    items.append(filled)
            return Tree(items, self.mark, self.mark)
        if isinstance(value, str):
            return self._text(value, path)
        return Tree(value, self.mark, self.mark)

    def _text(self, text: str, path: Path) -> Tree | None:
        whole = _SLOT.fullmatch(text)
        if whole is None:
            return Tree(self._written(text, path), self._place(path), self.mark)
        found = self._slot(whole, path)
        return None if found.value is None else found

    def _written(self, text: str, path: Path) -> str:
        def fill(match: re.Match[str]) -> str:
            value = self._slot(match, path).value
            if isinstance(value, bool):
                return str(value).lower()
            return "" if value is None else str(value)

        return _SLOT.sub(fill, text)

    def _slot(self, match: re.Match[str], path: Path) -> Tree:
        name, attribute = match[1], match[2]
        if name not in self.template.params:
            raise UnknownSlotError(f"{match[0]} is no parameter of template {self.template.name!r}")
        found = self._values.get(name) or Tree(None, self.mark, self.mark)
        if name in self.arguments:
            self.origins.setdefault(path, name)
        if attribute is None:
            return found
        return Tree(self.lookup(str(found.value), attribute), found.mark, self.mark)

    def _place(self, path: Path) -> Mark:
        """Return where text stands: at the argument written into it, if there is one."""
        name = self.origins.get(path)
        return self.mark if name is None else self.arguments[name].mark
