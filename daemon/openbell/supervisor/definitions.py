"""Which definitions are in force, and how they differ from what history holds. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from openbell.execution.chains import GraphError, complete, units
from openbell.model.definitions import definition, fingerprint, from_definition
from openbell.model.events import WorkflowDefined, WorkflowRetired
from openbell.model.pipelines import Pipeline
from openbell.model.runs import WorkflowRecord

FROM_API = "api"
FROM_CONFIG = "config"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """Pipelines by name with their versions, those refused with the reason, and what changed."""

    pipelines: Mapping[str, Pipeline]
    versions: Mapping[str, int]
    refused: Mapping[str, str]
    events: Sequence[WorkflowDefined | WorkflowRetired]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Names of pipelines by what became of them, each in order."""

    added: Sequence[str]
    changed: Sequence[str]
    removed: Sequence[str]


def difference(before: Definitions, after: Definitions) -> Difference:
    """Return what changes when `after` replaces `before`."""
    both = set(after.pipelines) & set(before.pipelines)
    return Difference(
        added=sorted(set(after.pipelines) - set(before.pipelines)),
        changed=sorted(name for name in both if after.versions[name] != before.versions[name]),
        removed=sorted(set(before.pipelines) - set(after.pipelines)),
    )


def settle(
    configured: Mapping[str, Pipeline],
    refused: Mapping[str, str],
    known: Sequence[WorkflowRecord],
    *,
    roles: Mapping[str, str],
    now: datetime,
) -> Definitions:
    """Return the definitions in force: the configured ones, then those made through the API.

    A definition whose fingerprint differs from history's newest gets the next version.
    """
    newest = {record.name: record for record in known}
    refusals = dict(refused)
    pipelines: dict[str, Pipeline] = {}
    versions: dict[str, int] = {}
    events: list[WorkflowDefined | WorkflowRetired] = []
    for name, pipeline in configured.items():
        try:
            whole = complete(pipeline)
            units(whole, roles)
        except GraphError as error:
            refusals[name] = f"the graph cannot run: {error}"
            continue
        pipelines[name] = whole
        record = newest.get(name)
        versions[name], event = versioned(whole, record, FROM_CONFIG, now)
        if event is not None:
            events.append(event)
    for name, record in newest.items():
        if name in pipelines or not record.active:
            continue
        if record.definition.get("origin") == FROM_API and name not in refusals:
            pipelines[name] = from_definition(record.definition)
            versions[name] = record.version
        elif name not in refusals:
            events.append(WorkflowRetired(at=now, pipeline=name))
    return Definitions(
        pipelines=pipelines, versions=versions, refused=refusals, events=tuple(events)
    )


def versioned(
    pipeline: Pipeline, record: WorkflowRecord | None, origin: str, now: datetime
) -> tuple[int, WorkflowDefined | None]:
    """Return the version of `pipeline`, and the event that makes it known if it is new."""
    mark = fingerprint(pipeline)
    if record is not None and record.fingerprint == mark and record.active:
        return record.version, None
    version = 1 if record is None else record.version + 1
    return version, WorkflowDefined(
        at=now,
        pipeline=pipeline.name,
        version=version,
        fingerprint=mark,
        definition={**definition(pipeline), "origin": origin},
    )
