"""Frozen values that are made quickly: the engine makes some thirty of them for each run.

The `__init__` of a frozen dataclass sets each field by a look-up through `object`, and `replace`
reads every field by its name first. What is made here sets the slots themselves, which takes a
third of the time and means the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, replace
from typing import Any, TypeVar

_T = TypeVar("_T")


def quick(cls: type[_T]) -> type[_T]:
    """Return `cls`, a frozen dataclass with slots and keyword-only fields, with a quicker `__init__`.

    Use it above `@dataclass(frozen=True, slots=True, kw_only=True)`. A class of another kind, or
    with fields that are not given to `__init__`, stays as it is.
    """
    known = fields(cls)  # type: ignore[arg-type]
    slots = {field.name: getattr(cls, field.name, None) for field in known}
    is_plain = all(field.init and field.kw_only for field in known)
    is_slotted = all(hasattr(slot, "__set__") for slot in slots.values())
    if is_plain and is_slotted and not hasattr(cls, "__post_init__"):
        setters = {f"_set_{name}": slot.__set__ for name, slot in slots.items() if slot is not None}
        cls.__init__ = _init(cls, setters)  # type: ignore[method-assign]
        cls._changed = _changed(cls, setters)  # type: ignore[attr-defined]
    return cls


def changed(value: _T, **changes: Any) -> _T:  # noqa: ANN401 - fields of any value
    """Return `dataclasses.replace(value, **changes)`, quickly if its class is `quick`."""
    cls = type(value)
    if "_changed" not in cls.__dict__:
        return replace(value, **changes)  # type: ignore[type-var]
    made: _T = cls._changed(value, **changes)  # type: ignore[attr-defined]
    return made


def _init(cls: type[Any], setters: Mapping[str, Any]) -> Callable[..., None]:
    scope: dict[str, Any] = {**setters, "_MISSING": MISSING}
    words, lines = [], []
    for field in fields(cls):
        name = value = field.name
        if field.default is not MISSING:
            scope[f"_default_{name}"] = field.default
            words.append(f"{name}=_default_{name}")
        elif field.default_factory is not MISSING:
            scope[f"_make_{name}"] = field.default_factory
            words.append(f"{name}=_MISSING")
            value = f"_make_{name}() if {name} is _MISSING else {name}"
        else:
            words.append(name)
        lines.append(f" _set_{name}(self, {value})")
    made: Callable[..., None] = _function(cls, "__init__", (words, lines), scope)
    made.__annotations__ = {field.name: field.type for field in fields(cls)}
    return made


def _changed(cls: type[Any], setters: Mapping[str, Any]) -> Callable[..., Any]:
    names = [field.name for field in fields(cls)]
    scope = {**setters, "_SAME": MISSING, "_new": object.__new__, "_cls": cls}
    lines = [" new = _new(_cls)"]
    lines += [f" _set_{n}(new, self.{n} if {n} is _SAME else {n})" for n in names]
    lines.append(" return new")
    words = [f"{name}=_SAME" for name in names]
    made: Callable[..., Any] = _function(cls, "_changed", (words, lines), scope)
    return made


def _function(
    cls: type[Any], name: str, text: tuple[list[str], list[str]], scope: dict[str, Any]
) -> Any:  # noqa: ANN401 - a function
    """Return a function made of text, as `dataclasses` makes its own."""
    words, lines = text
    head = f"def {name}({', '.join(['self', *(['*', *words] if words else [])])}):"
    exec("\n".join([head, *(lines or [" pass"])]), scope)  # noqa: S102 - of fields' names alone
    made = scope[name]
    made.__qualname__ = f"{cls.__qualname__}.{name}"
    return made
