"""A configuration file, YAML or JSON, to a `Tree`."""

from __future__ import annotations

from pathlib import Path

from openbell.config.json_reader import read_json
from openbell.config.text import decode, read_bytes, refusal
from openbell.config.tree import Tree
from openbell.config.yaml_reader import read_yaml
from openbell.sdk.errors import Problem, SettingsError


def read_file(path: Path) -> Tree:
    """Return what the file says; raises SettingsError when it cannot be understood."""
    text = decode(read_bytes(path), str(path))
    if not text.strip():
        raise refusal(path, "is empty", "begin with: version: 2")
    return read_text(text, str(path), is_json=path.suffix.lower() == ".json" or None)


def read_text(text: str, file: str, *, is_json: bool | None = None) -> Tree:
    """Return what `text` says; without `is_json` text that begins with `{` is tried as JSON first.

    Raises SettingsError when it cannot be understood or its root is no mapping.
    """
    if is_json is None and text.lstrip().startswith("{"):
        try:
            return _mapping(read_json(text, file), file)
        except SettingsError:
            is_json = False
    return _mapping(read_json(text, file) if is_json else read_yaml(text, file), file)


def _mapping(tree: Tree | None, file: str) -> Tree:
    if tree is None:
        message, line, column = "the configuration says nothing", 1, 1
    elif not isinstance(tree.value, dict):
        message, line, column = "must be a mapping of keys", tree.mark.line, tree.mark.column
    else:
        return tree
    raise SettingsError(
        [
            Problem(
                message=message, file=file, line=line, column=column, hint="begin with: version: 2"
            )
        ]
    )
