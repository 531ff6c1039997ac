"""Pipelines written in Python: the keys of the configuration as frozen values.

A function that returns some of these is named under `pipelines_from:` of the configuration. What
the keys mean is told in `daemon/spec/config.md`; they are checked there and not here, by the same
code that reads YAML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta
from enum import Enum
from types import MappingProxyType
from typing import Any

Needs = Sequence[str] | Mapping[str, Sequence[str]]
"""Names of nodes, or each with the outcomes that open the way."""

Span = str | float | timedelta
"""A duration: `"45m"`, seconds, or a timedelta."""


_EMPTY_BY_DEFAULT = ("needs", "schedule", "params", "after", "needs_dataset", "rehearsal")


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})  # python 3.11 cannot hash it: no plain default


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineNode:
    """One node; `settings` are its operator's, which in YAML stand beside the other keys.

    What is None is not written, so it has its default.
    """

    name: str
    op: str
    needs: Needs = ()
    settings: Mapping[str, Any] = field(default_factory=_nothing)
    retry: Mapping[str, Any] | None = None
    timeout: Span | None = None
    trigger: str | None = None
    pool: str | None = None
    for_each: Any = None
    max_parallel: int | None = None

    def document(self) -> dict[str, Any]:
        """Return the node as the configuration would write it under its name."""
        written = _written(self, without=("name", "settings"))
        twice = sorted(set(written) & set(self.settings))
        if twice:
            raise ValueError(f"settings hold {', '.join(twice)}, which the node itself has")
        return {**written, **_plain(self.settings)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A graph of nodes; what is None is not written, so it has its default."""

    name: str
    nodes: Sequence[PipelineNode]
    schedule: str | Sequence[str | Mapping[str, Any]] = ()
    on_missed: str | Mapping[str, Any] | None = None
    overlap: str | None = None
    params: Mapping[str, Any] = field(default_factory=_nothing)
    timeout: Span | None = None
    max_active_runs: int | None = None
    priority: int | None = None
    after: Sequence[str] = ()
    needs_dataset: Mapping[str, str] = field(default_factory=_nothing)
    give_up: Span | None = None
    expected_duration: Span | None = None
    rehearsal: Mapping[str, Mapping[str, Any]] = field(default_factory=_nothing)

    def document(self) -> dict[str, Any]:
        """Return the pipeline as the configuration would write it under its name.

        Raises ValueError for two nodes of one name and for settings that the node itself has,
        TypeError for what is no node or cannot be written as JSON.
        """
        nodes: dict[str, Any] = {}
        for node in self.nodes:
            if not _is_node(node):
                raise TypeError(f"nodes hold {node!r}, which is no PipelineNode")
            if node.name in nodes:
                raise ValueError(f"two nodes are called {node.name!r}")
            nodes[node.name] = node.document()
        return {**_written(self, without=("name", "nodes")), "nodes": nodes}


def _is_node(value: object) -> bool:
    return isinstance(value, PipelineNode)


def _written(value: PipelineNode | Pipeline, *, without: Sequence[str]) -> dict[str, Any]:
    """Return the fields that say something, as plain JSON values."""
    found: dict[str, Any] = {}
    for each in fields(value):
        held = getattr(value, each.name)
        is_unsaid = held is None or (each.name in _EMPTY_BY_DEFAULT and not held)
        if each.name not in without and not is_unsaid:
            found[each.name] = _plain(held)
    return found


def _plain(value: object) -> Any:  # noqa: ANN401 - any JSON value
    match value:
        case Enum():
            return _plain(value.value)
        case None | bool() | int() | float() | str():
            return value
        case Mapping():
            return {str(key): _plain(held) for key, held in value.items()}
        case timedelta():
            return value.total_seconds()
        case datetime() | date():
            return value.isoformat()
        case list() | tuple() | set() | frozenset():
            held = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
            return [_plain(each) for each in held]
        case _:
            raise TypeError(f"{value!r} cannot be written as JSON")
