"""Edges and outcomes: each labels something that can happen, and no row falls between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from openbell.config.exclusion import exclusions
from openbell.config.graph import in_order
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
    gates = {name: node for name, node in nodes.items() if node.op == "gate"}
    takers: dict[str, list[Node]] = {name: [] for name in gates}
    for name, node in nodes.items():
        for other, outcomes in node.needs.items():
            if other in nodes:
                known = outcomes_of(registry, nodes[other]) if outcomes else None
                for outcome in outcomes:
                    if known is not None and outcome not in known:
                        at = (*path, name, "needs", other)
                        problems.add_unknown(at, f"outcome of node {other!r}", outcome, known)
            if other in takers and node.op != "quarantine":
                takers[other].append(node)
        _check_compared(node, problems, (*path, name))
        role = registry.operators[node.op].role
        if role in {"transform", "sink"} and not node.needs:
            message = f"nothing reaches this node: a {role} needs a node before it"
            problems.add((*path, name), message, "name one under needs", at_key=True)
    for name, gate in gates.items():
        _check_gate(gate, takers[name], problems, (*path, name))
    _check_forks(registry, problems, nodes, path)


def _check_compared(node: Node, problems: Problems, path: Path) -> None:
    """Note a branch by a node that may not have ended when it is asked."""
    of = node.settings.get("of")
    if node.op == "branch" and isinstance(of, str) and "${" not in of and of not in node.needs:
        message = f"it compares what {of!r} made, and does not wait for it"
        problems.add((*path, "of"), message, "add it to needs")


def _check_forks(
    registry: Registry, problems: Problems, nodes: Mapping[str, Node], path: Path
) -> None:
    """Note nodes that can never run because they need two answers of one node."""
    forks = frozenset(
        name
        for name, node in nodes.items()
        if registry.operators[node.op].role in {"task", "control"}
    )
    order = in_order({name: node.needs for name, node in nodes.items()})
    for found in exclusions(nodes, order, forks):
        answers = " and ".join(found.outcomes)
        problems.add(
            (*path, found.node, "needs"),
            f"this node can never run: it needs {answers} of node {found.fork!r} at once",
            "a trigger such as none_failed_min_one_success joins ways that exclude each other",
        )


def outcomes_of(registry: Registry, node: Node) -> tuple[str, ...] | None:
    """Return every label that `node` can end with, None when any may come out.

    An operator that gives whatever its settings say tells by them: `outcome` is the one that it
    gives, `labels` are all, and so are the keys of `cases`; `outcomes` maps codes to what it gives
    beside success; `otherwise` and `on_deadline` come to these where it has such settings.
    """
    spec = registry.operators[node.op]
    if spec.any_outcome:
        return _said(spec.settings_model, node.settings)
    return spec.outcomes if node.op == "gate" else (SUCCESS, *spec.outcomes)


def _said(model: type[BaseModel], settings: Mapping[str, Any]) -> tuple[str, ...] | None:
    found: list[str] = []
    for key in ("outcome", "outcomes", "labels", "cases", "otherwise", "on_deadline"):
        field = model.model_fields.get(key)
        default = field.get_default(call_default_factory=True) if field is not None else None
        held = settings.get(key, default)
        if isinstance(held, str):
            found.append(held)
        elif key == "outcomes" and isinstance(held, Mapping):
            found += [SUCCESS, *(str(label) for label in held.values())]
        elif isinstance(held, (Mapping, list, tuple)):
            found += [str(label) for label in held]
    is_known = bool(found) and not any("${" in label for label in found)
    return tuple(dict.fromkeys(found)) if is_known else None


def _check_gate(node: Node, takers: Sequence[Node], problems: Problems, path: Path) -> None:
    """Note verdicts whose good rows no node takes, if some node takes others.

    A gate that only nodes of op `quarantine` follow, or none, is a check without publishing.
    """
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
