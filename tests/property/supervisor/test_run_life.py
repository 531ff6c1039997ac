"""Whatever people ask of runs, in whatever order and over restarts, the laws of their lives hold."""

from __future__ import annotations

from collections.abc import Awaitable
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

VERBS = (
    *("end", "end", "finish", "pause", "pause_and_end", "resume", "mark", "mark_and_go_on"),
    *("cancel_node", "cancel", "prioritize", "retry", "retry_node", "submit"),
    *("pause_pipeline", "resume_pipeline", "kill", "restart"),
)
Ask = tuple[str, int, str, int]
asks_of_people = st.lists(
    st.tuples(st.sampled_from(VERBS), st.integers(0, 3), st.sampled_from(NAMES), st.integers(0, 9)),
    min_size=6,
    max_size=12,
)
PREFIX: list[Ask] = [
    ("submit", 0, "a", 5),
    ("submit", 0, "a", 5),
    ("submit", 0, "a", 9),
    ("end", 0, "a", 5),
]
"""Two runs at work, one of them past its first node, and one that waits for its turn."""


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
        self._paused: dict[str, tuple[RunState, frozenset[str]]] = {}
        self._at: World

    def _begin(self) -> None:
        opened = world(FLOW, registry=KNOWN, history=self._history)
        self._at = self._stack.enter_context(self._portal.wrap_async_context_manager(opened))
        self._number += 1
        bits = iter(range(self._number * 10_000, (self._number + 1) * 10_000))
        self._at.services.ids._random_bits = lambda _: next(bits)
        self._portal.call(self._at.settle, 1)

    @override
    def teardown(self) -> None:
        self._stack.close()
        self._portal_of.__exit__(None, None, None)

    @initialize(asks=asks_of_people)
    def begin(self, asks: list[Ask]) -> None:
        self._begin()
        self.people_ask(PREFIX + asks)

    @rule(asks=asks_of_people)
    def people_ask(self, asks: list[Ask]) -> None:
        for ask in asks:
            if ask[0] == "restart" or self._portal.call(self._obey, *ask):
                self._is_killed_next = False
                self._stack.close()
                self._begin()
            self._portal.call(self._check)

    async def _obey(self, verb: str, pick: int, node: str, number: int) -> bool:
        """Do as asked; return whether the daemon was killed right after the record."""
        if verb == "kill":
            self._is_killed_next = True
            return False
        run = await self._pick(pick)
        for step in {
            "mark_and_go_on": ("mark", "end", "end", "end"),
            "pause_and_end": ("pause", "end"),
            "finish": ("end",) * 4,
        }.get(verb, (verb,)):
            await self._step(step, run, node, number)
            if self._is_killed_next:
                return True
            await self._at.settle(1)
            await self._check()
        return False

    async def _step(self, step: str, run: str, node: str, number: int) -> None:
        engine = self._at.engine
        match step:
            case "submit":
                made = await engine.submit(Submission(pipeline="flow", priority=number))
                self._runs.append(made.run_id)
            case "end":
                label = "rejected" if number == 0 else "fine"
                for begun in sorted(await self._begun(run)):
                    await self._ask(engine.answer(run, begun, label, by="me"))
            case "pause":
                paused = await self._ask(engine.control.pause(run, paused=True, by="me"))
                if paused is not None and run not in self._paused:
                    self._paused[run] = (await self._state(run), await self._begun(run))
            case "resume":
                self._paused.pop(run, None)
                await self._ask(engine.control.pause(run, paused=False, by="me"))
            case "pause_pipeline":
                await self._ask(engine.pause("flow", by="me"))
            case "resume_pipeline":
                await self._ask(engine.resume("flow", by="me"))
            case _:
                await self._step_of_node(step, run, node, number)

    async def _step_of_node(self, step: str, run: str, node: str, number: int) -> None:
        engine = self._at.engine
        match step:
            case "mark":
                how = "failed" if number < 3 else "success"
                marked = engine.control.mark(run, node, how, by="me", reason="so", outcome="fine")
                await self._ask(marked)
            case "cancel_node":
                await self._ask(engine.control.cancel_node(run, node, by="me"))
            case "cancel":
                await self._ask(engine.cancel(run, by="me"))
            case "prioritize":
                await self._ask(engine.control.prioritize(run, number, by="me"))
            case "retry" | "retry_node":
                again = Retry(
                    from_node=node if step == "retry_node" else None,
                    is_whole=step == "retry" and number < 3,
                )
                made = await self._ask(engine.retry(run, by="me", how=again))
                if made is not None:
                    self._runs.append(made.run_id)
            case _:
                raise ValueError(step)

    async def _ask(self, asked: Awaitable[Any]) -> Any:
        try:
            return await asked
        except ConflictError:
            return None

    async def _pick(self, number: int) -> str:
        """Return one of the first open runs, or the newest of all."""
        if number == 3 or not self._runs:
            return self._runs[-1] if self._runs else ""
        open_runs = [run for run in self._runs if not (await self._state(run)).is_final]
        return open_runs[number % len(open_runs)] if open_runs else self._runs[-1]

    async def _state(self, run: str) -> RunState:
        record = await self._history.run(run)
        assert record is not None
        return record.state

    async def _nodes(self, run: str) -> dict[str, NodeState]:
        return {n.node: n.state for n in await self._history.nodes(run)}

    async def _begun(self, run: str) -> frozenset[str]:
        nodes = await self._nodes(run)
        return frozenset(n for n, state in nodes.items() if state is NodeState.RUNNING)

    async def _check(self) -> None:
        assert self._at.seen.of(ActorCrashed) == []
        (status,) = self._at.engine.pipelines()
        assert status.active_runs <= FLOW.max_active_runs
        for run in self._runs:
            state, nodes = await self._state(run), await self._nodes(run)
            self._check_what_is_final_stays(run, state, nodes)
            self._check_nothing_begins_too_early(run, state, nodes)
        self._check_every_end_is_recorded_once()

    def _check_what_is_final_stays(
        self, run: str, state: RunState, nodes: dict[str, NodeState]
    ) -> None:
        before = self._ended.setdefault(run, state)
        assert before == state or not before.is_final
        self._ended[run] = state
        for node, now in nodes.items():
            assert self._nodes_ended.get((run, node)) in {None, now}
            assert now.is_final or not state.is_final, "no node of an ended run is open"
            if now.is_final:
                self._nodes_ended[run, node] = now

    def _check_nothing_begins_too_early(
        self, run: str, state: RunState, nodes: dict[str, NodeState]
    ) -> None:
        begun = {name for name, now in nodes.items() if now is NodeState.RUNNING}
        for name in begun:
            assert all(nodes[needed].is_final for needed in NEEDS[name])
        if run in self._paused:
            then, begun_then = self._paused[run]
            assert begun <= begun_then, "a paused run begins no node"
            assert then is not RunState.QUEUED or state is not RunState.RUNNING

    def _check_every_end_is_recorded_once(self) -> None:
        ends = [(e.run_id, e.node) for e in self._at.seen.of(NodeChanged) if e.state.is_final]
        assert len(ends) == len(set(ends))


def test_the_laws_of_runs_hold_whatever_people_ask() -> None:
    run_state_machine_as_test(
        RunLife,
        settings=settings(
            max_examples=60,
            stateful_step_count=6,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
