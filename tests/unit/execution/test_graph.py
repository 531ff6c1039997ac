"""Trigger rules as Airflow documents them, and how a run goes through its graph."""

from __future__ import annotations

from dataclasses import replace

import pytest

from openbell.execution.chains import units
from openbell.execution.graph import Ended, RunGraph, Seen, verdict
from openbell.model.pipelines import Node, Pipeline, TriggerRule
from openbell.model.runs import IllegalStepError, NodeState, RunState

pytestmark = pytest.mark.unit

ROLES = {"ingest": "source", "write": "sink", "noop": "control"}
RUN, SKIP, BREAK = NodeState.QUEUED, NodeState.SKIPPED, NodeState.UPSTREAM_FAILED
SUCCESS, FAILED = Ended(NodeState.SUCCESS), Ended(NodeState.FAILED)
STATES = {
    "s": "success",
    "f": "failed",
    "u": "upstream_failed",
    "k": "skipped",
    ".": None,
}

# One column a set of two needed nodes: s success, f failed, u upstream_failed, k skipped, . open.
# "All upstream tasks have succeeded", "at least one upstream task has failed (does not wait for
# all)", ...: Airflow, Core Concepts, Dags, Trigger Rules. A rule that can no longer be met skips,
# or is upstream_failed where a failure is the reason.
TABLE: dict[TriggerRule, dict[str, NodeState | None]] = {
    "all_success": {
        "..": None, "s.": None, "ss": RUN, "sf": BREAK, "f.": BREAK, "u.": BREAK, "sk": SKIP,
        "k.": None, "kf": BREAK, "kk": SKIP,
    },
    "all_failed": {
        "..": None, "f.": None, "ff": RUN, "fu": RUN, "uu": RUN, "s.": SKIP, "k.": SKIP, "fs": SKIP,
    },
    "all_done": {
        "..": None, "s.": None, "f.": None, "ss": RUN, "sf": RUN, "ff": RUN, "sk": RUN, "ku": RUN,
    },
    "all_skipped": {"..": None, "k.": None, "kk": RUN, "s.": SKIP, "f.": SKIP, "ku": SKIP},
    "one_success": {
        "..": None, "s.": RUN, "sf": RUN, "f.": None, "ff": BREAK, "fk": BREAK, "kk": SKIP,
    },
    "one_failed": {"..": None, "f.": RUN, "u.": RUN, "s.": None, "ss": SKIP, "sk": SKIP, "kf": RUN},
    "one_done": {
        "..": None, "s.": RUN, "f.": RUN, "k.": None, "u.": None, "kk": SKIP, "uu": SKIP, "ku": SKIP,
    },
    "none_failed": {
        "..": None, "s.": None, "ss": RUN, "sk": RUN, "kk": RUN, "f.": BREAK, "u.": BREAK,
    },
    "none_failed_min_one_success": {
        "..": None, "ss": RUN, "sk": RUN, "kk": SKIP, "f.": BREAK, "sf": BREAK, "su": BREAK,
    },
    "none_skipped": {
        "..": None, "ss": RUN, "sf": RUN, "ff": RUN, "fu": RUN, "k.": SKIP, "sk": SKIP, "s.": None,
    },
    "always": {"..": RUN, "s.": RUN, "ff": RUN, "kk": RUN},
}  # fmt: skip
CASES = [(rule, word, wanted) for rule, row in TABLE.items() for word, wanted in row.items()]


def seen(word: str) -> Seen:
    counts = {name: word.count(letter) for letter, name in STATES.items() if name}
    return Seen(needed=len(word), **counts)


@pytest.mark.parametrize(("rule", "word", "wanted"), CASES)
def test_a_rule_means_what_airflow_documents(
    rule: TriggerRule, word: str, wanted: NodeState | None
) -> None:
    assert verdict(rule, seen(word)) is wanted


@pytest.mark.parametrize("rule", TABLE)
def test_a_node_that_needs_nothing_runs_whatever_its_rule(rule: TriggerRule) -> None:
    assert verdict(rule, Seen()) is RUN


def node(name: str, *needs: str, trigger: TriggerRule = "all_success") -> Node:
    return Node(name=name, op="noop", needs=dict.fromkeys(needs, ()), trigger=trigger)


def graph_of(*nodes: Node, ended: dict[str, Ended] | None = None) -> RunGraph:
    return RunGraph(units(Pipeline(name="p", nodes=nodes), ROLES), ended)


