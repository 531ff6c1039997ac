"""Everything wrong with a configuration, gathered so that it is told at once."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from openbell.config.fields import kind_at, known_keys
from openbell.config.tree import Mark, Path, Tree, key_path
from openbell.sdk.errors import Problem, SettingsError

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


class Problems:
    """Collects problems against a tree of places; no message shows any of `secrets`."""

    def __init__(self, root: Tree) -> None:
        self._root = root
        self._found: list[Problem] = []
        self.secrets: set[str] = set()
        self._stand_ins: dict[Path, Path] = {}

    def __len__(self) -> int:
        return len(self._found)

    def moved_to(self, root: Tree) -> Problems:
        """Return these problems, further ones to be placed in `root`."""
        moved = Problems(root)
        moved.extend(self._found)
        moved.secrets = self.secrets
        moved._stand_ins = self._stand_ins
        return moved

    def add(self, path: Path, message: str, hint: str = "", *, at_key: bool = False) -> None:
        """Note that what stands at `path` is wrong; `at_key` points at the key, not the value."""
        key = key_path(self._named(path))
        self.add_at(self._root.mark_at(path, of_key=at_key), key, message, hint)

    def stands_for(self, path: Path, argument: Path) -> None:
        """Tell of problems at `path` under the key `argument`, whose value stands there."""
        self._stand_ins[path] = argument

    def _named(self, path: Path) -> Path:
        if not self._stand_ins:
            return path
        for length in range(len(path), 2, -1):
            found = self._stand_ins.get(path[:length])
            if found is not None:
                return (*found, *path[length:])
        return path

    def add_at(self, mark: Mark, key: str, message: str, hint: str = "") -> None:
        """Note a problem at a place that is known already."""
        self._found.append(
            Problem(
                message=self._masked(message),
                key=key,
                file=mark.file or mark.via,
                line=mark.line,
                column=mark.column,
                hint=hint,
            )
        )

    def _masked(self, message: str) -> str:
        for secret in self.secrets:
            message = message.replace(secret, MASK)
        return message

    def extend(self, problems: Iterable[Problem]) -> None:
        """Note problems that were found elsewhere."""
        self._found.extend(problems)

    def add_unknown(self, path: Path, kind: str, name: str, known: Iterable[str]) -> None:
        """Note that `name`, written at `path`, names no `kind` there is."""
        self.add(path, f"{kind} {name!r} does not exist", nearest(name, known))

    def add_invalid(
        self,
        path: Path,
        model: type[BaseModel],
        error: ValidationError,
        also: Iterable[str] = (),
        *,
        unless: Callable[[Path], bool] = lambda _: False,
    ) -> None:
        """Note what pydantic found wrong with the value at `path`, in words for people.

        `also` are keys that may stand at `path` beside the model's. What is wrong with the value at
        a place for which `unless` is true is not noted; keys that lack or are unknown are always.
        """
        for detail in error.errors(include_url=False):
            loc = tuple(detail["loc"])
            kind = detail["type"]
            if kind not in _ABOUT_KEYS and unless(loc):
                continue
            full = (*path, *_written(loc))
            at_key = kind == "extra_forbidden" or (bool(loc) and loc[-1] == "[key]")
            hint = _hint(model, loc, detail, also)
            is_secret = kind_at(model, loc) is SecretStr
            message = _message(detail, MASK if is_secret else shown(detail["input"]))
            self.add(full, message, hint, at_key=at_key)

    def sorted(self) -> tuple[Problem, ...]:
        """Return what was found, each once, in the order of the file."""
        return tuple(
            sorted(dict.fromkeys(self._found), key=lambda p: (p.file, p.line, p.column, p.key))
        )

    def raise_if_any(self) -> None:
        """Raise SettingsError if anything was found."""
        if self._found:
            self._raise()

    def _raise(self) -> NoReturn:
        raise SettingsError(self.sorted())


def _written(loc: Sequence[str | int]) -> Path:
    return tuple(loc[:-1]) if loc and loc[-1] == "[key]" else tuple(loc)


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
