"""Graphs become units: every node in one place, after everything it needs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbell.execution.chains import GraphError, complete, is_open, ordered, units
from openbell.model.pipelines import Node, Pipeline

pytestmark = pytest.mark.unit

ROLES = {
    "ingest": "source",
    "gate": "transform",
    "write": "sink",
    "quarantine": "sink",
    "sql": "task",
    "noop": "control",
}


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
    (unit,) = units(job, ROLES)
    assert (unit.kind, unit.name, unit.reads, unit.spooled) == ("chain", "fetch", None, set())
    assert [n.name for n in unit.nodes] == ["fetch", "check", "hold", "publish"]


def test_two_sources_are_two_chains_and_one_may_wait_for_the_other() -> None:
    two = graph(
        node("a", "ingest"),
        node("wa", "write", "a"),
        node("b", "ingest", "wa"),
        node("wb", "write", "b"),
    )
    assert shape(two) == {"a": ["a", "wa"], "b": ["b", "wb"]}


def shape(pipeline: Pipeline) -> dict[str, list[str]]:
    return {unit.name: [n.name for n in unit.nodes] for unit in units(pipeline, ROLES)}


def test_a_task_and_a_control_node_stand_alone() -> None:
    mixed = graph(
        node("fetch", "ingest"),
        node("check", "gate", "fetch"),
        node("joined", "sql", "check"),
        node("ready", "noop", "joined"),
        node("late", "ingest", "ready"),
    )
    assert shape(mixed) == {
        "fetch": ["fetch", "check"],
        "joined": ["joined"],
        "ready": ["ready"],
        "late": ["late"],
    }
    first, *others = units(mixed, ROLES)
    assert first.spooled == {"check"}, "a task needs its rows"
    assert [unit.kind for unit in others] == ["task", "control", "chain"]


def test_rows_of_a_task_begin_a_chain() -> None:
    made = graph(
        node("make", "sql"),
        node("check", "gate", "make"),
        node("publish", "write", "check"),
    )
    assert shape(made) == {"make": ["make"], "check": ["check", "publish"]}
    chain = units(made, ROLES)[1]
    assert (chain.kind, chain.reads) == ("chain", "make")


def test_a_chain_is_cut_where_a_node_waits_for_something_else() -> None:
    asked = graph(
        node("fetch", "ingest"),
        node("check", "gate", "fetch"),
        node("approve", "noop", "check"),
        node("publish", "write", "check", "approve"),
    )
    assert shape(asked) == {
        "fetch": ["fetch", "check"],
        "approve": ["approve"],
        "publish": ["publish"],
    }
    found = {unit.name: unit for unit in units(asked, ROLES)}
    assert (found["publish"].reads, found["fetch"].spooled) == ("check", {"check"})


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
        ([node("t", "sql"), node("u", "sql"), node("g", "gate", "t", "u")], "not from t, u"),
        (
            [
                node("a", "ingest"),
                replace(node("g", "gate", "a"), trigger="all_done"),
            ],
            "only the first node of a chain waits",
        ),
        ([replace(node("a", "ingest"), for_each=[1])], "streams rows and cannot have for_each"),
        (
            [node("t", "sql"), replace(node("u", "sql"), for_each={"output": "t"})],
            "from the output of 't', which it does not need",
        ),
        ([node("a", "nope")], "op 'nope', which is not installed"),
    ],
)
def test_graphs_that_cannot_stream_are_refused(nodes: list[Node], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        units(graph(*nodes), ROLES)


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
    assert is_open((), "any_label_of_a_branch")
    assert not is_open((), "rejected")


def test_items_may_come_from_anywhere_but_an_output_that_is_not_needed() -> None:
    fan = graph(
        node("t", "sql"),
        replace(node("u", "sql", "t"), for_each={"output": "t"}),
        replace(node("v", "noop"), for_each=["a", "b"]),
        replace(node("w", "noop"), for_each={"param": "universe"}),
    )
    assert len(units(fan, ROLES)) == 4
