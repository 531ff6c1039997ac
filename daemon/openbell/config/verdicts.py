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
_GOES_ON = frozenset({Verdict.PASS, Verdict.WARN, Verdict.QUARANTINE})


def check_edges(
    registry: Registry, problems: Problems, nodes: Mapping[str, Node], path: Path
) -> None:
    """Note edges that can never open, nodes that nothing reaches, and verdicts no one takes."""
    for name, node in nodes.items():
        for other, outcomes in node.needs.items():
            if other in nodes:
                known = (SUCCESS, *registry.operators[nodes[other].op].outcomes)
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


def _check_gate(node: Node, nodes: Mapping[str, Node], problems: Problems, path: Path) -> None:
    taken: set[str] = set()
    for other in nodes.values():
        if node.name in other.needs:
            outcomes = other.needs[node.name] or (SUCCESS,)
            taken.update(_GOES_ON if SUCCESS in outcomes else ())
            taken.update(outcomes)
    for verdict in sorted(possible_verdicts(node.settings) - taken):
        problems.add(
            path,
            f"no node takes verdict {verdict!r}: its rows would be lost",
            f"add it to a node's needs, such as {{{node.name}: [{verdict}]}}",
            at_key=True,
        )


def possible_verdicts(settings: Mapping[str, Any]) -> set[str]:
    """Return the answers that a gate with these settings can give."""
    default = settings.get("severity", Severity.FAIL.value)
    rules = settings.get("rules", ())
    severities = {str(rule.get("severity") or default) for rule in rules}
    return {Verdict.PASS.value, *(severities & set(Severity))}
