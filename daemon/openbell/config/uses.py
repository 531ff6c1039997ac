"""Providers and backends: their plugins' settings, checked, as plain JSON for the workers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import to_jsonable_python

from openbell.config.fields import known_keys
from openbell.config.invalid import nearest
from openbell.config.parts import Parts
from openbell.config.plugins import Registry, refusal_of
from openbell.config.problems import Problems
from openbell.config.schema import ProviderSection, StorageSection
from openbell.config.tree import Path
from openbell.model.pipelines import Pacing, ProviderUse, StorageUse
from openbell.sdk.hooks import BackendSpec, ProviderSpec

_PLACES = ("uri", "root")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


@dataclass(slots=True, kw_only=True)
class Uses:
    """What can be used; `refused` says of the others why their plugin is not there."""

    providers: dict[str, ProviderUse] = field(default_factory=dict)
    storage: dict[str, StorageUse] = field(default_factory=dict)
    refused: dict[tuple[str, str], str] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=set)


class UseReader:
    """Reads `providers:` and `storage:`; relative places are resolved against `folder`."""

    def __init__(
        self, registry: Registry, problems: Problems, folder: FilePath, home: str | None
    ) -> None:
        self._registry = registry
        self._problems = problems
        self._folder = folder
        self._home = home
        self._uses = Uses()

    def read(self, parts: Parts) -> Uses:
        """Return every provider and backend that is valid, noting what is not."""
        for name, provider in parts.providers.items():
            self._provider(name, provider)
        for name, storage in parts.storage.items():
            self._storage(name, storage)
        return self._uses

    def _provider(self, name: str, section: ProviderSection) -> None:
        path: Path = ("providers", name)
        spec = self._spec("provider type", section.type, path, self._registry.providers)
        if spec is None:
            return
        settings = self._settings(spec, dict(section.model_extra or {}), path)
        if settings is None:
            return
        self._uses.providers[name] = ProviderUse(
            name=name,
            type=section.type,
            enabled=section.enabled,
            settings=settings,
            pacing=Pacing(
                requests_per_minute=section.pacing.requests_per_minute,
                burst=section.pacing.burst,
                cooldown_s=section.pacing.cooldown_seconds,
            ),
        )

    def _storage(self, name: str, section: StorageSection) -> None:
        path: Path = ("storage", name)
        spec = self._spec("backend", section.type, path, self._registry.backends)
        if spec is None:
            return
        raw = dict(section.model_extra or {})
        if "write" in spec.settings_model.model_fields:
            wanted = known_keys(spec.settings_model, ("write",))
            written = section.write.model_dump(mode="json")
            raw["write"] = {key: value for key, value in written.items() if key in wanted}
        settings = self._settings(spec, raw, path)
        if settings is None:
            return
        self._uses.storage[name] = StorageUse(
            name=name,
            type=section.type,
            settings=settings,
            batch_rows=section.write.batch_size,
            upsert_keys=section.write.upsert_keys,
        )

    def _spec(
        self, kind: str, type_name: str, path: Path, known: Mapping[str, Any]
    ) -> ProviderSpec | BackendSpec | None:
        spec: ProviderSpec | BackendSpec | None = known.get(type_name)
        if spec is not None:
            return spec
        reason = refusal_of(self._registry, kind, type_name)
        if reason:
            self._uses.refused[str(path[0]), str(path[1])] = reason
            return None
        there = ", ".join(sorted(known)) or "none"
        close = nearest(type_name, known)
        hint = close if close.startswith("did you") else ""
        message = f"{kind} {type_name!r} does not exist yet; there are: {there}"
        self._problems.add((*path, "type"), message, hint)
        return None

    def _settings(
        self, spec: ProviderSpec | BackendSpec, raw: dict[str, Any], path: Path
    ) -> dict[str, Any] | None:
        try:
            checked = spec.settings_model.model_validate(raw)
        except ValidationError as error:
            section = ProviderSection if path[0] == "providers" else StorageSection
            also = known_keys(section, ())
            self._problems.add_invalid(path, spec.settings_model, error, also)
            return None
        self._uses.secrets.update(secret_values(checked))
        for key in _PLACES:
            value = getattr(checked, key, None)
            if isinstance(value, (str, FilePath)) and str(value):
                raw[key] = placed(str(value), self._folder, self._home)
        plain: dict[str, Any] = to_jsonable_python(raw)
        return plain


def placed(place: str, folder: FilePath, home: str | None) -> str:
    """Return `place` as an absolute path below `folder`; what has a scheme stays as it is."""
    if _SCHEME.match(place):
        return place
    if home and (place == "~" or place.startswith("~/")):
        return str(FilePath(home + place[1:]))
    return str((folder / place).resolve())


def secret_values(value: object) -> Iterator[str]:
    """Yield what every `SecretStr` inside a settings model hides."""
    if isinstance(value, SecretStr):
        if value.get_secret_value():
            yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from secret_values(getattr(value, name))
    elif isinstance(value, Mapping):
        for child in value.values():
            yield from secret_values(child)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for child in value:
            yield from secret_values(child)
