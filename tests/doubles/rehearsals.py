"""Rehearsals without workers or files: defined calendars, pipelines made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from doubles.scripted import REGISTRY, deployment, pipeline, spec_of
from openbell.app.rehearsal.stage import Span, Stage
from openbell.calendars.store import SessionStore
from openbell.model.calendars import CalendarDefinition, CalendarRules
from openbell.model.pipelines import Dataset, Deployment, Pipeline, Rehearsal
from openbell.model.schedules import ScheduleUse
from openbell.operators.control import CONTROL

RULES = CalendarRules(
    defined={
        "DESK": CalendarDefinition(
            name="DESK",
            zone="America/New_York",
            weekdays=(0, 1, 2, 3, 4),
            open="09:30",
            close="16:00",
        )
    }
)
WITH_CONTROL = replace(
    REGISTRY,
    operators={
        **REGISTRY.operators,
        **{spec.name: spec for spec in CONTROL},
        "job": spec_of("job", "task"),
    },
)
JANUARY = Span(first=date(2027, 1, 1), last=date(2027, 1, 31))


def scheduled(
    name: str = "eod",
    expression: str = "DESK close + 30m",
    *,
    nodes: Mapping[str, Rehearsal] | None = None,
    **changes: Any,
) -> Pipeline:
    """Return fetch -> check -> publish | hold, fired by a schedule, over a dataset of its own."""
    made = pipeline(name, mode="interval", job=None, start=None, end=None)
    own = tuple(
        replace(node, settings={**node.settings, "dataset": f"bars_{name}"})
        if node.op == "ingest"
        else node
        for node in made.nodes
    )
    made = replace(
        made,
        nodes=own,
        schedule=(ScheduleUse(expression=expression),),
        rehearsal={"fetch": Rehearsal(duration_s=40.0)} if nodes is None else nodes,
    )
    return replace(made, **changes)


def configured(*pipelines: Pipeline, **changes: Any) -> Deployment:
    """Return a deployment of these pipelines."""
    datasets = {
        f"bars_{p.name}": Dataset(
            name=f"bars_{p.name}",
            provider="v",
            schema="bars_ohlcv",
            symbols=("A", "B"),
            interval="1d",
            calendar="DESK",
        )
        for p in pipelines
    }
    return deployment(*pipelines, datasets=datasets, calendars=RULES, **changes)


@cache
def store_to(last: date) -> SessionStore:
    """Return the sessions of the defined calendars, which need no worker; as many as are asked."""
    store = SessionStore(Path("/nonexistent"), rules=RULES)
    for name in RULES.defined:
        store.table(name, today=last, through=last + timedelta(days=1000))
    return store


def staged(
    *pipelines: Pipeline, span: Span = JANUARY, seed: int = 0, **changes: Any
) -> tuple[Stage, str]:
    """Rehearse pipelines; return the stage afterwards, and the digest."""
    deployed = configured(*pipelines, **changes)
    stage = Stage(deployed, WITH_CONTROL, store_to(date(2027, 12, 31)), seed=seed)
    return stage, stage.run(span)


def told(stage: Stage) -> list[Any]:
    """Return the timeline."""
    return list(stage.watcher.timeline.entries())
