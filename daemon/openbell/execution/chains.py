"""Graphs of nodes become units: what starts together and is worked on as one. Pure.

A unit is a chain, which is a source and everything that its rows stream through in one worker, or
a single node: a `task` alone in a worker, or a `control` node that the daemon answers itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from openbell.model.pipelines import Node, Pipeline

REFUSALS = frozenset({"fail", "rejected"})
"""Outcomes that an edge without a list holds back. Of a `quarantine` the good rows pass."""

UnitKind = Literal["chain", "task", "control"]

_STREAMS = frozenset({"source", "transform", "sink"})
_GIVES_ROWS = frozenset({"source", "transform", "task"})


class GraphError(Exception):
    """The nodes form no graph that can run; the message names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Nodes that start together, the head first, each after those it needs.

    A unit waits for what its head needs; the other nodes of a chain need nodes of the chain alone.
    `reads` is the node whose output a chain streams when its head is no source. The rows of the
    nodes in `spooled` are kept for units that need them.
    """

    kind: UnitKind
    nodes: tuple[Node, ...]
    reads: str | None = None
    spooled: frozenset[str] = frozenset()

    @property
    def head(self) -> Node:
        """The node that the unit begins with."""
        return self.nodes[0]

    @property
    def name(self) -> str:
        """The name of its head."""
        return self.nodes[0].name


def is_open(outcomes: Sequence[str], outcome: str) -> bool:
    """Return whether an edge that lists `outcomes` lets `outcome` through."""
    return outcome in outcomes if outcomes else outcome not in REFUSALS


def below(unit: Unit, node: str) -> set[str]:
    """Return the nodes of `unit` that rows reach through `node`."""
    found = {node}
    for member in unit.nodes:
        if found & set(member.needs):
            found.add(member.name)
    return found - {node}


def ordered(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Return `nodes` so that each stands after those it needs, otherwise as they came.

    Raises GraphError for unknown names and for cycles, naming the nodes in them.
    """
    place = {node.name: number for number, node in enumerate(nodes)}
    waits = [len(node.needs) for node in nodes]
    readers: list[list[int]] = [[] for _ in nodes]
    for number, node in enumerate(nodes):
        for needed in node.needs:
            if needed not in place:
                raise GraphError(f"node {node.name!r} needs {needed!r}, which does not exist")
            readers[place[needed]].append(number)
    done: list[int] = []
    level = [number for number, count in enumerate(waits) if count == 0]
    while level:
        done += level
        following: list[int] = []
        for number in level:
            for reader in readers[number]:
                waits[reader] -= 1
                if waits[reader] == 0:
                    following.append(reader)
        level = sorted(following)
    if len(done) < len(nodes):
        names = ", ".join(sorted(n.name for n, count in zip(nodes, waits, strict=True) if count))
        raise GraphError(f"these nodes wait for each other: {names}")
    return tuple(nodes[number] for number in done)


def complete(pipeline: Pipeline) -> Pipeline:
    """Return `pipeline` with a quarantine for every gate whose refused rows no node takes.

    So no row is ever dropped: what is not published is held.
    """
    taken: dict[str, set[str]] = {}
    for node in pipeline.nodes:
        if node.op == "quarantine":
            for needed, outcomes in node.needs.items():
                taken.setdefault(needed, set()).update(outcomes)
    added = []
    for gate in (node for node in pipeline.nodes if node.op == "gate"):
        missing = tuple(
            label for label in ("quarantine", "fail") if label not in taken.get(gate.name, ())
        )
        if missing:
            added.append(
                Node(name=f"{gate.name}_held", op="quarantine", needs={gate.name: missing})
            )
    return replace(pipeline, nodes=ordered((*pipeline.nodes, *added)))


def units(pipeline: Pipeline, roles: Mapping[str, str]) -> tuple[Unit, ...]:
    """Return the units of `pipeline`; `roles` maps operators to what they are.

    Raises GraphError for operators that are not there, for nodes that get rows from nowhere or
    from several places, and for what cannot be inside a chain.
    """
    return _Cut(pipeline, roles).units()


class _Cut:
    """Cuts one pipeline."""

    def __init__(self, pipeline: Pipeline, roles: Mapping[str, str]) -> None:
        self._nodes = ordered(pipeline.nodes)
        for node in self._nodes:
            if node.op not in roles:
                raise GraphError(f"node {node.name!r} uses op {node.op!r}, which is not installed")
        self._role = {node.name: roles[node.op] for node in self._nodes}
        self._home: dict[str, str] = {}
        self._members: dict[str, list[Node]] = {}
        self._reads: dict[str, str] = {}

    def units(self) -> tuple[Unit, ...]:
        for node in self._nodes:
            _check_items(node, self._role[node.name])
            home = self._chain_of(node) if self._role[node.name] in {"transform", "sink"} else None
            self._home[node.name] = home or node.name
            self._members.setdefault(home or node.name, []).append(node)
        spooled = self._spooled()
        return tuple(
            Unit(
                kind=self._kind(name),
                nodes=tuple(nodes),
                reads=self._reads.get(name),
                spooled=frozenset(node.name for node in nodes if node.name in spooled),
            )
            for name, nodes in self._members.items()
        )

    def _kind(self, head: str) -> UnitKind:
        role = self._role[head]
        return "chain" if role in _STREAMS else "task" if role == "task" else "control"

    def _chain_of(self, node: Node) -> str | None:
        """Return the head of the chain whose rows stream into `node`, None if it heads its own."""
        for needed in node.needs:
            if self._role[needed] == "sink":
                raise GraphError(
                    f"node {node.name!r} needs {needed!r}, which ends the rows' way; "
                    "only a source, a task or a control node may follow it"
                )
        givers = [needed for needed in node.needs if self._role[needed] in _GIVES_ROWS]
        streams = [needed for needed in givers if self._role[needed] != "task"]
        homes = {self._home[needed] for needed in givers}
        if len(homes) == 1 and len(streams) == len(node.needs):
            self._check_inside(node, next(iter(homes)))
            return next(iter(homes))
        if len(givers) != 1:
            raise GraphError(
                f"node {node.name!r} (op {node.op}) must get its rows from exactly one source, "
                f"not from {', '.join(sorted(homes)) or 'none'}"
            )
        self._reads[node.name] = givers[0]
        return None

    def _check_inside(self, node: Node, head: str) -> None:
        if node.trigger != "all_success":
            raise GraphError(
                f"node {node.name!r} has trigger {node.trigger!r} and stands in the chain of "
                f"{head!r}, through which rows stream; only the first node of a chain waits, "
                "so only that can have a trigger other than all_success"
            )

    def _spooled(self) -> set[str]:
        """Return the nodes of chains whose rows units other than their own need."""
        wanted = set(self._reads.values())
        for node in self._nodes:
            if self._role[node.name] == "task":
                wanted.update(node.needs)
        return {name for name in wanted if self._role[name] in {"source", "transform"}}


def _check_items(node: Node, role: str) -> None:
    if node.for_each is None:
        return
    if role in _STREAMS:
        raise GraphError(
            f"node {node.name!r} (op {node.op}) streams rows and cannot have for_each; "
            "only a task or a control node can"
        )
    source = node.for_each.get("output") if isinstance(node.for_each, Mapping) else None
    if source is not None and source not in node.needs:
        raise GraphError(
            f"node {node.name!r} takes its items from the output of {source!r}, "
            "which it does not need; add it to its needs"
        )
