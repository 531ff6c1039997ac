"""What will not go as planned: a look at all pipelines over the coming sessions. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

from openbell.model.pipelines import Deployment
from openbell.schedule.conflicts_overlaps import budgets, pools, writers
from openbell.schedule.conflicts_runs import Outlook, past_horizons, source_of
from openbell.schedule.conflicts_values import Conflict, RunLength, length_of
from openbell.schedule.conflicts_waits import needs_of, unmet, waits_of
from openbell.schedule.planner import Planner
from openbell.schedule.tables import CalendarNames
from openbell.schedule.uses import parsed
from openbell.sdk.values import to_us


def conflicts(
    deployment: Deployment,
    planner: Planner,
    names: CalendarNames,
    *,
    start: date,
    end: date,
    lengths: Mapping[str, RunLength] | None = None,
    failures: Mapping[str, str] | None = None,
) -> list[Conflict]:
    """Return what will not go as planned on the UTC days from `start` to before `end`.

    Conflicts come before notes, then by when they first happen. `lengths` holds how long runs take
    where more is known than the deployment says, `failures` why calendars have no table. The schedules must be valid, as those of a loaded
    configuration are.
    """
    span_us = to_us(_midnight(start)), to_us(_midnight(end))
    outlook = Outlook(
        deployment,
        planner,
        names,
        span_us=span_us,
        failures=failures or {},
    )
    known = lengths or {}
    plans = {
        name: outlook.plan(pipeline, known.get(name) or length_of(pipeline))
        for name, pipeline in deployment.pipelines.items()
    }
    needs = needs_of(deployment.pipelines)
    inside = [plan.within(*span_us) for plan in plans.values()]
    found = [
        *outlook.found,
        *past_horizons(inside, planner, start, end),
        *writers(inside, waits_of(needs)),
        *(conflict for need in needs for conflict in unmet(plans, need, span_us)),
        *pools(inside, deployment.pools),
        *budgets(inside, deployment),
    ]
    return sorted(found, key=_order)


def calendars_of(deployment: Deployment, names: CalendarNames) -> Sequence[str]:
    """Return the calendars that a look ahead needs, each once; raises ScheduleError."""
    found: dict[str, None] = {}
    for pipeline in deployment.pipelines.values():
        for use in pipeline.schedule:
            found.update(dict.fromkeys(parsed(use, names).calendars))
        dataset = source_of(pipeline, deployment.datasets)
        if pipeline.schedule and dataset is not None:
            found[names.canonical(dataset.calendar)] = None
    return tuple(found)


def _order(conflict: Conflict) -> tuple[bool, date, str, tuple[str, ...]]:
    first = conflict.first[0] if conflict.first else date.min
    return conflict.severity == "note", first, conflict.kind, conflict.pipelines


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