def names(step: object) -> list[str]:
    return [unit.name for unit in step.ready]  # type: ignore[attr-defined]


def test_parallel_branches_are_ready_together_and_their_join_after_both() -> None:
    graph = graph_of(node("a"), node("b", "a"), node("c", "a"), node("d", "b", "c"))
    assert names(graph.begin()) == ["a"]
    assert names(graph.end({"a": SUCCESS})) == ["b", "c"]
    assert names(graph.end({"c": SUCCESS})) == []
    assert graph.outcome() is None
    assert names(graph.end({"b": SUCCESS})) == ["d"]
    graph.end({"d": SUCCESS})
    assert graph.outcome() is RunState.SUCCESS


def test_a_failure_goes_down_and_leaves_other_branches_alone() -> None:
    graph = graph_of(node("a"), node("b", "a"), node("c", "b"), node("x"))
    assert names(graph.begin()) == ["a", "x"]
    step = graph.end({"a": FAILED})
    assert step.settled == (("b", BREAK), ("c", BREAK))
    graph.end({"x": SUCCESS})
    assert graph.outcome() is RunState.FAILED


def test_a_closed_edge_skips_and_skips_go_down() -> None:
    gate = node("gate")
    left = replace(node("left"), needs={"gate": ("pass", "warn")})
    right = replace(node("right"), needs={"gate": ("fail",)})
    graph = graph_of(gate, left, right, node("below", "right"))
    graph.begin()
    step = graph.end({"gate": Ended(NodeState.SUCCESS, "pass")})
    assert names(step) == ["left"]
    assert step.settled == (("right", SKIP), ("below", SKIP))
    graph.end({"left": SUCCESS})
    assert graph.outcome() is RunState.SUCCESS, "a skipped leaf harms nothing"


def test_a_failure_that_a_node_dealt_with_is_none() -> None:
    graph = graph_of(node("a"), node("mend", "a", trigger="one_failed"))
    graph.begin()
    assert names(graph.end({"a": FAILED})) == ["mend"]
    graph.end({"mend": SUCCESS})
    assert graph.outcome() is RunState.SUCCESS


def test_a_cancelled_node_counts_as_failed() -> None:
    graph = graph_of(node("a"), node("b", "a"))
    graph.begin()
    assert graph.end({"a": Ended(NodeState.CANCELLED)}).settled == (("b", BREAK),)
    assert graph.outcome() is RunState.FAILED


def test_a_chain_is_settled_as_one() -> None:
    nodes = (
        node("ask"),
        Node(name="fetch", op="ingest", needs={"ask": ()}),
        Node(name="publish", op="write", needs={"fetch": ()}),
    )
    graph = graph_of(*nodes)
    graph.begin()
    assert graph.end({"ask": FAILED}).settled == (("fetch", BREAK), ("publish", BREAK))
    assert dict(graph.ended)["publish"].state is BREAK


def test_what_ended_before_is_not_done_again() -> None:
    nodes = (node("a"), node("b", "a"), node("c", "b"))
    graph = graph_of(*nodes, ended={"a": SUCCESS, "b": SUCCESS, "gone": SUCCESS})
    assert names(graph.begin()) == ["c"]
    over = graph_of(*nodes, ended={"a": SUCCESS, "b": FAILED, "c": Ended(BREAK)})
    assert names(over.begin()) == []
    assert over.outcome() is RunState.FAILED
    half = graph_of(*nodes, ended={"a": FAILED})
    assert half.begin().settled == (("b", BREAK), ("c", BREAK))


def test_steps_that_a_run_does_not_have_are_refused() -> None:
    graph = graph_of(node("a"))
    graph.begin()
    with pytest.raises(IllegalStepError):
        graph.begin()
    with pytest.raises(IllegalStepError):
        graph.end({"a": Ended(NodeState.RUNNING)})
    graph.end({"a": SUCCESS})
    with pytest.raises(IllegalStepError):
        graph.end({"a": FAILED})


def test_a_chain_of_which_a_part_ended_before_goes_on_with_the_rest() -> None:
    nodes = (
        node("ask"),
        Node(name="fetch", op="ingest", needs={"ask": ()}),
        Node(name="publish", op="write", needs={"fetch": ()}),
    )
    graph = graph_of(*nodes, ended={"publish": SUCCESS})
    graph.begin()
    assert graph.end({"ask": FAILED}).settled == (("fetch", BREAK),)
