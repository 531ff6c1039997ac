"""What pydantic found wrong with settings, in words for people. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from openbell.config.fields import kind_at, known_keys
from openbell.config.tree import Path, key_path

_PHRASES = {
    "missing": "is required",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is too large",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "decimal_type": "must be a number",
    "decimal_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "set_type": "must be a list",
    "dict_type": "must be a mapping",
    "mapping_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "date_type": "must be a date, written 2026-01-31",
    "date_parsing": "must be a date, written 2026-01-31",
    "date_from_datetime_parsing": "must be a date, written 2026-01-31",
    "timezone_aware": "must say its zone, such as 2026-12-01T14:00Z",
    "datetime_type": "must be an instant, such as 2026-12-01T14:00Z",
    "datetime_parsing": "must be an instant, such as 2026-12-01T14:00Z",
    "datetime_from_date_parsing": "must be an instant, such as 2026-12-01T14:00Z",
    "path_type": "must be a path",
    "none_required": "must be empty",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "needs {min_length} or more entries",
    "too_long": "may have {max_length} entries at most",
    "string_pattern_mismatch": "must match {pattern}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "extra_forbidden": "is not a key that is known here",
}
MASK = "********"
CHOICES = ("[list]", "[text]")
"""Marks of the ways in which a value may be written; they are no part of its place."""
_SELF_EXPLAINED = {"missing", "extra_forbidden", "too_short", "too_long"}
_TEXT_TYPES = {"string_type"}
_ABOUT_KEYS = {"missing", "extra_forbidden"}


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint that names the most similar of `known`, or all when there are few."""
    names = sorted(set(known))
    lowered = {other.lower(): other for other in reversed(names)}
    close = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    if close:
        return f"did you mean {lowered[close[0]]!r}?"
    if not names:
        return ""
    shown = ", ".join(names[:12])
    return f"there are: {shown}" + (", ..." if len(names) > 12 else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong: where (`is_key`: with the key, not its value), what, and a hint."""

    at: Path
    message: str
    hint: str
    is_about_keys: bool
    is_key: bool


def faults(
    model: type[BaseModel], error: ValidationError, also: Iterable[str] = ()
) -> Iterator[Fault]:
    """Yield what is wrong with settings of `model`; `also` are keys that may stand beside its own."""
    for detail in error.errors(include_url=False):
        loc = tuple(part for part in detail["loc"] if part not in CHOICES)
        kind = detail["type"]
        is_secret = kind_at(model, loc) is SecretStr
        yield Fault(
            at=tuple(loc[:-1]) if loc and loc[-1] == "[key]" else loc,
            message=_message(detail, MASK if is_secret else shown(detail["input"])),
            hint=_hint(model, loc, detail, also),
            is_about_keys=kind in _ABOUT_KEYS,
            is_key=kind == "extra_forbidden" or (bool(loc) and loc[-1] == "[key]"),
        )


def in_a_sentence(model: type[BaseModel], error: ValidationError) -> str:
    """Return all that is wrong, for an error that is one text."""
    told = []
    for fault in faults(model, error):
        where = f"{key_path(fault.at)}: " if fault.at else ""
        told.append(f"{where}{fault.message}" + (f" ({fault.hint})" if fault.hint else ""))
    return "; ".join(told)


def _message(detail: ErrorDetails, shown: str) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in {"value_error", "assertion_error"}:
        return str(context.get("error", detail["msg"]))
    phrase = _PHRASES.get(kind)
    if phrase is None:
        return str(detail["msg"])
    message = phrase.format(**{key: _number(value) for key, value in context.items()})
    if kind in _SELF_EXPLAINED:
        return message
    return f"{message}, not {shown}"


def _number(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def shown(value: object) -> str:
    """Return `value` as a message shows it."""
    match value:
        case None:
            return "empty"
        case bool():
            return str(value).lower()
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case str() if len(value) > 60:
            return repr(value[:57] + "...")
        case _:
            return repr(value)


def _hint(
    model: type[BaseModel], loc: Sequence[str | int], detail: ErrorDetails, also: Iterable[str]
) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        known = known_keys(model, tuple(loc[:-1]))
        return nearest(str(loc[-1]), (*known, *also) if len(loc) == 1 else known)
    if kind in _TEXT_TYPES and isinstance(detail["input"], (bool, int, float)):
        return "put it in quotes"
    return ""
