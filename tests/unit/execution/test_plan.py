"""What a run would do, before it begins."""

from __future__ import annotations

import pytest

from openbell.execution.chains import units
from openbell.execution.plan import Expected, critical_path, skips, unit_plans
from openbell.model.pipelines import Node, Pipeline

pytestmark = pytest.mark.unit

ROLES = {"noop": "control", "ingest": "source", "gate": "transform", "write": "sink"}
UNKNOWN = Expected(None, "unknown")


def noop(name: str, *needs: str, **outcomes: tuple[str, ...]) -> Node:
    return Node(name=name, op="noop", needs={**dict.fromkeys(needs, ()), **outcomes})


def test_units_have_levels_and_a_chain_is_one_of_them() -> None:
    nodes = (
        Node(name="fetch", op="ingest", pool="vendor"),
        Node(name="check", op="gate", needs={"fetch": ()}),
        Node(name="publish", op="write", needs={"check": ("pass",)}),
        noop("after", "publish"),
    )
    expected = {
        "fetch": Expected(5.0, "history"),
        "check": Expected(4.0, "history"),
        "publish": UNKNOWN,
        "after": UNKNOWN,
    }
    chain, after = unit_plans(units(Pipeline(name="p", nodes=nodes), ROLES), expected)
    assert (chain.nodes, chain.kind, chain.pools) == (
        ("fetch", "check", "publish"),
        "chain",
        ("vendor",),
    )
    assert (chain.level, chain.seconds, chain.source) == (0, 5.0, "history")
    assert (after.level, after.needs, after.source) == (1, ("fetch",), "unknown")


def test_the_critical_path_is_the_longest_in_time_then_in_units() -> None:
    nodes = (noop("a"), noop("b"), noop("c", "a"), noop("d", "b", "c"))
    found = units(Pipeline(name="p", nodes=nodes), ROLES)
    times = {"a": 1.0, "b": 5.0, "c": 1.0, "d": 2.0}
    plans = unit_plans(found, {name: Expected(s, "history") for name, s in times.items()})
    assert critical_path(plans) == (("b", "d"), 7.0)
    unknown = unit_plans(found, dict.fromkeys(times, UNKNOWN))
    assert critical_path(unknown) == (("a", "c", "d"), 0.0)
    assert critical_path(()) == ((), 0.0)


def test_nodes_are_skipped_for_certain_or_perhaps() -> None:
    nodes = (
        noop("known"),
        noop("open", known=("red",)),
        noop("closed", known=("blue",)),
        noop("behind", "closed"),
        Node(name="gate", op="gate", needs={}),
        noop("perhaps", gate=("pass",)),
        noop("then", "perhaps"),
        Node(name="always", op="noop", needs={"closed": ()}, trigger="all_done"),
        noop("failed"),
        noop("after_failed", "failed"),
    )
    outcomes = {node.name: None for node in nodes} | {"known": "red", "failed": "failed"}
    found = {skip.node: (skip.is_certain, skip.reason) for skip in skips(nodes, outcomes)}
    assert found == {
        "closed": (True, "'known' ends with 'red', which closes this edge"),
        "behind": (True, "'closed' is skipped"),
        "perhaps": (False, "it runs only if 'gate' ends with 'pass'"),
        "then": (False, "'perhaps' may be skipped"),
        "after_failed": (True, "'failed' ends with 'failed', which closes this edge"),
    }
