"""What of an ended run stays as it is when the run is done again: its finished work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path

import anyio

from openbell.execution.chains import Unit, units
from openbell.model.definitions import from_definition
from openbell.model.events import ItemsChanged, ItemsListed, NodeChanged, RunSubmitted
from openbell.model.items import ItemChange, ItemRecord
from openbell.model.pipelines import Node, Pipeline
from openbell.model.runs import NodeRecord, NodeState, RunRecord
from openbell.supervisor.services import Services

KeptEvent = NodeChanged | ItemsListed | ItemsChanged

_DONE = frozenset({NodeState.SUCCESS, NodeState.SKIPPED})
_DISK = anyio.CapacityLimiter(1)
_PAGE = 1000


def kept_nodes(
    found: Sequence[Unit], ended: Collection[str], *, from_node: str | None = None
) -> frozenset[str]:
    """Return the nodes that are not done again.

    Those are whole units whose nodes all `ended` well and that need kept ones alone; what
    `from_node` stands in is done again, and all that follows from it.
    """
    kept: set[str] = set()
    for unit in found:
        names = {node.name for node in unit.nodes}
        needed = {name for node in unit.nodes for name in node.needs} - names
        if from_node not in names and names <= set(ended) and needed <= kept:
            kept |= names
    return frozenset(kept)


def unchanged(before: Sequence[Node], now: Sequence[Node]) -> frozenset[str]:
    """Return the names of nodes that two versions of a definition have alike."""
    old = {node.name: node for node in before}
    return frozenset(node.name for node in now if old.get(node.name) == node)


class Keeper:
    """Finds what a run that is done again takes over from the ended one."""

    def __init__(self, services: Services, run: RunRecord, pipeline: Pipeline) -> None:
        self._services = services
        self._run = run
        self._pipeline = pipeline

    async def events(
        self, submitted: RunSubmitted, *, from_node: str | None = None
    ) -> list[KeptEvent]:
        """Return the events that give `submitted` the finished work of the ended run.

        Work that was done with another definition or for other parameters is not taken over, nor
        is any whose output is gone. A dry run did no work.
        """
        run, history = self._run, self._services.history
        if run.dry_run or dict(submitted.params) != dict(run.params):
            return []
        alike = unchanged((await self._definition()).nodes, self._pipeline.nodes)
        nodes = {node.node: node for node in await history.nodes(run.run_id)}
        done = [n for n in nodes.values() if n.state in _DONE and n.node in alike]
        there = {node.node for node in done if await self._is_there(node.output)}
        found = units(self._pipeline, self._roles())
        kept = kept_nodes(found, there, from_node=from_node)
        events: list[KeptEvent] = [_kept(submitted, nodes[name], run) for name in sorted(kept)]
        for unit in found:
            if unit.head.for_each is None or unit.name in kept or unit.name == from_node:
                continue
            if unit.name in alike and set(unit.head.needs) <= kept:
                events += [event async for event in self._items(submitted, unit.name)]
        return events

    async def _definition(self) -> Pipeline:
        run = self._run
        stored = await self._services.history.workflow(run.pipeline, run.workflow_version)
        return self._pipeline if stored is None else from_definition(stored.definition)

    def _roles(self) -> dict[str, str]:
        operators = self._services.specs.operators.items()
        return {name: str(spec.role) for name, spec in operators}

    async def _is_there(self, output: Mapping[str, object] | None) -> bool:
        """Return whether what a node made can still be read."""
        if output is None or output.get("kind") != "spool":
            return True
        return await anyio.to_thread.run_sync(Path(str(output["path"])).exists, limiter=_DISK)

    async def _items(self, submitted: RunSubmitted, node: str) -> AsyncIterator[KeptEvent]:
        """Yield a node's items, and the ends of those that ended well."""
        history, after = self._services.history, -1
        while page := await history.items(self._run.run_id, node, after=after, limit=_PAGE):
            yield ItemsListed(
                at=submitted.at,
                run_id=submitted.run_id,
                pipeline=submitted.pipeline,
                node=node,
                first=page[0].number,
                items=tuple(item.item for item in page),
            )
            done = [i for i in page if i.state in _DONE and await self._is_there(i.output)]
            if done:
                yield ItemsChanged(
                    at=submitted.at,
                    run_id=submitted.run_id,
                    pipeline=submitted.pipeline,
                    node=node,
                    changes=tuple(map(_kept_item, done)),
                )
            after = page[-1].number


def _kept(submitted: RunSubmitted, node: NodeRecord, run: RunRecord) -> NodeChanged:
    """Return how a node stands that is not done again; its numbers stay those of the ended run."""
    return NodeChanged(
        at=submitted.at,
        run_id=submitted.run_id,
        pipeline=submitted.pipeline,
        node=node.node,
        state=node.state,
        attempt=node.attempts,
        outcome=node.outcome,
        output=node.output,
        reason=f"kept from run {run.run_id}",
    )


def _kept_item(item: ItemRecord) -> ItemChange:
    return ItemChange(
        number=item.number,
        state=item.state,
        attempt=item.attempts,
        outcome=item.outcome,
        output=item.output,
    )
