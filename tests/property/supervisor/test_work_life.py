"""Work in workers over kills, restarts and what people ask: counted, ordered and given back."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import pytest
from doubles.dying import Dying, KilledError
from doubles.hands import ENDS, Hands
from doubles.scripted import REGISTRY, World, deployment, spec_of, world
from hypothesis import given, settings
from hypothesis import strategies as st

from openbell.model.control import ConflictError, Submission
from openbell.model.events import ActorCrashed
from openbell.model.letters import LetterFilter
from openbell.model.pipelines import Node, Pipeline, RetryPolicy
from openbell.model.runs import AttemptRecord, NodeState, RunState
from openbell.testing import ManualClock

pytestmark = pytest.mark.property

KNOWN = replace(REGISTRY, operators={"work": spec_of("work", "task")})
WORKERS = 2
BACKOFF_S = 5.0
RETRY = RetryPolicy(max_attempts=2, backoff_s=BACKOFF_S, multiplier=1.0)


def work(name: str, *needs: str, **more: Any) -> Node:
    needed: dict[str, tuple[str, ...]] = dict.fromkeys(needs, ())
    # With a timeout no unit is known to be brief, so that turns and workers are as many.
    return Node(name=name, op="work", needs=needed, retry=RETRY, timeout_s=1e9, **more)


FLOW = Pipeline(
    name="flow",
    nodes=(
        work("a"),
        work("b", "a", pool="narrow"),
        work("c", "a", pool="narrow"),
        work("d", "b", "c", trigger="all_done"),
        work("e", "b"),
        work("each", for_each=(10, 11, 12)),
        work("f", "each", "c"),
    ),
    max_active_runs=2,
)
NODES = {node.name: node for node in FLOW.nodes}
BROKEN = {NodeState.FAILED, NodeState.CANCELLED, NodeState.UPSTREAM_FAILED}
VERBS = (
    *("submit", *ENDS, *ENDS, "succeed", "succeed", "succeed", "wait", "wait"),
    *("cancel", "cancel_node", "pause", "resume", "kill", "kill", "drain", "restart"),
    *("kill_at_cancel", "kill_at_cancel_node"),
    *("succeed_and_cancel", "fail_and_cancel", "succeed_and_cancel_node", "fail_and_cancel_node"),
    *("succeed_and_pause", "succeed_and_drain", "fail_and_drain"),
)
Move = tuple[str, int, str]
moves_of_life = st.lists(
    st.tuples(st.sampled_from(VERBS), st.integers(0, 15), st.sampled_from(sorted(NODES))),
    min_size=4,
    max_size=30,
)


def may_begin(name: str, states: dict[str, NodeState]) -> bool:
    """Return whether a node may begin, worked out from its definition alone."""
    above = [states[needed] for needed in NODES[name].needs]
    if NODES[name].trigger == "all_done":
        return all(state.is_final for state in above)
    return all(state is NodeState.SUCCESS for state in above)


@dataclass
class Life:
    """Runs over as many processes as it takes; everything else is on record."""

    max_parallel: int = 2
    history: Dying = field(default_factory=Dying)
    clock: ManualClock = field(default_factory=ManualClock)
    runs: list[str] = field(default_factory=list)
    processes: int = 0
    paused: dict[str, frozenset[str]] = field(default_factory=dict)
    final: dict[tuple[str, str], object] = field(default_factory=dict)

    async def play(self, moves: Iterable[Move]) -> None:
        """Go through `moves`, then let all that is open end well."""
        left = deque([("submit", 0, "a"), *moves])
        while not await self._process(left):
            pass
        await self._check_the_end()

    async def _process(self, left: deque[Move]) -> bool:
        """Obey until the process is over; return whether nothing is left to do."""
        self.history.left = 1_000_000
        is_done = False
        try:
            async with _World(self) as (at, hands):
                await at.settle(0)
                await self._check_what_was_cancelled()
                while left and await self._go_on(at, hands, left.popleft()):
                    pass
                if not (left or at.engine.drained.is_set()):
                    await self._live_out(at, hands)
                    is_done = True
        except* KilledError:
            pass
        return is_done

    async def _live_out(self, at: World, hands: Hands) -> None:
        """Let all that is open end well, in the process that it is in."""
        self.history.left = 1_000_000
        for run in self.runs:
            hands.paused.pop(run, None)
            await self._ask(at.engine.control.pause(run, paused=False, by="me"))
        for _ in range(40):
            await at.settle(BACKOFF_S)
            await self._check(at, hands)
            for held in list(hands.held):
                held.say("succeed")

    async def _go_on(self, at: World, hands: Hands, move: Move) -> bool:
        """Do as asked; return whether the process lives on. Raises KilledError."""
        if move[0] == "restart":
            return False
        await self._obey(at, hands, move)
        await at.settle(0)
        if self.history.left <= 0:
            raise KilledError
        await self._check(at, hands)
        is_over = at.engine.drained.is_set()
        assert is_over or move[0] != "drain"
        return not is_over

    async def _check_what_was_cancelled(self) -> None:
        """A restart goes on with no run that somebody cancelled."""
        for run in self.runs:
            record = await self.history.run(run)
            assert record is not None
            assert record.state.is_final or not record.cancel_requested

    async def _obey(self, at: World, hands: Hands, move: Move) -> None:
        """Do as asked; with `HOW_and_THEN` a task ends while, or soon after, somebody asks."""
        verb, pick, node = move
        how, _, then = verb.partition("_and_")
        if how not in ENDS:
            await self._tell(at, hands, move)
            return
        if not hands.held:
            return
        held = hands.held[pick % len(hands.held)]
        its = (self.runs.index(held.task.run_id), held.task.node.name if pick % 2 else node)
        async with anyio.create_task_group() as tasks:
            if then:
                tasks.start_soon(self._tell, at, hands, (then, *its))
                for _ in range(pick):
                    await anyio.lowlevel.checkpoint()
            held.say(how)

    async def _tell(self, at: World, hands: Hands, move: Move) -> None:
        verb, pick, node = move
        if verb.startswith("kill_at_"):
            self.history.left, verb = 1, verb.removeprefix("kill_at_")
        run, engine = self.runs[pick % len(self.runs)] if self.runs else "", at.engine
        match verb:
            case "kill":
                self.history.left = pick % 6
            case "drain":
                engine.request_stop(fast=False)
            case "wait":
                await at.settle(BACKOFF_S)
            case "submit":
                self.runs.append((await engine.submit(Submission(pipeline="flow"))).run_id)
            case "cancel":
                await self._ask(engine.cancel(run, by="me"))
            case "cancel_node":
                await self._ask(engine.control.cancel_node(run, node, by="me"))
            case "pause":
                await self._ask(engine.control.pause(run, paused=True, by="me"))
                mine = [held.task.attempt_id for held in hands.held if held.task.run_id == run]
                hands.paused.setdefault(run, frozenset(mine))
            case _:
                hands.paused.pop(run, None)
                await self._ask(engine.control.pause(run, paused=False, by="me"))

    async def _ask(self, asked: Any) -> None:
        with suppress(ConflictError):
            await asked

    async def _check(self, at: World, hands: Hands) -> None:
        assert at.seen.of(ActorCrashed) == []
        assert hands.broken == []
        for held in hands.held:
            begun = hands.paused.get(held.task.run_id, {held.task.attempt_id})
            assert held.task.attempt_id in begun, "a paused run begins no attempt"
        running: list[AttemptRecord] = []
        for run in self.runs:
            running += await self._check_run(run)
        in_hand = {held.task.attempt_id for held in hands.held}
        assert {attempt.attempt_id for attempt in running} == in_hand
        self._check_turns(at, hands)

    def _check_turns(self, at: World, hands: Hands) -> None:
        desk = at.services.desk
        waiting = desk.waiting()
        assert len(hands.held) <= WORKERS
        assert desk.room() == max(0, WORKERS - len(hands.held) - len(waiting)), (
            "turns are given back"
        )
        assert all(each.reason != "its turn is next" for each in waiting)
        narrow = sum(NODES[held.task.node.name].pool == "narrow" for held in hands.held)
        assert narrow <= 1

    async def _check_run(self, run: str) -> list[AttemptRecord]:
        """Check what is on record of a run; return its attempts that run."""
        record = await self.history.run(run)
        assert record is not None
        tries = list(await self.history.attempts(run))
        running = [attempt for attempt in tries if attempt.state == "running"]
        assert not (running and record.state.is_final), "an attempt of an ended run is open"
        self._keep((run, ""), record.state, record.state.is_final)
        for node in await self.history.nodes(run):
            self._keep((run, node.node), node.state, node.state.is_final)
            assert node.state.is_final or not record.state.is_final
            if node.node != "each":
                _check_tries([a for a in tries if a.node == node.node], node.state, node.error_kind)
        for item in await self.history.items(run, "each"):
            self._keep((run, f"each/{item.number}"), item.state, item.state.is_final)
            tries = list(await self.history.attempts(run, "each", item=item.number))
            is_over = record.state.is_final and not item.state.is_final
            _check_tries(tries, NodeState.CANCELLED if is_over else item.state, item.error_kind)
        return running

    def _keep(self, place: tuple[str, str], state: object, is_final: bool) -> None:
        assert self.final.get(place) in {None, state}, "what is final stays so"
        if is_final:
            self.final[place] = state

    async def _check_the_end(self) -> None:
        """Everything ended, as its edges say, once, and what failed left its letters."""
        for run in self.runs:
            record = await self.history.run(run)
            assert record is not None
            assert record.state.is_final, "no run is stuck"
            states = {node.node: node.state for node in await self.history.nodes(run)}
            _check_edges(states, is_cancelled=record.state is RunState.CANCELLED)
            if record.state is not RunState.CANCELLED:
                leaves = {states[name] for name in ("d", "e", "f")}
                assert (record.state is RunState.FAILED) == bool(leaves & BROKEN)
            stored = await self.history.events(run_id=run, limit=10_000)
            assert [event.name for event in stored].count("run.finished") == 1
            await self._check_letters(run, states)

    async def _check_letters(self, run: str, states: dict[str, NodeState]) -> None:
        letters = await self.history.dead_letters(LetterFilter(run_id=run, limit=100))
        items = await self.history.items(run, "each")
        failed = [(item.number, "each") for item in items if item.state is NodeState.FAILED]
        failed += [
            (None, name)  # type: ignore[misc]
            for name, state in states.items()
            if state is NodeState.FAILED and name != "each"
        ]
        assert Counter((letter.item, letter.node) for letter in letters) == Counter(failed)


def _check_tries(tries: Sequence[AttemptRecord], state: NodeState, error_kind: str) -> None:
    """Check that as many attempts count as failed as there are, and none that was interrupted."""
    states = [attempt.state for attempt in tries]
    assert [attempt.number for attempt in tries] == list(range(1, len(tries) + 1))
    is_running = state is NodeState.RUNNING and states[-1:] != ["interrupted"]
    assert states.count("running") == is_running, "one attempt at a time"
    assert states.count("success") == (state is NodeState.SUCCESS), "no finished work is lost"
    if state is NodeState.FAILED:
        assert tries[-1].state == "failed"
        assert error_kind == "auth" or states.count("failed") == RETRY.max_attempts
    else:
        assert states.count("failed") < RETRY.max_attempts
    if state is NodeState.RETRYING:
        assert "failed" in states


def _check_edges(states: dict[str, NodeState], *, is_cancelled: bool) -> None:
    """Check each node's end by those of the nodes that it needs."""
    for name, node in NODES.items():
        above = {states[needed] for needed in node.needs}
        if states[name] is NodeState.CANCELLED:
            continue
        is_barred = node.trigger == "all_success" and bool(above & BROKEN)
        assert (states[name] is NodeState.UPSTREAM_FAILED) == is_barred or is_cancelled, name
        assert states[name] is not NodeState.SKIPPED


