"""Graphs of nodes become chains: groups that one worker runs as one stream. Pure.

A chain is a source and everything that its chunks reach. Chains of one pipeline are ordered by
what their sources need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from openbell.model.pipelines import Node, Pipeline

SUCCESS_OUTCOMES = frozenset({"success", "pass", "warn", "quarantine"})
"""Outcomes that an edge without a list lets through. Of a `quarantine` the good rows pass."""


class GraphError(Exception):
    """The nodes form no graph that can run; the message names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Nodes of one task, the source first, each after those it needs.

    `after` maps nodes of other chains to the outcomes that the source waits for.
    """

    nodes: tuple[Node, ...]
    after: Mapping[str, tuple[str, ...]]

    @property
    def source(self) -> Node:
        """The node that makes the chunks."""
        return self.nodes[0]


def is_open(outcomes: Sequence[str], outcome: str) -> bool:
    """Return whether an edge that lists `outcomes` lets `outcome` through."""
    return outcome in outcomes if outcomes else outcome in SUCCESS_OUTCOMES


def ordered(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Return `nodes` so that each stands after those it needs, otherwise as they came.

    Raises GraphError for unknown names and for cycles, naming the nodes in them.
    """
    by_name = {node.name: node for node in nodes}
    for node in nodes:
        for needed in node.needs:
            if needed not in by_name:
                raise GraphError(f"node {node.name!r} needs {needed!r}, which does not exist")
    done: dict[str, Node] = {}
    left = list(nodes)
    while left:
        ready = [node for node in left if all(needed in done for needed in node.needs)]
        if not ready:
            names = ", ".join(sorted(node.name for node in left))
            raise GraphError(f"these nodes wait for each other: {names}")
        done.update((node.name, node) for node in ready)
        left = [node for node in left if node.name not in done]
    return tuple(done.values())


def complete(pipeline: Pipeline) -> Pipeline:
    """Return `pipeline` with a quarantine for every gate whose refused rows no node takes.

    So no row is ever dropped: what is not published is held.
    """
    added = []
    for gate in (node for node in pipeline.nodes if node.op == "gate"):
        taken: set[str] = set()
        for node in pipeline.nodes:
            if node.op == "quarantine" and gate.name in node.needs:
                taken.update(node.needs[gate.name])
        missing = tuple(label for label in ("quarantine", "fail") if label not in taken)
        if missing:
            added.append(
                Node(name=f"{gate.name}_held", op="quarantine", needs={gate.name: missing})
            )
    return replace(pipeline, nodes=ordered((*pipeline.nodes, *added)))


def chains(pipeline: Pipeline, roles: Mapping[str, str]) -> tuple[Chain, ...]:
    """Return the chains of `pipeline`; `roles` maps operators to source, transform or sink.

    Raises GraphError for operators that are not there, for nodes that no single source reaches, and for a sink that others need
    inside a chain.
    """
    home: dict[str, str] = {}
    members: dict[str, list[Node]] = {}
    after: dict[str, Mapping[str, tuple[str, ...]]] = {}
    for node in ordered(pipeline.nodes):
        if node.op not in roles:
            raise GraphError(f"node {node.name!r} uses op {node.op!r}, which is not installed")
        if roles[node.op] == "source":
            home[node.name] = node.name
            members[node.name] = [node]
            after[node.name] = node.needs
            continue
        homes = {home[needed] for needed in node.needs}
        if len(homes) != 1:
            raise GraphError(
                f"node {node.name!r} (op {node.op}) must get its rows from exactly one source, "
                f"not from {', '.join(sorted(homes)) or 'none'}"
            )
        for needed in node.needs:
            if roles[pipeline.node(needed).op] == "sink":
                raise GraphError(
                    f"node {node.name!r} needs {needed!r}, which ends the rows' way "
                    f"(op {pipeline.node(needed).op}); only a source may follow it"
                )
        home[node.name] = homes.pop()
        members[home[node.name]].append(node)
    return tuple(
        Chain(nodes=tuple(nodes), after=after[source]) for source, nodes in members.items()
    )
