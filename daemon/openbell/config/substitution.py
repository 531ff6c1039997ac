"""`${env:X}`, `${secret:name}` and `${param}`, the only substitutions; `$${` writes `${`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path as FilePath
from typing import Any

from openbell.config.invalid import nearest
from openbell.config.problems import Problems
from openbell.config.tree import Path, Plain, Tree
from openbell.model.facts import since_argument

_PLACE = re.compile(r"\$\$\{|\$\{([^{}]*)\}?")
_PARAM = re.compile(
    r"\$\$\{|\$\{(item(?:\.[A-Za-z0-9_]+)+|[A-Za-z_][A-Za-z0-9_]*(?:\([A-Za-z0-9_-]+\))?)\}"
)
_PART_OF_ITEM = re.compile(r"item(?:\.[A-Za-z0-9_]+)+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_SECRET_SECTIONS = ("providers", "storage", "telemetry", "daemon")
LARGEST_SECRET_BYTES = 1024 * 1024
_FORMS = "write ${env:NAME}, ${secret:name}, or ${param} in a pipeline's node"


class Substitution:
    """Fills in what is known at load; `secrets` gathers the values that were used."""

    def __init__(self, env: Mapping[str, str], problems: Problems) -> None:
        self._env = env
        self._problems = problems
        self.secrets: set[str] = set()

    def apply(self, tree: Tree, path: Path = ()) -> Tree:
        """Return `tree` with every `${env:}` and `${secret:}` filled in."""
        value = tree.value
        if isinstance(value, dict):
            children = {key: self.apply(child, (*path, key)) for key, child in value.items()}
            same = all(children[key] is value[key] for key in children)
            return tree if same else Tree(children, tree.mark, tree.key_mark)
        if isinstance(value, list):
            items = [self.apply(child, (*path, index)) for index, child in enumerate(value)]
            same = all(new is old for new, old in zip(items, value, strict=True))
            return tree if same else Tree(items, tree.mark, tree.key_mark)
        if not isinstance(value, str) or "${" not in value:
            return tree
        return Tree(self._filled(value, path), tree.mark, tree.key_mark)

    def _filled(self, text: str, path: Path) -> str:
        at_run_time = takes_params(path)

        def fill(match: re.Match[str]) -> str:
            if match[1] is None:
                return "$${" if at_run_time else "${"
            if not match[0].endswith("}"):
                self._problems.add(path, "'${' is never closed", "write $${ for a plain ${")
                return match[0]
            filled = self._value(match[1], path)
            if filled is None:
                return match[0]
            return filled.replace("${", "$${") if at_run_time else filled

        return _PLACE.sub(fill, text)

    def _value(self, inner: str, path: Path) -> str | None:
        kind, colon, name = inner.partition(":")
        if kind == "env" and colon and _VARIABLE.fullmatch(name):
            return self._variable(name, path)
        if kind == "secret" and colon and _SECRET.fullmatch(name):
            return self._secret(name, path)
        is_param = (
            _VARIABLE.fullmatch(inner)
            or _PART_OF_ITEM.fullmatch(inner)
            or since_argument(inner) is not None
        )
        if not colon and is_param and takes_params(path):
            return None
        self._problems.add(path, f"substitution ${{{inner}}} is not understood here", _FORMS)
        return None

    def _variable(self, name: str, path: Path) -> str | None:
        if name not in self._env:
            self._problems.add(path, f"environment variable {name} is not set")
        return self._env.get(name)

    def _secret(self, name: str, path: Path) -> str | None:
        if path[0] not in _SECRET_SECTIONS:
            allowed = ", ".join(_SECRET_SECTIONS)
            self._problems.add(path, "a secret may not stand here", f"only under {allowed}")
            return None
        folders = [
            FilePath(folder)
            for folder in (
                self._env.get("CREDENTIALS_DIRECTORY"),
                self._env.get("OPENBELL_SECRETS_DIR"),
            )
            if folder
        ]
        for folder in folders:
            if (folder / name).is_file():
                return self._read_secret(folder / name, path)
        if not folders:
            hint = "set OPENBELL_SECRETS_DIR, or load it as a systemd credential"
        else:
            there = [
                entry.name for folder in folders if folder.is_dir() for entry in folder.iterdir()
            ]
            hint = nearest(name, there)
        self._problems.add(path, f"secret {name!r} does not exist", hint)
        return None

    def _read_secret(self, file: FilePath, path: Path) -> str | None:
        try:
            if file.stat().st_size > LARGEST_SECRET_BYTES:
                self._problems.add(path, f"secret {file.name!r} is larger than 1 MiB")
                return None
            value = file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            self._problems.add(path, f"secret {file.name!r} cannot be read: {reason}")
            return None
        if value:
            self.secrets.add(value)
            self._problems.secrets.add(value)
        else:
            self._problems.add(path, f"secret {file.name!r} is empty")
        return value


def takes_params(path: Path) -> bool:
    """Return whether `path` lies in what is filled in when a run starts: settings of nodes.

    Arguments of templates may become such settings; where they do not, they are told there.
    """
    in_node = len(path) > 4 and path[0] == "pipelines" and path[2] == "nodes"
    in_template = len(path) > 3 and path[0] == "pipelines" and path[2] == "with"
    return in_node or in_template or (len(path) > 3 and path[0] == "jobs" and path[2] == "rules")


def params_in(value: Plain) -> set[str]:
    """Return the names of the parameters that `value` (plain JSON) asks for.

    A part of an item, `${item.symbol}`, asks for the item.
    """
    found: set[str] = set()

    def note(name: str) -> str:
        found.add(name.partition(".")[0])
        return ""

    _rewrite(value, note)
    return found


def fill_params(value: Plain, params: Mapping[str, Any]) -> Plain:
    """Return `value` (plain JSON) with every `${param}` filled in and `$${` written as `${`.

    Text that is one `${param}` becomes the parameter itself, whatever its type; within longer
    text it is written out, what is no text as JSON. Raises KeyError for a parameter that is not there.
    """
    return _rewrite(value, lambda name: params[name])


def param_names(value: Plain) -> frozenset[str]:
    """Return the name of every `${param}` in `value`."""
    names: set[str] = set()

    def note(name: str) -> str:
        names.add(name)
        return ""

    _rewrite(value, note)
    return frozenset(names)


def _rewrite(value: Plain, answer: Callable[[str], Any]) -> Plain:
    if isinstance(value, Mapping):
        return {key: _rewrite(child, answer) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rewrite(child, answer) for child in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    whole = _PARAM.fullmatch(value)
    if whole is not None and whole[1] is not None:
        return answer(whole[1])
    return _PARAM.sub(lambda m: "${" if m[1] is None else _out(answer(m[1])), value)


def _out(value: Plain) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=dict)
