"""Runs that want the same thing at the same time: a dataset, a pool's slots, a vendor's budget. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush, merge
from itertools import combinations, pairwise

from openbell.model.pipelines import Deployment, Pacing, Pipeline, ProviderUse
from openbell.schedule.conflicts_values import (
    Conflict,
    Plan,
    Run,
    dated,
    day_of,
    later,
    span_text,
)
from openbell.schedule.durations import SECOND_US


def writers(plans: Sequence[Plan], waits: Mapping[str, frozenset[str]]) -> list[Conflict]:
    """Return the pairs of pipelines that write one dataset at overlapping times.

    Two of which one waits for the other are none.
    """
    by_table: dict[tuple[str, str], list[Plan]] = {}
    for plan in plans:
        for table in writes_of(plan.pipeline):
            by_table.setdefault(table, []).append(plan)
    found: list[Conflict] = []
    for (storage, dataset), those in sorted(by_table.items()):
        by_name = {plan.pipeline.name: plan for plan in those}
        for names, meetings in sorted(_meetings(those).items()):
            first, second = names
            if second in waits.get(first, ()) or first in waits.get(second, ()):
                continue
            found.append(
                _collision((by_name[first], by_name[second]), storage, dataset, meetings=meetings)
            )
    return found


def writes_of(pipeline: Pipeline) -> tuple[tuple[str, str], ...]:
    """Return the storage and dataset of each `write`, by its own settings or its source's."""
    by_name = {node.name: node for node in pipeline.nodes}
    found: dict[tuple[str, str], None] = {}
    for node in pipeline.nodes:
        if node.op != "write":
            continue
        storage = str(node.settings.get("to") or "primary")
        named = node.settings.get("dataset")
        if named:
            found[storage, str(named)] = None
            continue
        seen: set[str] = set()
        above = list(node.needs)
        while above:
            name = above.pop()
            if name in seen or name not in by_name:
                continue
            seen.add(name)
            if by_name[name].op == "ingest":
                found[storage, str(by_name[name].settings.get("dataset"))] = None
            above += by_name[name].needs
    return tuple(found)


def pools(plans: Sequence[Plan], slots: Mapping[str, int]) -> list[Conflict]:
    """Return the pools of which more runs want a slot at once than there are.

    A run counts as one slot from its start to its end, so this is a lower bound where it works on
    several nodes of the pool at once, and an upper one where it soon gives the slot back.
    """
    found: list[Conflict] = []
    for pool, count in sorted(slots.items()):
        users = [plan for plan in plans if any(n.pool == pool for n in plan.pipeline.nodes)]
        crowd = _crowd(users, count)
        if not crowd.days:
            continue
        conflict = Conflict(
            kind="pool",
            severity="conflict",
            pipelines=tuple(sorted(crowd.names)),
            about={"pool": pool},
            message=f"up to {crowd.peak} runs want a slot of pool {pool} at once; it has {count}",
            fix=f"set `pools: {{{pool}: {crowd.peak}}}`, or {_apart(users, crowd.names)}",
        )
        found.append(dated(conflict, crowd.days))
    return found


def budgets(plans: Sequence[Plan], deployment: Deployment) -> list[Conflict]:
    """Return the providers of which more is asked than their budgets give.

    A run is taken to ask once for each symbol. It is too much when its last request would have
    to wait for longer than the run takes, or than until the next run of its pipeline.
    """
    found: list[Conflict] = []
    for name, provider in sorted(deployment.providers.items()):
        rate = provider.pacing.requests_per_minute
        asked = {plan.pipeline.name: _requests(plan.pipeline, deployment, name) for plan in plans}
        users = [plan for plan in plans if asked[plan.pipeline.name]]
        if not users or not rate or not provider.enabled:
            continue
        found += _over_budget(provider, rate, users, asked)
    return found


@dataclass(slots=True)
class _Crowd:
    """Who was there when a pool was too small."""

    peak: int = 0
    days: list[int] = field(default_factory=list)
    names: set[str] = field(default_factory=set)


def _meetings(plans: Sequence[Plan]) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """Return for each two pipelines when their runs met: the start, and how long they overlap."""
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    active: list[tuple[int, str]] = []
    if len(plans) < 2:
        return found
    for run in _in_order(plans):
        while active and active[0][0] <= run.start_us:
            heappop(active)
        for end_us, name in active:
            if name != run.pipeline:
                first, second = sorted((name, run.pipeline))
                shared_us = min(end_us, run.end_us) - run.start_us
                found.setdefault((first, second), []).append((run.start_us, shared_us))
        if run.end_us > run.start_us:
            heappush(active, (run.end_us, run.pipeline))
    return found


def _in_order(plans: Iterable[Plan]) -> Iterable[Run]:
    return merge(*(plan.runs for plan in plans))


