"""Settings from the environment: `OPENBELL_SECTION__KEY`, split by pydantic-settings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from openbell.config.tree import Path, Plain

_SETTING = re.compile(r"OPENBELL_(?:[A-Z0-9]+(?:_[A-Z0-9]+)*__.+|PROFILE)", re.IGNORECASE)


def variables(env: Mapping[str, str]) -> dict[tuple[str, tuple[str, ...]], str]:
    """Return (variable, key path) -> text of every variable that sets a key.

    `OPENBELL_PROFILE` and every `OPENBELL_*` with `__` in it does; others are not settings.
    """
    found: dict[tuple[str, tuple[str, ...]], str] = {}
    for name in sorted(filter(_SETTING.fullmatch, env)):
        for path, text in _leaves(_split({name: env[name]})):
            found[name, tuple(str(step) for step in path)] = text
    return found


def _split(env: Mapping[str, str]) -> dict[str, Plain]:
    from openbell.config.environment_source import read  # noqa: PLC0415 - 0.1 s, rarely needed

    return read(env)


def _leaves(value: Plain, path: Path = ()) -> Iterator[tuple[Path, str]]:
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _leaves(child, (*path, key))
    else:
        yield path, str(value)
