"""What runs know by themselves, where a configuration asks for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from openbell.config.invalid import shown
from openbell.config.problems import Problems
from openbell.config.tree import Path
from openbell.model.facts import SESSION_FACTS, is_reserved, since_argument


def facts_in(
    wanted: Collection[str], params: Mapping[str, Any], problems: Problems, path: Path
) -> dict[str, Any]:
    """Return those of the wanted names that are facts of a run, each with an example.

    Notes a `sessions_since(x)` whose `x` is neither a date nor a parameter that can hold one.
    """
    found: dict[str, Any] = {}
    for name in sorted(wanted):
        argument = since_argument(name)
        if argument is not None:
            _check(argument, params, problems, path)
            found[name] = 1
        elif name in SESSION_FACTS:
            found[name] = SESSION_FACTS[name]
    return found


def check_names(params: Collection[str], problems: Problems, path: Path) -> None:
    """Note every parameter whose name is that of a fact."""
    for name in params:
        if is_reserved(name):
            message = f"{name!r} is what every run knows by itself"
            problems.add((*path, name), message, "take another name", at_key=True)


def _check(argument: str, params: Mapping[str, Any], problems: Problems, path: Path) -> None:
    if argument in params:
        value = params[argument]
        if value is not None and not _is_date(value):
            message = f"parameter {argument!r} must hold a date for sessions_since"
            problems.add(path, f"{message}, not {shown(value)}", "write it as 2026-01-31")
    elif not _is_date(argument):
        message = f"sessions_since({argument}): {argument!r} is no date and no parameter"
        problems.add(path, message, "write it as sessions_since(2026-01-31)")


def _is_date(value: object) -> bool:
    try:
        return isinstance(value, str) and date.fromisoformat(value) is not None
    except ValueError:
        return False