def _collision(
    pair: tuple[Plan, Plan], storage: str, dataset: str, *, meetings: Sequence[tuple[int, int]]
) -> Conflict:
    first, second = pair
    names = (first.pipeline.name, second.pipeline.name)
    longest_us = max(shared_us for _, shared_us in meetings)
    is_known = first.length.seconds is not None and second.length.seconds is not None
    overlap = f"for up to {span_text(longest_us)}" if is_known else "at the same moment"
    conflict = Conflict(
        kind="writers",
        severity="conflict",
        pipelines=names,
        about={"storage": storage, "dataset": dataset},
        message=f"{names[0]} ({first.length.text}) and {names[1]} ({second.length.text}) both "
        f"write {dataset} in {storage} {overlap}",
        fix=_separation(first, second, longest_us),
    )
    return dated(conflict, (day_of(at_us) for at_us, _ in meetings))


def _separation(first: Plan, second: Plan, shared_us: int) -> str:
    """Return how two pipelines come apart: one waits for the other, or is moved."""
    name = second.pipeline.name
    waits = f"let {name} run `after: [{first.pipeline.name}]`"
    moved = [later(schedule, shared_us) for schedule in second.schedules]
    return f"{waits}, or shift it to {moved[0]!r}" if len(moved) == 1 and moved[0] else waits


def _crowd(plans: Sequence[Plan], slots: int) -> _Crowd:
    found = _Crowd()
    active: list[tuple[int, str]] = []
    is_over = False
    for run in _in_order(plans):
        while active and active[0][0] <= run.start_us:
            heappop(active)
        if run.end_us > run.start_us:
            heappush(active, (run.end_us, run.pipeline))
        is_more = len(active) > slots
        if is_more:
            found.names.update(name for _, name in active)
            found.peak = max(found.peak, len(active))
            if not is_over:
                found.days.append(day_of(run.start_us))
        is_over = is_more
    return found


def _apart(users: Sequence[Plan], names: set[str]) -> str:
    """Return a sentence that moves one of some pipelines out of the way."""
    for first, second in combinations((p for p in users if p.pipeline.name in names), 2):
        moved = [later(schedule, first.length.us) for schedule in second.schedules]
        if moved and moved[0]:
            return f"shift {second.pipeline.name} to {moved[0]!r}"
    return "let some of them run `after` the others"


def _requests(pipeline: Pipeline, deployment: Deployment, provider: str) -> int:
    named = (str(n.settings.get("dataset")) for n in pipeline.nodes if n.op == "ingest")
    used = (deployment.datasets[name] for name in named if name in deployment.datasets)
    return sum(len(dataset.symbols) for dataset in used if dataset.provider == provider)


@dataclass(slots=True)
class _Bucket:
    """A budget as its broker keeps it: tokens that refill, and what is asked ahead of them."""

    rate: float
    burst: int
    tokens: float
    at_us: int

    def wait_us(self, at_us: int, count: int) -> int:
        """Ask for `count` requests at an instant; return how long the last of them waits."""
        refill = (at_us - self.at_us) / SECOND_US * self.rate
        self.tokens = min(float(self.burst), self.tokens + refill) - count
        self.at_us = at_us
        return max(0, round(-self.tokens / self.rate * SECOND_US))


def _over_budget(
    provider: ProviderUse, rate: float, users: Sequence[Plan], asked: Mapping[str, int]
) -> list[Conflict]:
    lengths = {plan.pipeline.name: plan.length for plan in users}
    following = {plan.pipeline.name: _following(plan.runs) for plan in users}
    pacing: Pacing = provider.pacing
    runs = list(_in_order(users))
    if not runs:
        return []
    bucket = _Bucket(rate / 60, pacing.burst, float(pacing.burst), runs[0].start_us)
    days: list[int] = []
    names: set[str] = set()
    worst_us = 0
    for run in runs:
        wait_us = bucket.wait_us(run.start_us, asked[run.pipeline])
        next_us = following[run.pipeline].get(run.start_us)
        length = lengths[run.pipeline]
        is_slow = length.seconds is not None and wait_us > length.us
        if is_slow or (next_us is not None and wait_us > next_us - run.start_us):
            days.append(day_of(run.start_us))
            names.add(run.pipeline)
            worst_us = max(worst_us, wait_us)
    if not days:
        return []
    conflict = Conflict(
        kind="budget",
        severity="conflict",
        pipelines=tuple(sorted(names)),
        about={"provider": provider.name},
        message=f"at {rate:g} requests a minute the last request of a run waits up to "
        f"{span_text(worst_us)} (counted as one request a symbol: an estimate)",
        fix=f"spread these pipelines over more time (`jitter`, other offsets), or raise "
        f"`providers: {{{provider.name}: {{pacing: {{requests_per_minute: ...}}}}}}` if the vendor "
        "allows more",
    )
    return [dated(conflict, days)]


def _following(runs: Sequence[Run]) -> dict[int, int]:
    return dict(pairwise(sorted({run.start_us for run in runs})))
