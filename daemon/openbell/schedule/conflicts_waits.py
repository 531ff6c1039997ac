"""Runs that come before what they need: `after` and `needs_dataset`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from openbell.model.pipelines import Pipeline
from openbell.schedule.conflicts_overlaps import writes_of
from openbell.schedule.conflicts_values import (
    Conflict,
    Plan,
    Run,
    Severity,
    dated,
    later,
    span_text,
)
from openbell.schedule.durations import SECOND_US
from openbell.schedule.grammar import Predicate


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a pipeline waits for: any one of `producers`. `dataset` is empty for `after`."""

    consumer: str
    producers: tuple[str, ...]
    dataset: str = ""

    @property
    def about(self) -> dict[str, str]:
        """What a conflict about it names."""
        return {"dataset": self.dataset} if self.dataset else {"producer": self.producers[0]}


def needs_of(pipelines: Mapping[str, Pipeline]) -> list[Need]:
    """Return every need of every pipeline."""
    writers: dict[str, list[str]] = {}
    for name, pipeline in pipelines.items():
        for _, dataset in writes_of(pipeline):
            writers.setdefault(dataset, []).append(name)
    found: list[Need] = []
    for name, pipeline in pipelines.items():
        found += [
            Need(consumer=name, producers=(other,))
            for other in pipeline.after
            if other in pipelines
        ]
        for dataset in pipeline.needs_dataset:
            others = tuple(other for other in writers.get(dataset, ()) if other != name)
            if others:
                found.append(Need(consumer=name, producers=others, dataset=dataset))
    return found


def waits_of(needs: Sequence[Need]) -> dict[str, frozenset[str]]:
    """Return for each pipeline all that it waits for, directly or through others."""
    direct: dict[str, set[str]] = {}
    for need in needs:
        if len(need.producers) == 1:
            direct.setdefault(need.consumer, set()).update(need.producers)
    found: dict[str, frozenset[str]] = {}
    for name, others in direct.items():
        reached: set[str] = set()
        ahead = list(others)
        while ahead:
            other = ahead.pop()
            if other not in reached:
                reached.add(other)
                ahead += direct.get(other, ())
        found[name] = frozenset(reached)
    return found


def unmet(plans: Mapping[str, Plan], need: Need, span_us: tuple[int, int]) -> list[Conflict]:
    """Return what a need meets in `[start_us, end_us)`: waits, and sessions that nobody produces.

    The plans reach further than that at both ends. A producer without a schedule is not judged.
    """
    consumer = plans[need.consumer]
    producers = [plans[name] for name in need.producers if plans[name].runs]
    if not producers:
        return []
    ready = _ready(producers)
    known_to = min(plan.known_to for plan in (consumer, *producers))
    found = _Waits()
    for run in consumer.runs:
        if run.day is None or not span_us[0] <= run.start_us < span_us[1] or run.day > known_to:
            continue
        at = ready.get(run.day)
        if at is None:
            found.missing.append(run.day)
        elif run.start_us < at.end_us:
            found.add(run, at)
        else:
            found.good += 1
    return [*_early(consumer, producers, need, found), *_missing(consumer, producers, need, found)]


@dataclass(slots=True)
class _Waits:
    """How the runs of a consumer meet the runs of its producers."""

    good: int = 0
    days: list[int] = field(default_factory=list)
    stale: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    longest_us: int = 0
    waits_us: dict[int, int] = field(default_factory=dict)

    def add(self, run: Run, producer: Run) -> None:
        """Note a run that comes before its producer is done."""
        assert run.day is not None
        (self.stale if run.is_stale else self.days).append(run.day)
        wait_us = producer.end_us - run.start_us
        self.longest_us = max(self.longest_us, wait_us)
        self.waits_us[run.day] = max(wait_us, self.waits_us.get(run.day, 0))

    def longer_than(self, limit_s: float) -> list[int]:
        """Return the sessions in which it waits longer."""
        return [day for day in self.days if self.waits_us[day] > limit_s * SECOND_US]


