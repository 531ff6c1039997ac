"""Edges and outcomes: each labels something that can happen, and no row falls between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openbell.config.plugins import Registry
from openbell.config.problems import Problems
from openbell.config.tree import Path
from openbell.model.pipelines import Node
from openbell.sdk.values import Severity, Verdict

SUCCESS = "success"
_PUBLISHED = (Verdict.PASS, Verdict.WARN, Verdict.QUARANTINE)
"""Verdicts under which rows go on; the engine itself holds what `quarantine` and `fail` refuse."""


def check_edges(
    registry: Registry, problems: Problems, nodes: Mapping[str, Node], path: Path
) -> None:
    """Note edges that can never open, nodes that nothing reaches, and rows that get lost."""
    for name, node in nodes.items():
        for other, outcomes in node.needs.items():
            if other in nodes:
                known = _outcomes(registry, nodes[other])
                for outcome in outcomes:
                    if outcome not in known:
                        at = (*path, name, "needs", other)
                        problems.add_unknown(at, f"outcome of node {other!r}", outcome, known)
        role = registry.operators[node.op].role
        if role != "source" and not node.needs:
            message = f"nothing reaches this node: a {role} needs a node before it"
            problems.add((*path, name), message, "name one under needs", at_key=True)
        if node.op == "gate":
            _check_gate(node, nodes, problems, (*path, name))


def _outcomes(registry: Registry, node: Node) -> tuple[str, ...]:
    spec = registry.operators[node.op]
    return spec.outcomes if node.op == "gate" else (SUCCESS, *spec.outcomes)


def _check_gate(node: Node, nodes: Mapping[str, Node], problems: Problems, path: Path) -> None:
    """Note verdicts whose good rows no node takes, if some node takes others.

    A gate that only nodes of op `quarantine` follow, or none, is a check without publishing.
    """
    takers = [
        other for other in nodes.values() if node.name in other.needs and other.op != "quarantine"
    ]
    taken = {outcome for other in takers for outcome in other.needs[node.name] or _PUBLISHED}
    if not taken:
        return
    for verdict in sorted((possible_verdicts(node.settings) & set(_PUBLISHED)) - taken):
        problems.add(
            path,
            f"no node takes the rows of verdict {str(verdict)!r}: they would be lost",
            f"add it to a node's needs, such as {{{node.name}: [{verdict}]}}",
            at_key=True,
        )


def possible_verdicts(settings: Mapping[str, Any]) -> set[str]:
    """Return the answers that a gate with these settings can give.

    A rule answers with its severity, and with `warn` or `fail` if it has a limit of that name.
    """
    default = settings.get("severity", Severity.FAIL.value)
    found = {Verdict.PASS.value}
    for rule in settings.get("rules", ()):
        limits = {key for key, limit in rule.get("params", {}).items() if limit is not None}
        found |= {str(rule.get("severity") or default), *limits} & set(Severity)
    return found
