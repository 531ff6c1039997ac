"""Whatever people ask of runs, in whatever order and over restarts, the laws of their lives hold."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from doubles.scripted import REGISTRY, World, world
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from typing_extensions import override

from openbell.model.control import ConflictError, Submission
from openbell.model.events import ActorCrashed, NodeChanged
from openbell.model.pipelines import Node, Pipeline, RetryPolicy
from openbell.model.retries import Retry
from openbell.model.runs import NodeState, RunState
from openbell.operators.control import CONTROL
from openbell.testing import MemoryHistory

pytestmark = pytest.mark.property

KNOWN = replace(REGISTRY, operators={spec.name: spec for spec in CONTROL})
NAMES = ["a", "b", "c", "d", "e"]
NEEDS = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c"), "e": ("d",)}
FLOW = Pipeline(
    name="flow",
    nodes=tuple(
        Node(
            name=name,
            op="approve",
            needs=dict.fromkeys(NEEDS[name], ()),
            settings={"labels": ("fine", "rejected")},
            retry=RetryPolicy(max_attempts=1),
            trigger="all_done" if name == "e" else "all_success",
        )
        for name in NAMES
    ),
    max_active_runs=2,
)
"""Each node ends when somebody answers it: so the test says what ends when."""

picks = st.integers(0, 2)
names = st.sampled_from(NAMES)


class RunLife(RuleBasedStateMachine):
    """Asks; what is refused is refused with a word, and whatever was final stays so."""

    def __init__(self) -> None:
        super().__init__()
        self._portal_of = start_blocking_portal()
        self._portal: BlockingPortal = self._portal_of.__enter__()
        self._history = MemoryHistory()
        self._stack = ExitStack()
        self._number = 0
        self._is_killed_next = False
        self._runs: list[str] = []
        self._ended: dict[str, RunState] = {}
        self._nodes_ended: dict[tuple[str, str], NodeState] = {}
        self._paused: dict[str, frozenset[str]] = {}
        self._at: Any = None

    @initialize()
    def begin(self) -> None:
        opened = world(FLOW, registry=KNOWN, history=self._history)
        self._at: World = self._stack.enter_context(self._portal.wrap_async_context_manager(opened))
        self._number += 1
        bits = iter(range(self._number * 10_000, (self._number + 1) * 10_000))
        self._at.services.ids._random_bits = lambda _: next(bits)
        self._portal.call(self._at.settle, 1)
        if not self._runs:
            self.submit(5)

    @override
    def teardown(self) -> None:
        self._stack.close()
        self._portal_of.__exit__(None, None, None)

    def _ask(self, what: str, *arguments: Any, **more: Any) -> Any:
        async def asked() -> Any:
            found: Any = self._at.engine
            for part in what.split("."):
                found = getattr(found, part)
            try:
                answer = await found(*arguments, **more)
            except ConflictError:
                answer = None
            if not self._is_killed_next:
                await self._at.settle(0.001)
            return answer

        answer = self._portal.call(asked)
        if self._is_killed_next:
            self._is_killed_next = False
            self.restart()
        return answer

    def _pick(self, number: int) -> str | None:
        return self._runs[-1 - number % min(3, len(self._runs))] if self._runs else None

    @rule(priority=st.integers(0, 9))
    def submit(self, priority: int) -> None:
        run = self._ask("submit", Submission(pipeline="flow", priority=priority))
        self._runs.append(run.run_id)

    @rule(
        pick=picks,
        count=st.integers(1, 3),
        label=st.sampled_from(["fine", "fine", "fine", "rejected"]),
    )
    def end_nodes(self, pick: int, count: int, label: str) -> None:
        if run := self._pick(pick):
            for node in sorted(self._begun(run))[:count]:
                self._ask("answer", run, node, label, by="me")

    @rule(pick=picks, count=st.integers(1, 5))
    def go_on(self, pick: int, count: int) -> None:
        for _ in range(count):
            self.end_nodes(pick, 3, "fine")

    @rule(pick=picks, paused=st.booleans())
    def pause(self, pick: int, *, paused: bool) -> None:
        if run := self._pick(pick):
            if not paused:
                self._paused.pop(run, None)
            answer = self._ask("control.pause", run, paused=paused, by="me")
            if answer is not None and paused:
                self._paused.setdefault(run, self._begun(run))

    @rule(paused=st.booleans())
    def pause_pipeline(self, *, paused: bool) -> None:
        self._ask("pause" if paused else "resume", "flow", by="me")

    @rule(pick=picks, node=names)
    def cancel_node(self, pick: int, node: str) -> None:
        if run := self._pick(pick):
            self._ask("control.cancel_node", run, node, by="me")

    @rule(pick=picks, node=names, mark=st.sampled_from(["success", "failed"]))
    def mark(self, pick: int, node: str, mark: str) -> None:
        if run := self._pick(pick):
            self._ask("control.mark", run, node, mark, by="me", reason="so", outcome="fine")

    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        if run := self._pick(pick):
            self._ask("cancel", run, by="me")

    @rule(pick=picks, priority=st.integers(0, 9))
    def prioritize(self, pick: int, priority: int) -> None:
        if run := self._pick(pick):
            self._ask("control.prioritize", run, priority, by="me")

    @rule(pick=picks, node=st.none() | names, is_whole=st.booleans())
    def retry(self, pick: int, node: str | None, *, is_whole: bool) -> None:
        if run := self._pick(pick):
            how = Retry(from_node=node, is_whole=is_whole and node is None)
            again = self._ask("retry", run, by="me", how=how)
            if again is not None:
                self._runs.append(again.run_id)

    @rule()
    def kill_after_the_next_record(self) -> None:
        self._is_killed_next = True

    @rule()
    def restart(self) -> None:
        self._stack.close()
        self.begin()

    def _nodes(self, run: str) -> dict[str, NodeState]:
        async def asked() -> dict[str, NodeState]:
            return {n.node: n.state for n in await self._history.nodes(run)}

        return self._portal.call(asked)

    def _begun(self, run: str) -> frozenset[str]:
        nodes = self._nodes(run)
        return frozenset(n for n, state in nodes.items() if state is NodeState.RUNNING)

    @invariant()
    def what_is_final_stays(self) -> None:
        for run in self._runs:
            record = self._portal.call(self._history.run, run)
            assert record is not None
            assert self._ended.setdefault(run, record.state) == record.state or (
                not self._ended[run].is_final
            )
            self._ended[run] = record.state
            for node, state in self._nodes(run).items():
                before = self._nodes_ended.get((run, node))
                assert before in {None, state}
                if state.is_final:
                    self._nodes_ended[run, node] = state
                else:
                    assert not record.state.is_final, "no node of an ended run is open"

    @invariant()
    def nothing_begins_while_paused(self) -> None:
        for run, begun in self._paused.items():
            assert self._begun(run) <= begun

    @invariant()
    def nothing_runs_after_what_follows_it_began(self) -> None:
        for run in self._runs:
            nodes = self._nodes(run)
            for name, state in nodes.items():
                has_begun = state is NodeState.RUNNING
                assert not has_begun or all(nodes[needed].is_final for needed in NEEDS[name])

    @invariant()
    def nothing_crashes(self) -> None:
        assert self._at is None or self._at.seen.of(ActorCrashed) == []

    @invariant()
    def not_too_many_run(self) -> None:
        if self._at is not None:
            (status,) = self._at.engine.pipelines()
            assert status.active_runs <= FLOW.max_active_runs

    @invariant()
    def every_change_is_recorded_once(self) -> None:
        if self._at is None:
            return
        ends = [
            (event.run_id, event.node)
            for event in self._at.seen.of(NodeChanged)
            if event.state.is_final
        ]
        assert len(ends) == len(set(ends))


def test_the_laws_of_runs_hold_whatever_people_ask() -> None:
    run_state_machine_as_test(
        RunLife,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
