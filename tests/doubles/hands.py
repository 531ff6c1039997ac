"""Workers that end when a test says so, and what of their work is against the laws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio

from openbell.execution.process import WorkerLostError
from openbell.execution.protocol import Done, Failed, NodeEnd
from openbell.model.history import History
from openbell.model.runs import NodeState, Totals
from openbell.sdk.clock import Clock

ENDS = ("succeed", "fail", "fatal", "lose")


@dataclass(slots=True, eq=False)
class Held:
    """A task in a worker's hands, until `how` it ends is said."""

    task: Any
    how: str = ""
    said: anyio.Event = field(default_factory=anyio.Event)

    def say(self, how: str) -> None:
        """Let it end; what was said first counts."""
        self.how = self.how or how
        self.said.set()


def answer_of(task: Any, how: str) -> Done | Failed | Exception:
    """Return what a worker says of a task."""
    name = task.node.name
    match how:
        case "succeed":
            ends = {name: NodeEnd(outcome="success", was_reached=True, totals=Totals())}
            return Done(ends=ends, outputs={name: {"kind": "value", "value": 1}})
        case "interrupt":
            return Done(is_interrupted=True)
        case "lose":
            return WorkerLostError(7, None, "", reason="gone")
        case _:
            kind = "transient" if how == "fail" else "auth"
            return Failed(
                node=name, kind=kind, message=how, traceback="", is_retryable=how == "fail"
            )


@dataclass
class Hands:
    """The worker's side; `may_begin` says whether a node may begin, by the states of a run's nodes.

    `paused` are the attempts that paused runs had when they were paused.
    """

    history: History
    clock: Clock
    may_begin: Callable[[str, dict[str, NodeState]], bool]
    backoff_s: float
    paused: dict[str, frozenset[str]]
    held: list[Held] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    async def play(self, task: Any, listener: Any, stop: Any) -> Any:
        """Work until told how to end, or to stop."""
        del listener
        held = Held(task)
        self.held.append(held)
        try:
            await self._check(task)
            with stop.heard_by(lambda: held.say("interrupt") if stop.is_interrupt else None):
                await held.said.wait()
        finally:
            self.held.remove(held)
        return answer_of(task, held.how)

    async def _check(self, task: Any) -> None:
        """Note what is not on record that has to be before a worker has a task."""
        name, item, run_id = task.node.name, task.item_number, task.run_id
        states = {n.node: n.state for n in await self.history.nodes(run_id)}
        tries = await self.history.attempts(run_id, name, item=item)
        begun = [(a.number, a.attempt_id) for a in tries if a.state == "running"]
        if begun != [(task.attempt, task.attempt_id)]:
            self.broken.append(f"{name}[{item}] begins with {begun} on record")
        if states[name] is not NodeState.RUNNING:
            self.broken.append(f"{name} begins and is {states[name]} on record")
        before = tries[-2] if len(tries) > 1 else None
        if before and before.state == "failed" and before.finished_at:
            waited_s = (self.clock.now() - before.finished_at).total_seconds()
            if waited_s < self.backoff_s * 0.99:
                self.broken.append(f"{name}[{item}] is tried again after {waited_s} s")
        if not self.may_begin(name, states):
            self.broken.append(f"{name} begins when {states}")
