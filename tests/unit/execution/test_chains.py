"""Graphs become chains: every node in one place, after everything it needs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbell.execution.chains import GraphError, chains, complete, is_open, ordered
from openbell.model.pipelines import Node, Pipeline

pytestmark = pytest.mark.unit

ROLES = {"ingest": "source", "gate": "transform", "write": "sink", "quarantine": "sink"}


def graph(*nodes: Node) -> Pipeline:
    return Pipeline(name="p", nodes=nodes)


def node(name: str, op: str, *needs: str) -> Node:
    return Node(name=name, op=op, needs=dict.fromkeys(needs, ()))


@st.composite
def dags(draw: st.DrawFn) -> list[Node]:
    count = draw(st.integers(1, 15))
    nodes = []
    for number in range(count):
        needs = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        nodes.append(node(f"n{number}", "gate", *(f"n{n}" for n in sorted(needs))))
    return draw(st.permutations(nodes))


@given(dags())
def test_order_respects_every_edge(nodes: list[Node]) -> None:
    names = [n.name for n in ordered(nodes)]
    assert sorted(names) == sorted(n.name for n in nodes)
    for each in nodes:
        assert all(names.index(needed) < names.index(each.name) for needed in each.needs)


def test_cycles_and_unknown_names_are_named() -> None:
    with pytest.raises(GraphError, match="wait for each other: a, b"):
        ordered([node("a", "gate", "b"), node("b", "gate", "a")])
    with pytest.raises(GraphError, match="'a' needs 'x'"):
        ordered([node("a", "gate", "x")])


def test_a_job_is_one_chain() -> None:
    job = graph(
        node("hold", "quarantine", "check"),
        node("publish", "write", "check"),
        node("check", "gate", "fetch"),
        node("fetch", "ingest"),
    )
    (chain,) = chains(job, ROLES)
    assert chain.source.name == "fetch"
    assert [n.name for n in chain.nodes] == ["fetch", "check", "hold", "publish"]


def test_two_sources_are_two_chains_and_one_may_wait_for_the_other() -> None:
    two = graph(
        node("a", "ingest"),
        node("wa", "write", "a"),
        node("b", "ingest", "wa"),
        node("wb", "write", "b"),
    )
    first, second = chains(two, ROLES)
    assert (first.source.name, second.source.name) == ("a", "b")
    assert dict(second.after) == {"wa": ()}


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("w", "write")], "exactly one source, not from none"),
        (
            [node("a", "ingest"), node("b", "ingest"), node("w", "write", "a", "b")],
            "exactly one source, not from a, b",
        ),
        (
            [node("a", "ingest"), node("w", "write", "a"), node("g", "gate", "w")],
            "ends the rows' way",
        ),
    ],
)
def test_graphs_that_cannot_stream_are_refused(nodes: list[Node], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        chains(graph(*nodes), ROLES)


def test_a_gate_without_a_quarantine_gets_one() -> None:
    bare = graph(
        node("fetch", "ingest"), node("check", "gate", "fetch"), node("w", "write", "check")
    )
    whole = complete(bare)
    assert dict(whole.node("check_held").needs) == {"check": ("quarantine", "fail")}
    assert complete(whole) == whole


def test_edges_without_a_list_let_success_through() -> None:
    assert [is_open((), o) for o in ("success", "pass", "warn", "quarantine", "fail")] == [
        True,
        True,
        True,
        True,
        False,
    ]
    assert is_open(("fail",), "fail")
    assert not is_open(("fail",), "pass")
