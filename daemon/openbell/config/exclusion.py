"""Nodes that can never run, because they need ways that exclude each other. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from openbell.model.pipelines import Node

MOST_CONDITIONS = 64
"""How many forks are remembered on a way; with more of them only the nearest are looked at."""

_NEEDS_EVERY_EDGE = frozenset({"all_success", "none_skipped"})

Conditions = Mapping[str, frozenset[str]]
"""What must have come out of which fork for a node to run."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """`node` needs outcomes of `fork` that cannot come out of it together."""

    node: str
    fork: str
    outcomes: tuple[str, ...]


def exclusions(
    nodes: Mapping[str, Node], order: Iterable[str], forks: frozenset[str]
) -> Iterator[Exclusion]:
    """Yield the nodes that can never run, each once and not those behind it.

    `order` holds the nodes, each after those it needs; `forks` are those that end with one outcome
    out of several.
    """
    known: dict[str, Conditions] = {}
    for name in order:
        node = nodes[name]
        if node.trigger not in _NEEDS_EVERY_EDGE:
            known[name] = {}
            continue
        met, clash = _together([_behind(need, node, known, forks) for need in node.needs])
        known[name] = {} if clash else met
        if clash is not None:
            yield Exclusion(name, clash[0], clash[1])


def _behind(
    need: str, node: Node, known: Mapping[str, Conditions], forks: frozenset[str]
) -> Conditions:
    above = known.get(need, {})
    outcomes = node.needs[need]
    return {**above, need: frozenset(outcomes)} if need in forks and outcomes else above


def _together(
    ways: Sequence[Conditions],
) -> tuple[Conditions, tuple[str, tuple[str, ...]] | None]:
    """Return what all of `ways` ask for, and the first fork of which they ask too much."""
    if len(ways) == 1 and len(ways[0]) <= MOST_CONDITIONS:
        return ways[0], None
    met: dict[str, frozenset[str]] = {}
    for way in ways:
        for fork, outcomes in way.items():
            both = met.get(fork, outcomes) & outcomes
            if not both:
                return met, (fork, tuple(sorted(met[fork] | outcomes)))
            met[fork] = both
    kept = list(met)[-MOST_CONDITIONS:]
    return {fork: met[fork] for fork in kept}, None
