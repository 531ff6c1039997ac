"""What a configuration would change about the definitions that are in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from openbell.execution.chains import complete
from openbell.history.connections import Readers
from openbell.history.readers import Answers
from openbell.model.changes import Plan, planned
from openbell.model.definitions import definition, fingerprint, from_definition
from openbell.model.pipelines import Deployment
from openbell.telemetry.redact import Redactor


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """A definition that is in force, as history or the daemon tells it."""

    name: str
    fingerprint: str
    definition: Mapping[str, Any]

    @property
    def is_of_the_api(self) -> bool:
        """Whether it came through the API, so that no reload takes it away."""
        return self.definition.get("origin") == "api"


async def kept_definitions(database: Path) -> Sequence[InForce] | None:
    """Return the definitions in force that a history holds, None when there is no history."""
    if not await anyio.Path(database).exists():
        return None
    readers = Readers(database, count=1)
    async with readers.opened():
        records = await Answers(readers).workflows()
    return tuple(
        InForce(name=record.name, fingerprint=record.fingerprint, definition=record.definition)
        for record in records
        if record.active
    )


def plan(deployment: Deployment, in_force: Sequence[InForce]) -> Plan:
    """Return what a reload of `deployment` would change; no secret is in the answer."""
    redact = Redactor(deployment.secrets).value
    wanted = {name: complete(pipeline) for name, pipeline in deployment.pipelines.items()}
    known = {
        record.name: record
        for record in in_force
        if record.name in wanted or not record.is_of_the_api
    }
    before = {name: redact(_whole(record.definition)) for name, record in known.items()}
    after = {name: redact(definition(pipeline)) for name, pipeline in wanted.items()}
    changed = [
        name
        for name in known.keys() & wanted.keys()
        if fingerprint(wanted[name]) != known[name].fingerprint
    ]
    return planned(before, after, changed=changed)


def _whole(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition with what an earlier version of openbell did not write yet."""
    return definition(from_definition(document))
