"""How a run goes through its graph: what is ready, what is skipped, how it ends. Pure.

Trigger rules have the names and meanings of Apache Airflow's ("Core Concepts", "Dags", "Trigger
Rules"), and decide as soon as nothing that is still open could change the decision: so how a run
ends does not depend on what happened to be done first. Over a run's life each edge is looked at
once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from openbell.execution.chains import Unit, is_open
from openbell.model.pipelines import TriggerRule
from openbell.model.runs import IllegalStepError, NodeState, RunState

_BROKEN = frozenset({NodeState.FAILED, NodeState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Ended:
    """How a node ended; `outcome` is the label that its edges see."""

    state: NodeState
    outcome: str = "success"


@dataclass(slots=True)
class Seen:
    """How many of the `needed` edges of a node are over, by how they look from its side."""

    needed: int = 0
    success: int = 0
    failed: int = 0
    upstream_failed: int = 0
    skipped: int = 0

    @property
    def broken(self) -> int:
        """How many edges failed, here or further up."""
        return self.failed + self.upstream_failed

    @property
    def is_whole(self) -> bool:
        """Whether every edge is over."""
        return self.success + self.broken + self.skipped == self.needed


def verdict(trigger: TriggerRule, seen: Seen) -> NodeState | None:
    """Return QUEUED for a node that may run, how it ends if it may not, None while that is open."""
    if seen.needed == 0 or trigger == "always":
        return NodeState.QUEUED
    early = _EARLY[trigger](seen)
    if early is not None or not seen.is_whole:
        return early
    return _LATE[trigger](seen)


def _runs_if(is_met: int | bool) -> NodeState | None:
    return NodeState.QUEUED if is_met else None


def _skips_if(is_hopeless: int | bool) -> NodeState | None:
    return NodeState.SKIPPED if is_hopeless else None


def _breaks_if(is_broken: int | bool) -> NodeState | None:
    return NodeState.UPSTREAM_FAILED if is_broken else None


_Judge = Callable[[Seen], NodeState | None]

_EARLY: Mapping[TriggerRule, _Judge] = {
    "all_success": lambda seen: _breaks_if(seen.broken),
    "all_failed": lambda seen: _skips_if(seen.success or seen.skipped),
    "all_done": lambda _: None,
    "all_skipped": lambda seen: _skips_if(seen.success or seen.broken),
    "one_success": lambda seen: _runs_if(seen.success),
    "one_failed": lambda seen: _runs_if(seen.broken),
    "one_done": lambda seen: _runs_if(seen.success or seen.failed),
    "none_failed": lambda seen: _breaks_if(seen.broken),
    "none_failed_min_one_success": lambda seen: _breaks_if(seen.broken),
    "none_skipped": lambda seen: _skips_if(seen.skipped),
}
"""What is certain before every edge is over."""

_LATE: Mapping[TriggerRule, _Judge] = {
    "all_success": lambda seen: _skips_if(seen.skipped) or NodeState.QUEUED,
    "all_failed": lambda _: NodeState.QUEUED,
    "all_done": lambda _: NodeState.QUEUED,
    "all_skipped": lambda _: NodeState.QUEUED,
    "one_success": lambda seen: _breaks_if(seen.broken) or NodeState.SKIPPED,
    "one_failed": lambda _: NodeState.SKIPPED,
    "one_done": lambda _: NodeState.SKIPPED,
    "none_failed": lambda _: NodeState.QUEUED,
    "none_failed_min_one_success": lambda seen: _runs_if(seen.success) or NodeState.SKIPPED,
    "none_skipped": lambda _: NodeState.QUEUED,
}
"""What follows once every edge is over and nothing was certain before."""


@dataclass(frozen=True, slots=True)
class Step:
    """What follows from nodes that ended: units that may run, and nodes that end without running."""

    ready: tuple[Unit, ...]
    settled: tuple[tuple[str, NodeState], ...]


@dataclass(slots=True)
class _Waiting:
    """A unit that did not begin yet."""

    unit: Unit
    seen: Seen = field(default_factory=Seen)
    is_decided: bool = False


class RunGraph:
    """Where one run stands in its graph. Not for more than one task.

    `ended` are nodes that ended before, in another process or another run.
    """

    def __init__(self, units: Sequence[Unit], ended: Mapping[str, Ended] | None = None) -> None:
        self._waiting = [_Waiting(unit) for unit in units]
        self._home = {node.name: each for each in self._waiting for node in each.unit.nodes}
        self._nodes = {node.name: node for unit in units for node in unit.nodes}
        self._readers: dict[str, list[tuple[_Waiting, tuple[str, ...]]]] = {}
        self._ended: dict[str, Ended] = {}
        self._began = False
        self._before = {n: end for n, end in (ended or {}).items() if n in self._nodes}
        needed_by_any: set[str] = set()
        for waiting in self._waiting:
            waiting.seen.needed = len(waiting.unit.head.needs)
            for needed, outcomes in waiting.unit.head.needs.items():
                self._readers.setdefault(needed, []).append((waiting, tuple(outcomes)))
            for node in waiting.unit.nodes:
                needed_by_any.update(node.needs)
        self._leaves = tuple(name for name in self._nodes if name not in needed_by_any)

    @property
    def ended(self) -> Mapping[str, Ended]:
        """The nodes that ended, and how."""
        return self._ended

    def begin(self) -> Step:
        """Return what can be done at once; call it before everything else, and once."""
        if self._began:
            raise IllegalStepError("a run's graph", "begun", "begun")
        self._began = True
        for waiting in self._waiting:
            waiting.is_decided = all(node.name in self._before for node in waiting.unit.nodes)
        return self._follow(self._before, self._waiting)

    def end(self, ends: Mapping[str, Ended]) -> Step:
        """Take in how nodes ended, also nodes that never began; return what follows."""
        for name, end in ends.items():
            if name in self._ended:
                raise IllegalStepError(f"node {name!r}", self._ended[name].state, end.state)
            if not end.state.is_final:
                raise IllegalStepError(f"node {name!r} that ends", "open", end.state)
            self._home[name].is_decided = True
        return self._follow(ends, ())

    def _follow(self, ends: Mapping[str, Ended], touched: Iterable[_Waiting]) -> Step:
        ready: list[Unit] = []
        settled: list[tuple[str, NodeState]] = []
        open_ends = deque(ends.items())
        self._decide(touched, ready, settled, open_ends)
        while open_ends:
            name, end = open_ends.popleft()
            self._ended[name] = end
            readers = self._readers.get(name, ())
            for waiting, outcomes in readers:
                _count(waiting.seen, end, outcomes)
            self._decide((waiting for waiting, _ in readers), ready, settled, open_ends)
        return Step(tuple(ready), tuple(settled))

    def _decide(
        self,
        touched: Iterable[_Waiting],
        ready: list[Unit],
        settled: list[tuple[str, NodeState]],
        open_ends: deque[tuple[str, Ended]],
    ) -> None:
        for waiting in touched:
            if waiting.is_decided:
                continue
            decided = verdict(waiting.unit.head.trigger, waiting.seen)
            if decided is None:
                continue
            waiting.is_decided = True
            if decided is NodeState.QUEUED:
                ready.append(waiting.unit)
                continue
            for node in waiting.unit.nodes:
                if node.name not in self._before:
                    settled.append((node.name, decided))
                    open_ends.append((node.name, Ended(decided)))

    def outcome(self) -> RunState | None:
        """Return how the run ends, None while it is not over.

        It is failed when a leaf neither succeeded nor was skipped. A leaf is a node that no other
        needs: so a failure that some node dealt with is none.
        """
        if len(self._ended) < len(self._nodes):
            return None
        harmless = {NodeState.SUCCESS, NodeState.SKIPPED}
        has_failed = any(self._ended[name].state not in harmless for name in self._leaves)
        return RunState.FAILED if has_failed else RunState.SUCCESS


def _count(seen: Seen, end: Ended, outcomes: Sequence[str]) -> None:
    """Note how a needed node ended, as its edge shows it: a closed edge looks skipped."""
    if end.state in _BROKEN:
        seen.failed += 1
    elif end.state is NodeState.UPSTREAM_FAILED:
        seen.upstream_failed += 1
    elif end.state is NodeState.SUCCESS and is_open(outcomes, end.outcome):
        seen.success += 1
    else:
        seen.skipped += 1