class _World:
    """An engine at work on the history of a life, and the hands of its workers."""

    def __init__(self, life: Life) -> None:
        self._hands = Hands(life.history, life.clock, may_begin, BACKOFF_S, life.paused)
        life.processes += 1
        first = life.processes * 1_000_000
        self._bits = iter(range(first, first + 1_000_000))
        each = replace(NODES["each"], max_parallel=life.max_parallel)
        nodes = tuple({**NODES, "each": each}.values())
        found = deployment(replace(FLOW, nodes=nodes), pools={"narrow": 1})
        self._opened = world(
            configured=found,
            registry=KNOWN,
            scripts=[self._hands.play],
            history=life.history,
            clock=life.clock,
        )

    async def __aenter__(self) -> tuple[World, Hands]:
        at = await self._opened.__aenter__()
        at.services.ids._random_bits = lambda _: next(self._bits)
        return at, self._hands

    async def __aexit__(self, *how: object) -> bool | None:
        return await self._opened.__aexit__(*how)


@settings(max_examples=100)
@given(moves=moves_of_life, max_parallel=st.integers(1, 3))
def test_work_is_counted_ordered_and_given_back_whatever_happens(
    moves: list[Move], max_parallel: int
) -> None:
    anyio.run(Life(max_parallel=max_parallel).play, moves)
