"""`for_each:` of a node: a list of items, or where the items are."""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path as FilePath
from typing import Any

from openbell.config.facts import facts_in
from openbell.config.invalid import nearest, shown
from openbell.config.problems import Problems
from openbell.config.substitution import params_in
from openbell.config.tree import Path, Plain
from openbell.config.uses import placed

ITEM = "item"
"""The parameter that holds an instance's item."""

_PLACES = ("param", "output", "file")
_SHAPES = "write a list, {param: NAME}, {output: NODE} or {file: PATH}"


class FanoutReader:
    """Reads `for_each` of the nodes of one pipeline; files are resolved against `folder`."""

    def __init__(
        self, problems: Problems, params: Mapping[str, Any], *, folder: FilePath, home: str | None
    ) -> None:
        self._problems = problems
        self._params = params
        self._folder = folder
        self._home = home

    def read(self, raw: Plain, path: Path, *, needs: Container[str]) -> Plain:
        """Return what `for_each:` says, as the engine reads it; `needs` are the node's."""
        if isinstance(raw, list):
            self._problems_of_items(raw, path)
            return raw
        if not isinstance(raw, dict):
            hint = _SHAPES
            wanted = params_in(raw) if isinstance(raw, str) else set()
            if len(wanted) == 1:
                hint = f"write {{param: {next(iter(wanted))}}}"
            self._problems.add(
                path, f"must be a list, or say where the items are, not {shown(raw)}", hint
            )
            return raw
        keys = list(raw)
        if len(keys) != 1 or keys[0] not in _PLACES:
            self._problems.add(path, "says in no known way where the items are", _SHAPES)
            return raw
        where, value = keys[0], raw[keys[0]]
        if not isinstance(value, str) or not value:
            self._problems.add((*path, where), f"must be text, not {shown(value)}")
            return raw
        match where:
            case "param":
                self._param(value, (*path, where))
            case "output":
                self._output(value, (*path, where), needs)
            case _:
                return {"file": self._file(value, (*path, where))}
        return raw

    def _problems_of_items(self, items: list[Plain], path: Path) -> None:
        if not items:
            self._problems.add(path, "has no items: the node would never run")
        for name in sorted(params_in(items)):
            hint = f"write {{param: {name}}} to take the items from a parameter"
            self._problems.add(path, f"items are plain values: ${{{name}}} is not filled in", hint)

    def _param(self, name: str, path: Path) -> None:
        if name not in self._params:
            self._problems.add_unknown(path, "parameter", name, self._params)
        elif not isinstance(self._params[name], (list, type(None))):
            held = shown(self._params[name])
            self._problems.add(path, f"parameter {name!r} must hold a list, not {held}")

    def _output(self, node: str, path: Path, needs: Container[str]) -> None:
        if node not in needs:
            known = needs if isinstance(needs, Mapping) else ()
            hint = "add it to needs" if not known else nearest(node, known)
            self._problems.add(path, f"node {node!r} is none that this one needs", hint)

    def _file(self, place: str, path: Path) -> str:
        wanted = params_in(place)
        facts = facts_in(wanted, self._params, self._problems, path)
        for name in sorted(wanted - set(self._params) - set(facts)):
            self._problems.add_unknown(path, "parameter", name, self._params)
        return place if place.startswith("${") else placed(place, self._folder, self._home)
