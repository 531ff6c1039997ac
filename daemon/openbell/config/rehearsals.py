"""`rehearsal:` of a pipeline: how its nodes behave when time is only played."""

from __future__ import annotations

from collections.abc import Mapping

from openbell.config.node_schema import RehearsalSection
from openbell.config.plugins import Registry
from openbell.config.problems import Problems
from openbell.config.tree import Path
from openbell.config.verdicts import outcomes_of
from openbell.model.pipelines import Node, Rehearsal
from openbell.sdk.values import Verdict


def read_rehearsal(
    section: Mapping[str, RehearsalSection],
    nodes: Mapping[str, Node],
    *,
    registry: Registry,
    problems: Problems,
    path: Path,
) -> dict[str, Rehearsal]:
    """Return how the nodes behave, noting nodes and outcomes that do not exist."""
    found: dict[str, Rehearsal] = {}
    for name, entry in section.items():
        node = nodes.get(name)
        if node is None:
            problems.add_unknown((*path, "rehearsal", name), "node", name, nodes)
            continue
        usual = Verdict.PASS.value if node.op == "gate" else "success"
        outcome = entry.outcome or usual
        known = outcomes_of(registry, node)
        if known is not None and outcome not in known:
            at = (*path, "rehearsal", name, "outcome")
            problems.add_unknown(at, f"outcome of node {name!r}", outcome, known)
        found[name] = Rehearsal(
            duration_s=entry.duration or 0.0, fail_rate=entry.fail_rate, outcome=outcome
        )
    return found
