"""Settings from the environment: `OPENBELL_SECTION__KEY`, split by pydantic-settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from openbell.config.tree import Path, Plain

PREFIX = "OPENBELL_"
DELIMITER = "__"
TOP_KEYS = ("profile",)


def variables(env: Mapping[str, str]) -> dict[tuple[str, tuple[str, ...]], str]:
    """Return (variable, key path) -> text of every variable that sets a key.

    `OPENBELL_PROFILE` and every `OPENBELL_*` with `__` in it does; others are not settings.
    """
    ours = {
        name: text
        for name, text in env.items()
        if name.upper().startswith(PREFIX)
        and (DELIMITER in name or name[len(PREFIX) :].lower() in TOP_KEYS)
    }
    if not ours:
        return {}
    found: dict[tuple[str, tuple[str, ...]], str] = {}
    for name in sorted(ours):
        for path, text in _leaves(_split({name: ours[name]})):
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
