"""Sections of the effective tree, each validated by itself so that one's faults hide no other's."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from openbell.config.fields import Name, known_keys
from openbell.config.invalid import nearest
from openbell.config.problems import Problems
from openbell.config.schema import (
    VERSION,
    CalendarsSection,
    Configuration,
    DaemonSection,
    DatasetSection,
    FeaturesSection,
    JobSection,
    PipelineSection,
    ProviderSection,
    Slots,
    StorageSection,
    TelemetrySection,
)
from openbell.config.tree import Path, Plain, Tree

_Model = TypeVar("_Model", bound=BaseModel)
_STAND_INS: dict[type[BaseModel], dict[str, Plain]] = {
    JobSection: {"mode": "backfill"},
    DatasetSection: {"symbols": ["A"], "interval": "1d"},
}
_NAME: TypeAdapter[str] = TypeAdapter(Name)
_SLOTS: TypeAdapter[int] = TypeAdapter(Slots)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What could be read of a configuration; entries with problems are mended or left out.

    `written` holds every name of each section, also of entries that were left out.
    """

    calendars: CalendarsSection = field(default_factory=CalendarsSection)
    providers: dict[str, ProviderSection] = field(default_factory=dict)
    storage: dict[str, StorageSection] = field(default_factory=dict)
    datasets: dict[str, DatasetSection] = field(default_factory=dict)
    jobs: dict[str, JobSection] = field(default_factory=dict)
    pipelines: dict[str, PipelineSection] = field(default_factory=dict)
    pools: dict[str, int] = field(default_factory=dict)
    features: FeaturesSection = field(default_factory=FeaturesSection)
    telemetry: TelemetrySection = field(default_factory=TelemetrySection)
    daemon: DaemonSection = field(default_factory=DaemonSection)
    written: dict[str, tuple[str, ...]] = field(default_factory=dict)


def check_version(tree: Tree, problems: Problems) -> bool:
    """Return whether the file is of the version that this program reads."""
    version = tree.child("version")
    if version is None:
        problems.add(("version",), "is required", f"write version: {VERSION}")
        return False
    if version.value == VERSION and not isinstance(version.value, bool):
        return True
    problems.add(
        ("version",),
        f"version {version.plain()!r} cannot be read; this openbell reads version {VERSION}",
        f"write version: {VERSION}",
    )
    return False


def read_parts(tree: Tree, problems: Problems) -> Parts:
    """Return every section of `tree` that is valid, noting what is not."""
    known = known_keys(Configuration, ())
    for key in tree.entries():
        if key not in known:
            problems.add((key,), "is not a section that is known", nearest(key, known), at_key=True)
    names = ("providers", "storage", "datasets", "jobs", "pipelines", "pools")
    nothing = Tree({}, tree.mark)
    return Parts(
        calendars=_one(tree, "calendars", CalendarsSection, problems),
        providers=_many(tree, "providers", ProviderSection, problems),
        storage=_many(tree, "storage", StorageSection, problems),
        datasets=_many(tree, "datasets", DatasetSection, problems),
        jobs=_many(tree, "jobs", JobSection, problems),
        pipelines=_many(tree, "pipelines", PipelineSection, problems),
        pools=_pools(tree, problems),
        features=_one(tree, "features", FeaturesSection, problems),
        telemetry=_one(tree, "telemetry", TelemetrySection, problems),
        daemon=_one(tree, "daemon", DaemonSection, problems),
        written={name: tuple((tree.child(name) or nothing).entries()) for name in names},
    )


def _one(tree: Tree, key: str, model: type[_Model], problems: Problems) -> _Model:
    found = tree.child(key)
    if found is None:
        return model()
    return _valid(found, model, (key,), problems) or model()


def _many(tree: Tree, key: str, model: type[_Model], problems: Problems) -> dict[str, _Model]:
    entries: dict[str, _Model] = {}
    for name, child in _named(tree, key, problems):
        read = _valid(child, model, (key, name), problems)
        if read is not None:
            entries[name] = read
    return entries


def _pools(tree: Tree, problems: Problems) -> dict[str, int]:
    pools: dict[str, int] = {}
    for name, child in _named(tree, "pools", problems):
        try:
            pools[name] = _SLOTS.validate_python(child.plain())
        except ValidationError as error:
            problems.add_invalid(("pools", name), Configuration, error)
    return pools


def _named(tree: Tree, key: str, problems: Problems) -> Iterator[tuple[str, Tree]]:
    """Yield the entries of a mapping whose keys are names, noting the others."""
    found = tree.child(key)
    if found is None:
        return
    if not isinstance(found.value, dict):
        problems.add((key,), "must be a mapping of names")
        return
    for name, child in found.value.items():
        try:
            _NAME.validate_python(name)
        except ValidationError as error:
            message = error.errors()[0]["ctx"]["error"]
            problems.add((key, name), str(message), at_key=True)
        else:
            yield name, child


def _valid(tree: Tree, model: type[_Model], path: Path, problems: Problems) -> _Model | None:
    raw = tree.plain()
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        problems.add_invalid(path, model, error)
        return _mended(model, raw, {detail["loc"][0] for detail in error.errors() if detail["loc"]})


def _mended(model: type[_Model], raw: Plain, faulty: Container[object]) -> _Model | None:
    """Return the entry without what is wrong with it, so that the rest is checked as well.

    Nothing is ever run with it: a problem has been noted.
    """
    if not isinstance(raw, dict):
        return None
    kept = {key: value for key, value in raw.items() if key not in faulty}
    try:
        return model.model_validate(_STAND_INS.get(model, {}) | kept)
    except ValidationError:
        return None
