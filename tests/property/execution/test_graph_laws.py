"""Laws of runs: order, and that timing decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from openbell.execution.chains import ordered, units
from openbell.execution.graph import Ended, RunGraph
from openbell.execution.retry import delay_s, is_retried
from openbell.model.pipelines import Node, Pipeline, RetryPolicy, TriggerRule
from openbell.model.runs import NodeState, RunState

pytestmark = pytest.mark.property

ROLES = {"noop": "control"}
TRIGGERS: tuple[TriggerRule, ...] = get_args(TriggerRule)
LABELS = ("success", "left", "right", "fail")
EDGES: tuple[tuple[str, ...], ...] = ((), ("left",), ("right", "fail"))
HOW = [Ended(NodeState.FAILED), Ended(NodeState.SKIPPED), Ended(NodeState.CANCELLED)]
ENDS = st.one_of(
    st.sampled_from(LABELS).map(lambda label: Ended(NodeState.SUCCESS, label)),
    st.sampled_from(HOW),
)


@st.composite
def pipelines(draw: st.DrawFn, most: int = 12) -> Pipeline:
    nodes = []
    for number in range(draw(st.integers(1, most))):
        needs = draw(st.sets(st.integers(0, number - 1), max_size=4)) if number else set()
        nodes.append(
            Node(
                name=f"n{number}",
                op="noop",
                needs={f"n{n}": draw(st.sampled_from(EDGES)) for n in sorted(needs)},
                trigger=draw(st.sampled_from(TRIGGERS)),
            )
        )
    return Pipeline(name="p", nodes=tuple(draw(st.permutations(nodes))))


def play(
    pipeline: Pipeline, fate: dict[str, Ended], order: st.DataObject | None
) -> tuple[dict[str, Ended], list[str], RunState | None]:
    """Run with the nodes ending as `fate` says, one by one or several at once, in any order."""
    graph = RunGraph(units(pipeline, ROLES))
    step = graph.begin()
    working = [unit.name for unit in step.ready]
    started = list(working)
    while working:
        count = order.draw(st.integers(1, len(working))) if order else 1
        ended = []
        for _ in range(count):
            index = order.draw(st.integers(0, len(working) - 1)) if order else 0
            ended.append(working.pop(index))
        step = graph.end({name: fate[name] for name in ended})
        fresh = [unit.name for unit in step.ready]
        working += fresh
        started += fresh
    return dict(graph.ended), started, graph.outcome()


@settings(max_examples=300, deadline=None)
@given(pipelines(), st.data())
def test_how_a_run_ends_does_not_depend_on_timing(pipeline: Pipeline, data: st.DataObject) -> None:
    fate = {node.name: data.draw(ENDS) for node in pipeline.nodes}
    first, _, outcome = play(pipeline, fate, None)
    second, started, other = play(pipeline, fate, data)
    assert first == second
    assert outcome is other is not None
    assert len(started) == len(set(started)), "a node runs once"
    assert set(first) == {node.name for node in pipeline.nodes}, "every node ends"


def look(end: Ended, outcomes: tuple[str, ...]) -> str:
    """Return how an edge looks from the side of the node that needs it."""
    if end.state in {NodeState.FAILED, NodeState.CANCELLED}:
        return "failed"
    if end.state is NodeState.UPSTREAM_FAILED:
        return "upstream_failed"
    is_taken = end.outcome in outcomes if outcomes else end.outcome != "fail"
    return "success" if end.state is NodeState.SUCCESS and is_taken else "skipped"


def fate_of(trigger: TriggerRule, edges: Sequence[str]) -> str:
    """Return what becomes of a node whose edges are all over, as Airflow's documentation says."""
    has = set(edges)
    broken = has & {"failed", "upstream_failed"}
    answers: dict[TriggerRule, str] = {
        "always": "runs",
        "all_done": "runs",
        "all_success": "upstream_failed" if broken else "skipped" if "skipped" in has else "runs",
        "all_failed": "skipped" if has & {"success", "skipped"} else "runs",
        "all_skipped": "skipped" if has - {"skipped"} else "runs",
        "one_success": "runs" if "success" in has else "upstream_failed" if broken else "skipped",
        "one_failed": "runs" if broken else "skipped",
        "one_done": "runs" if has & {"success", "failed"} else "skipped",
        "none_failed": "upstream_failed" if broken else "runs",
        "none_failed_min_one_success": "upstream_failed"
        if broken
        else "runs"
        if "success" in has
        else "skipped",
        "none_skipped": "skipped" if "skipped" in has else "runs",
    }
    return answers[trigger] if edges else "runs"


