"""What a set of definitions changes about another, key by key. Pure, over plain JSON values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

MISSING = object()


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One key of a definition: what it was, what it becomes. `kind` is added, removed, changed.

    A node that comes or goes is one change, under `nodes.NAME`.
    """

    key: str
    kind: str
    before: Any = None
    after: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleChange:
    """A schedule that a pipeline gets or loses, by its expression."""

    pipeline: str
    expression: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What becomes of pipelines; `changed` says of each which keys."""

    added: Sequence[str] = ()
    removed: Sequence[str] = ()
    changed: Mapping[str, Sequence[Change]] = field(default_factory=_nothing)
    schedules_added: Sequence[ScheduleChange] = ()
    schedules_removed: Sequence[ScheduleChange] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def planned(
    before: Mapping[str, Mapping[str, Any]],
    after: Mapping[str, Mapping[str, Any]],
    *,
    changed: Sequence[str],
) -> Plan:
    """Return what changes from definitions to others, both by name.

    `changed` names those of both whose meaning differs; with a secret hidden from both, a
    definition may have changed in nothing that can be shown.
    """
    gained, lost = set(_schedules(after)), set(_schedules(before))
    return Plan(
        added=sorted(after.keys() - before.keys()),
        removed=sorted(before.keys() - after.keys()),
        changed={name: tuple(changes(before[name], after[name])) for name in sorted(changed)},
        schedules_added=_sorted(gained - lost),
        schedules_removed=_sorted(lost - gained),
    )


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    """Yield the keys in which two definitions of one pipeline differ, nodes by their names."""
    yield from _between("", _named(before), _named(after))


def _named(definition: Mapping[str, Any]) -> dict[str, Any]:
    nodes = {
        node["name"]: {key: value for key, value in node.items() if key != "name"}
        for node in definition["nodes"]
    }
    kept = {key: value for key, value in definition.items() if key not in {"name", "origin"}}
    return {**kept, "nodes": nodes}


def _between(key: str, before: Any, after: Any) -> Iterator[Change]:  # noqa: ANN401 - JSON
    if before == after:
        return
    is_node = key.startswith("nodes.") and key.count(".") == 1
    if MISSING in (before, after) and (is_node or not _is_nested(before, after)):
        kind = "added" if before is MISSING else "removed"
        yield Change(
            key=key,
            kind=kind,
            before=None if before is MISSING else before,
            after=None if after is MISSING else after,
        )
    elif _is_nested(before, after):
        old = {} if before is MISSING else before
        new = {} if after is MISSING else after
        for name in {**old, **new}:
            path = f"{key}.{name}" if key else str(name)
            yield from _between(path, old.get(name, MISSING), new.get(name, MISSING))
    else:
        yield Change(key=key, kind="changed", before=before, after=after)


def _is_nested(before: object, after: object) -> bool:
    return all(isinstance(value, Mapping) or value is MISSING for value in (before, after))


def _schedules(definitions: Mapping[str, Mapping[str, Any]]) -> Iterator[ScheduleChange]:
    for name, definition in definitions.items():
        for use in definition.get("schedule", ()):
            expression = use if isinstance(use, str) else use["expression"]
            yield ScheduleChange(pipeline=name, expression=str(expression))


def _sorted(found: set[ScheduleChange]) -> tuple[ScheduleChange, ...]:
    return tuple(sorted(found, key=lambda change: (change.pipeline, change.expression)))
