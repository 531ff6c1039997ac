"""What is in force and who said so: the data of `mdp config view --show-origin`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from openbell.config.fields import entry_model, field_model, is_listed
from openbell.config.invalid import MASK
from openbell.config.load import Loaded
from openbell.config.node_schema import NodeSection
from openbell.config.plugins import Registry
from openbell.config.schema import Configuration, PipelineSection
from openbell.config.tree import Path, Plain, Tree, key_path

DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One value in force; a secret is masked.

    `origin` is `flag KEY`, `environment OPENBELL_X`, `file:line`, `profile NAME file:line` or
    `default`.
    """

    path: Path
    value: Plain
    origin: str

    @property
    def key(self) -> str:
        """The path as people write it."""
        return key_path(self.path)


def settings_in_force(loaded: Loaded, registry: Registry) -> tuple[Setting, ...]:
    """Return every value in force, defaults as well, in the order of the reference."""
    hidden = loaded.deployment.secrets
    found = _Walk(registry).model(loaded.tree, Configuration, ())
    return tuple(
        Setting(path=path, value=masked(value, hidden), origin=origin)
        for path, value, origin in found
        if path[0] != "profiles"
    )


def nested(settings: tuple[Setting, ...]) -> dict[str, Plain]:
    """Return the values of `settings` as one mapping: `config view` without origins."""
    root: dict[str, Any] = {}
    for setting in settings:
        _place(root, setting.path, setting.value)
    return root


def masked(value: Plain, secrets: tuple[str, ...]) -> Plain:
    """Return `value`, or the mask if it holds one of `secrets`."""
    if isinstance(value, str) and any(secret in value for secret in secrets):
        return MASK
    return value


def _place(root: Plain, path: Path, value: Plain) -> None:
    node = root
    for step, after in pairwise(path):
        empty: Plain = [] if isinstance(after, int) else {}
        if isinstance(node, list):
            if step == len(node):
                node.append(empty)
            node = node[int(step)]
        else:
            node = node.setdefault(step, empty)
    if isinstance(node, list):
        node.append(value)
    else:
        node[path[-1]] = value


_ENTRIES: dict[tuple[type[BaseModel], str], type[BaseModel]] = {
    (PipelineSection, "nodes"): NodeSection
}
_Found = Iterator[tuple[Path, Plain, str]]


class _Walk:
    """Follows the models and the tree together."""

    def __init__(self, registry: Registry) -> None:
        self._specs: dict[str, Any] = {
            "providers": registry.providers,
            "storage": registry.backends,
            "nodes": registry.operators,
        }

    def model(self, tree: Tree | None, model: type[BaseModel], path: Path) -> _Found:
        """Yield what `model` reads of `tree`: values given, then defaults of the others."""
        given = tree.entries() if tree is not None else {}
        known: set[str] = set()
        for name, field in model.model_fields.items():
            key = field.alias or name
            known.add(key)
            child = given.get(key)
            inner, entry = field_model(field), entry_model(field) or _ENTRIES.get((model, key))
            if inner is not None and _is_open(field, child):
                yield from self.model(child, inner, (*path, key))
            elif child is None:
                value = _shown(field.get_default(call_default_factory=True))
                yield (*path, key), value, DEFAULT
            elif entry is not None and key != "rules":
                is_one = isinstance(child.value, dict) and is_listed(field)
                one = self.model if is_one else self._entries
                yield from one(child, entry, (*path, key))
            else:
                yield from self._leaves(child, (*path, key))
        rest = {key: child for key, child in given.items() if key not in known}
        plugin = self._plugin(given, path)
        if plugin is not None and tree is not None:
            yield from self.model(Tree(rest, tree.mark), plugin, path)
        else:
            for key, child in rest.items():
                yield from self._leaves(child, (*path, key))

    def _entries(self, tree: Tree, model: type[BaseModel], path: Path) -> _Found:
        """Yield what the entries hold; a text that stands for a whole entry as it is."""
        children = tree.value
        if not isinstance(children, (list, dict)):
            yield from self._leaves(tree, path)
            return
        pairs = enumerate(children) if isinstance(children, list) else tree.entries().items()
        for key, child in pairs:
            if isinstance(child.value, dict):
                yield from self.model(child, model, (*path, key))
            else:
                yield from self._leaves(child, (*path, key))

    def _leaves(self, tree: Tree, path: Path) -> _Found:
        for leaf_path, leaf in tree.leaves(path):
            yield leaf_path, leaf.plain(), leaf.mark.origin()

    def _plugin(self, given: dict[str, Tree], path: Path) -> type[BaseModel] | None:
        """Return the settings model of the plugin whose keys stand at `path`, if one does."""
        if len(path) < 2 or str(path[-2]) not in self._specs:
            return None
        choice = given.get("op" if path[-2] == "nodes" else "type")
        spec = self._specs[str(path[-2])].get(choice.value) if choice is not None else None
        found: type[BaseModel] | None = spec.settings_model if spec is not None else None
        return found


def _is_open(field: FieldInfo, child: Tree | None) -> bool:
    """Return whether a section is written key by key, or left to its defaults."""
    return not field.is_required() if child is None else isinstance(child.value, dict)


def _shown(value: object) -> Plain:
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    return to_jsonable_python(value)
