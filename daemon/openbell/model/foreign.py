"""Values that a plugin's code gave, and have to be what its contract says."""

from __future__ import annotations

from typing import TypeVar

from openbell.sdk.errors import PluginError

_T = TypeVar("_T")


def expected(value: object, kind: type[_T], *, plugin: str, call: str) -> _T:
    """Return `value`, which `call` of `plugin` gave; raises PluginError when it is no `kind`."""
    if isinstance(value, kind):
        return value
    raise PluginError(
        plugin, f"{call} gave a value of type {type_name(value)}, not {kind.__name__}"
    )


def type_name(value: object) -> str:
    """Return what a value's type is called, with its module where that is not Python's own."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
