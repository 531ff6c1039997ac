"""What a run would do, as far as that is known before it begins. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openbell.execution.chains import Unit, is_open
from openbell.model.pipelines import Node

_ENDS = frozenset({"failed", "skipped"})
"""Outcomes of `op: noop` that let no edge through."""


@dataclass(frozen=True, slots=True)
class Expected:
    """How long a node takes, and how that is known: history, rehearsal, expected or unknown."""

    seconds: float | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPlan:
    """A unit as it would be worked on; level 0 needs nothing. `seconds` is None for unknown."""

    name: str
    kind: str
    nodes: tuple[str, ...]
    needs: tuple[str, ...]
    pools: tuple[str, ...]
    level: int
    seconds: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Skip:
    """A node that will not run, or one of which that depends on what another one says."""

    node: str
    is_certain: bool
    reason: str


def unit_plans(units: Sequence[Unit], expected: Mapping[str, Expected]) -> tuple[UnitPlan, ...]:
    """Return units in order, each with its level: one more than the highest that it needs."""
    home = {node.name: unit.name for unit in units for node in unit.nodes}
    levels: dict[str, int] = {}
    plans = []
    for unit in units:
        needs = tuple(dict.fromkeys(home[name] for name in unit.head.needs))
        levels[unit.name] = 1 + max((levels[name] for name in needs), default=-1)
        known = [expected[node.name] for node in unit.nodes]
        seconds = [each.seconds for each in known if each.seconds is not None]
        source = next((each.source for each in known if each.seconds is not None), "unknown")
        plans.append(
            UnitPlan(
                name=unit.name,
                kind=unit.kind,
                nodes=tuple(node.name for node in unit.nodes),
                needs=needs,
                pools=tuple(dict.fromkeys(node.pool for node in unit.nodes if node.pool)),
                level=levels[unit.name],
                seconds=max(seconds, default=None),
                source=source,
            )
        )
    return tuple(plans)


def critical_path(plans: Sequence[UnitPlan]) -> tuple[tuple[str, ...], float]:
    """Return the units whose times add up to the most, in order, and the sum in seconds.

    A unit of unknown length counts as none; of paths that take alike the one with more units.
    """
    best: dict[str, tuple[float, int]] = {}
    before: dict[str, str | None] = {}
    for unit in plans:
        giver = max(unit.needs, key=lambda name: best[name], default=None)
        start_s, count = best[giver] if giver is not None else (0.0, 0)
        best[unit.name] = (start_s + (unit.seconds or 0.0), count + 1)
        before[unit.name] = giver
    last = max(best, key=lambda name: best[name], default=None)
    total_s = best[last][0] if last is not None else 0.0
    path: list[str] = []
    while last is not None:
        path.append(last)
        last = before[last]
    return tuple(reversed(path)), total_s


def skips(nodes: Sequence[Node], outcomes: Mapping[str, str | None]) -> tuple[Skip, ...]:
    """Return the nodes that will be skipped, and those that may be, in the order given.

    `outcomes` are known before anything runs; None is any other node's. Only nodes that wait for
    the success of all they need are judged: what another trigger rule makes of it is for the run.
    """
    found: dict[str, Skip] = {}
    for node in nodes:
        if node.trigger != "all_success":
            continue
        skip = _skip(node, outcomes, found)
        if skip is not None:
            found[node.name] = skip
    return tuple(found.values())


def _skip(node: Node, outcomes: Mapping[str, str | None], found: Mapping[str, Skip]) -> Skip | None:
    maybe: Skip | None = None
    for needed, wanted in node.needs.items():
        before, outcome = found.get(needed), outcomes[needed]
        if before is not None and before.is_certain:
            return Skip(node.name, is_certain=True, reason=f"{needed!r} is skipped")
        if outcome is not None and (outcome in _ENDS or not is_open(wanted, outcome)):
            reason = f"{needed!r} ends with {outcome!r}, which closes this edge"
            return Skip(node.name, is_certain=True, reason=reason)
        if before is not None:
            maybe = maybe or Skip(node.name, is_certain=False, reason=f"{needed!r} may be skipped")
        elif outcome is None and wanted:
            words = " or ".join(map(repr, wanted))
            reason = f"it runs only if {needed!r} ends with {words}"
            maybe = maybe or Skip(node.name, is_certain=False, reason=reason)
    return maybe
