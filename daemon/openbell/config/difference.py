"""What a reload changes: pipelines that appear, vanish, or mean something else. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from openbell.model.calendars import CalendarRules
from openbell.model.definitions import fingerprint
from openbell.model.pipelines import (
    Deployment,
    Pipeline,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Names of pipelines, sorted; one that is refused from now on counts as removed."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


def diff(old: Deployment, new: Deployment) -> Difference:
    """Return what becomes of the pipelines of `old` when `new` takes its place.

    A pipeline changes with its definition, and with the datasets, providers, backends and calendar
    overlays that it uses.
    """
    both = old.pipelines.keys() & new.pipelines.keys()
    return Difference(
        added=tuple(sorted(new.pipelines.keys() - both)),
        changed=tuple(
            name
            for name in sorted(both)
            if meaning(old, old.pipelines[name]) != meaning(new, new.pipelines[name])
        ),
        removed=tuple(sorted(old.pipelines.keys() - both)),
    )


def meaning(deployment: Deployment, pipeline: Pipeline) -> Hashable:
    """Return a value that is equal for pipelines that do the same with the same things."""
    datasets = [deployment.datasets.get(name) for name in _named(pipeline, "dataset")]
    found = [dataset for dataset in datasets if dataset is not None]
    providers = [deployment.providers.get(dataset.provider) for dataset in found]
    storage = [deployment.storage.get(name) for name in _named(pipeline, "to")]
    calendars = {dataset.calendar for dataset in found}
    overlays = [overlay for overlay in deployment.overlays if overlay.calendar in calendars]
    rules = [_rule(deployment.calendars, calendar) for calendar in sorted(calendars)]
    return fingerprint(pipeline), repr((found, _told(providers), _told(storage), overlays, rules))


def _rule(rules: CalendarRules, calendar: str) -> tuple[object, str]:
    """Return what is said of one calendar; the definition's own days in order."""
    definition = rules.defined.get(calendar)
    if definition is None:
        return None, rules.policy_of(calendar)
    closed = sorted(definition.closed)
    return (replace(definition, closed=frozenset()), closed), rules.policy_of(calendar)


def _told(uses: Sequence[object]) -> list[object]:
    """Return uses with their settings, which their own repr leaves out to hide secrets."""
    return [(use, getattr(use, "settings", None)) for use in uses]


def _named(pipeline: Pipeline, key: str) -> list[str]:
    """Return what the nodes' settings name under `key`; a write goes to primary by default."""
    default = {"write": "primary"} if key == "to" else {}
    names = {node.settings.get(key, default.get(node.op)) for node in pipeline.nodes}
    return sorted(str(name) for name in names if name is not None)