@settings(max_examples=100, deadline=None)
@given(pipelines(), st.data())
def test_what_becomes_of_a_node_follows_from_its_rule_and_its_edges(
    pipeline: Pipeline, data: st.DataObject
) -> None:
    fate = {node.name: data.draw(ENDS) for node in pipeline.nodes}
    ends, started, outcome = play(pipeline, fate, data)
    for node in pipeline.nodes:
        edges = [look(ends[name], tuple(on)) for name, on in node.needs.items()]
        found = "runs" if node.name in started else str(ends[node.name].state)
        assert found == fate_of(node.trigger, edges)
    needed = {name for node in pipeline.nodes for name in node.needs}
    leaves = {ends[name].state for name in set(ends) - needed}
    has_failed = bool(leaves - {NodeState.SUCCESS, NodeState.SKIPPED})
    assert outcome is (RunState.FAILED if has_failed else RunState.SUCCESS)


@given(pipelines())
def test_order_respects_every_edge(pipeline: Pipeline) -> None:
    place = {node.name: index for index, node in enumerate(ordered(pipeline.nodes))}
    for node in pipeline.nodes:
        assert all(place[needed] < place[node.name] for needed in node.needs)


class RunLife(RuleBasedStateMachine):
    """A run under a driver that is killed now and then and goes on from what was recorded."""

    @initialize(pipeline=pipelines())
    def begin(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.needs = {node.name: set(node.needs) for node in pipeline.nodes}
        self.triggers = {node.name: node.trigger for node in pipeline.nodes}
        self.kept: dict[str, Ended] = {}
        self.take_up()

    def take_up(self) -> None:
        self.graph = RunGraph(units(self.pipeline, ROLES), self.kept)
        step = self.graph.begin()
        self.working = [unit.name for unit in step.ready]
        self.keep()

    def keep(self) -> None:
        self.kept = dict(self.graph.ended)

    @precondition(lambda self: self.working)
    @rule(data=st.data(), end=ENDS)
    def end_one(self, data: st.DataObject, end: Ended) -> None:
        name = self.working.pop(data.draw(st.integers(0, len(self.working) - 1)))
        step = self.graph.end({name: end})
        self.working += [unit.name for unit in step.ready]
        self.keep()

    @rule()
    def kill(self) -> None:
        before = (set(self.working), self.graph.outcome())
        self.take_up()
        assert (set(self.working), self.graph.outcome()) == before

    @invariant()
    def nothing_begins_before_all_it_waits_for(self) -> None:
        for name in getattr(self, "working", ()):
            assert name not in self.kept
            if self.triggers[name] in {"all_success", "all_done", "none_failed", "none_skipped"}:
                assert self.needs[name] <= set(self.kept)

    @invariant()
    def it_is_over_when_nothing_works(self) -> None:
        if hasattr(self, "graph"):
            assert (self.graph.outcome() is None) == bool(self.working)


RunLife.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestRunLife = RunLife.TestCase

POLICIES = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 100),
    backoff_s=st.floats(0, 1e4),
    multiplier=st.floats(1, 100),
    max_backoff_s=st.floats(0, 1e5),
)


@given(POLICIES, st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_retry_delays_stay_in_bounds(policy: RetryPolicy, failures: int, jitter: float) -> None:
    found = delay_s(policy, failures, retry_after_s=None, jitter=jitter)
    if failures >= policy.max_attempts:
        assert found is None
    else:
        assert found is not None
        assert 0 <= found <= policy.max_backoff_s
        assert found <= policy.backoff_s * policy.multiplier ** min(failures - 1, 150) * 1.000001
        assert delay_s(policy, failures, retry_after_s=7.5, jitter=jitter) == 7.5


@given(st.sampled_from(["fatal", "auth", "not_found", "settings", "plugin"]), st.booleans())
def test_a_fatal_error_is_never_tried_again(kind: str, is_retryable: bool) -> None:
    assert not is_retried(RetryPolicy(on=("any",)), kind, is_retryable=is_retryable)