def _ready(producers: Sequence[Plan]) -> dict[int, Run]:
    """Return for each session the run that is done with it first."""
    found: dict[int, Run] = {}
    for plan in producers:
        for run in plan.runs:
            if run.day is not None:
                known = found.get(run.day)
                if known is None or run.end_us < known.end_us:
                    found[run.day] = run
    return found


def _early(consumer: Plan, producers: Sequence[Plan], need: Need, waits: _Waits) -> list[Conflict]:
    days = [*waits.days, *waits.stale]
    if not days:
        return []
    severity, what, worst = _verdict(consumer.pipeline, waits)
    longest = span_text(waits.longest_us)
    names = (need.consumer, *(plan.pipeline.name for plan in producers))
    lengths = ", ".join(f"{plan.pipeline.name}: {plan.length.text}" for plan in producers)
    which = need.dataset or producers[0].pipeline.name
    conflict = Conflict(
        kind="early",
        severity=severity,
        pipelines=names,
        about=need.about,
        message=f"{need.consumer} is due up to {longest} before {which} is there ({lengths}) in "
        f"{len(days)} of {len(days) + waits.good} sessions; {what}",
        fix=_fix(consumer, producers, need, waits),
    )
    return [dated(conflict, worst)]


def _verdict(pipeline: Pipeline, waits: _Waits) -> tuple[Severity, str, list[int]]:
    """Return how bad it is, what happens on those days, and which of them are meant."""
    days = [*waits.days, *waits.stale]
    if waits.stale:
        return "conflict", "on some of them it runs for the session before instead", days
    give_up_s = pipeline.give_up_s
    if give_up_s is not None:
        lost = waits.longer_than(give_up_s)
        if lost:
            limit = span_text(round(give_up_s * SECOND_US))
            return "conflict", f"it gives up after {limit}, in {len(lost)} of them", lost
        return "note", "it waits, and does not give up", days
    if len(waits.days) > waits.good:
        return "note", "it waits, as on most days", days
    return "conflict", "it waits on these days only, as nothing else is said", days


def _fix(consumer: Plan, producers: Sequence[Plan], need: Need, waits: _Waits) -> str:
    """Return how a consumer comes after its producer on every day."""
    moved = [
        (later(schedule, plan.length.us), plan.pipeline.name)
        for plan in producers
        for schedule in plan.schedules
    ]
    own = [later(schedule, waits.longest_us) for schedule in consumer.schedules]
    ways: list[str] = []
    if len(moved) == 1 and moved[0][0]:
        ways.append(f"schedule {need.consumer} by the clock of {moved[0][1]}: {moved[0][0]!r}")
    if len(own) == 1 and own[0]:
        ways.append(f"shift {need.consumer} to {own[0]!r}")
    if not waits.stale:
        longest_us = -(-waits.longest_us // (300 * SECOND_US)) * 300 * SECOND_US
        ways.append(f"let it wait on purpose: `give_up: {span_text(longest_us)}`")
    return ", or ".join(ways) or "give it a later time of day"


def _missing(
    consumer: Plan, producers: Sequence[Plan], need: Need, waits: _Waits
) -> list[Conflict]:
    if not waits.missing:
        return []
    ends = "for ever" if consumer.pipeline.give_up_s is None else "until it gives up"
    which = need.dataset or need.producers[0]
    conflict = Conflict(
        kind="never_produced",
        severity="conflict",
        pipelines=(need.consumer, *(plan.pipeline.name for plan in producers)),
        about=need.about,
        message=f"{need.consumer} is due for sessions that {which} is never due for; it waits {ends}",
        fix=_jointly(consumer, producers),
    )
    return [dated(conflict, waits.missing)]


def _jointly(consumer: Plan, producers: Sequence[Plan]) -> str:
    """Return how a consumer fires only where its producer does."""
    theirs = [
        name for plan in producers for schedule in plan.schedules for name in schedule.calendars
    ]
    if len(consumer.schedules) == 1 and theirs:
        own = consumer.schedules[0]
        both = Predicate(calendar=theirs[0], state="session")
        text = replace(own, predicates=tuple(sorted({*own.predicates, both}))).text
        return f"let {consumer.pipeline.name} fire only where both trade: {text!r}"
    return "schedule both by one calendar"
