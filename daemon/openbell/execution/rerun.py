"""Which part of a run is done again. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from openbell.execution.chains import Unit


def rerun_part(units: Sequence[Unit], seeds: Collection[str]) -> frozenset[str]:
    """Return the nodes that are done again when those in `seeds` are.

    A chain is done again as a whole, and so is all that needs any of it. `units` stand in order:
    each after those it needs.
    """
    again: set[str] = set()
    for unit in units:
        names = {node.name for node in unit.nodes}
        needed = {name for node in unit.nodes for name in node.needs}
        if not names.isdisjoint(seeds) or not needed.isdisjoint(again):
            again |= names
    return frozenset(again)
