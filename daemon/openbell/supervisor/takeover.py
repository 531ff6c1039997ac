"""What a retry takes over from the run before: ended nodes, and items that succeeded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from openbell.execution.chains import GraphError, Unit, units
from openbell.execution.rerun import rerun_part
from openbell.model.bodies import encode_plain
from openbell.model.control import ConflictError
from openbell.model.definitions import definition, from_definition
from openbell.model.events import NodesTakenOver, RunSubmitted
from openbell.model.pipelines import Pipeline
from openbell.model.retries import Retry
from openbell.model.runs import NodeRecord, NodeState, RunRecord, RunState
from openbell.supervisor.explain.explainer import UnknownNodeError
from openbell.supervisor.services import Services

_FINE = frozenset({NodeState.SUCCESS, NodeState.SKIPPED})
_DISK = anyio.CapacityLimiter(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """The nodes that end as they did before, and those whose items that succeeded stay."""

    nodes: tuple[str, ...] = ()
    items_of: tuple[str, ...] = ()

    def events(self, submitted: RunSubmitted, source: RunRecord) -> Sequence[NodesTakenOver]:
        """Return what is recorded together with the retry."""
        if not self.nodes and not self.items_of:
            return ()
        taken = NodesTakenOver(
            at=submitted.at,
            run_id=submitted.run_id,
            pipeline=submitted.pipeline,
            source_run_id=source.run_id,
            nodes=self.nodes,
            items_of=self.items_of,
        )
        return (taken,)


async def version_of(services: Services, run: RunRecord) -> Pipeline | None:
    """Return the definition that `run` was accepted under, None when history has forgotten it."""
    stored = await services.history.workflow(run.pipeline, run.workflow_version)
    return None if stored is None else from_definition(stored.definition)


async def taken_over(
    services: Services, run: RunRecord, pipeline: Pipeline, how: Retry
) -> Takeover:
    """Return what a retry of `run` by `pipeline` takes over.

    Raises UnknownNodeError for a node that is not there, and ConflictError for a definition that
    cannot run any more.

    Nodes whose definition differs, and those whose output is gone, are done again, and so is all
    that follows from them.
    """
    is_anew = run.state is RunState.SUCCESS and how.from_node is None and not how.is_replay
    if how.is_whole or is_anew or run.dry_run:
        return Takeover()
    known = {node.node: node for node in await services.history.nodes(run.run_id)}
    seeds = _seeds(run, pipeline, known, how)
    alike = _alike(await version_of(services, run), pipeline)
    seeds |= {node.name for node in pipeline.nodes if node.name not in alike}
    found = _units(services, pipeline)
    seeds |= {name for name in set(known) - seeds if not await _is_there(known[name])}
    again = rerun_part(found, seeds)
    are_params_same = {**run.params, **how.params} == dict(run.params)
    same = alike - {how.from_node} if are_params_same else frozenset()
    return Takeover(
        nodes=tuple(node.name for unit in found for node in unit.nodes if node.name not in again),
        items_of=_same_items(found, again, same),
    )


def _seeds(
    run: RunRecord, pipeline: Pipeline, known: Mapping[str, NodeRecord], how: Retry
) -> set[str]:
    """Return what did not succeed and the named node: no failure is taken over."""
    there = [node.name for node in pipeline.nodes]
    if how.from_node is not None and how.from_node not in there:
        raise UnknownNodeError(run.run_id, how.from_node, there)
    failed = {name for name, node in known.items() if node.state not in _FINE}
    return failed if how.from_node is None else failed | {how.from_node}


def _alike(before: Pipeline | None, now: Pipeline) -> frozenset[str]:
    """Return the names of nodes that two versions of a definition have alike."""
    if before is None:
        return frozenset()
    old = {node["name"]: encode_plain(node) for node in definition(before)["nodes"]}
    new = {node["name"]: encode_plain(node) for node in definition(now)["nodes"]}
    return frozenset(name for name, document in new.items() if old.get(name) == document)


def _units(services: Services, pipeline: Pipeline) -> Sequence[Unit]:
    roles = {name: str(spec.role) for name, spec in services.specs.operators.items()}
    try:
        return units(pipeline, roles)
    except GraphError as error:
        raise ConflictError(f"{pipeline.name!r} cannot run any more: {error}") from None


async def _is_there(node: NodeRecord) -> bool:
    """Return whether what a node made can still be read."""
    output: Mapping[str, Any] = node.output or {}
    if output.get("kind") != "spool":
        return True
    return await anyio.to_thread.run_sync(Path(str(output["path"])).exists, limiter=_DISK)


def _same_items(
    found: Sequence[Unit], again: Collection[str], alike: Collection[str]
) -> tuple[str, ...]:
    """Return the nodes with `for_each` that go on with the items they had."""
    return tuple(
        unit.name
        for unit in found
        if unit.head.for_each is not None
        and unit.name in again
        and unit.name in alike
        and not set(again).intersection(unit.head.needs)
    )
