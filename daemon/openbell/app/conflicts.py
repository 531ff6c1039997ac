"""A look ahead without a daemon: a configuration, and what a state directory knows beside it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import anyio

from openbell.app.calendars import HISTORY_NAME
from openbell.app.offline import loaded_tables
from openbell.calendars.names import CalendarCatalog
from openbell.history.connections import Readers
from openbell.history.readers import Answers
from openbell.model.pipelines import Deployment
from openbell.schedule.conflicts import calendars_of, conflicts
from openbell.schedule.conflicts_values import Conflict, RunLength, length_of
from openbell.schedule.planner import Planner
from openbell.sdk.clock import Clock

SAMPLES = 100
"""By how many of the last runs the length of the next is judged."""

_SPARE_DAYS = 40


async def found_conflicts(
    deployment: Deployment,
    state_dir: Path,
    *,
    start: date,
    end: date,
    clock: Clock,
) -> list[Conflict]:
    """Return what will not go as planned from `start` to before `end`.

    Runs take as long as the last ones in the directory's history, where there is any. A calendar
    that cannot be built is among the conflicts. Raises SettingsError for overlays that contradict
    each other.
    """
    names = CalendarCatalog(deployment.calendars)
    failures: dict[str, str] = {}
    store = await loaded_tables(
        state_dir,
        calendars_of(deployment, names),
        clock=clock,
        through=end + timedelta(days=_SPARE_DAYS),
        rules=deployment.calendars,
        overlays=deployment.overlays,
        failures=failures,
    )
    return conflicts(
        deployment,
        Planner(store),
        names,
        start=start,
        end=end,
        lengths=await _lengths(deployment, state_dir / HISTORY_NAME),
        failures=failures,
    )


async def _lengths(deployment: Deployment, database: Path) -> Mapping[str, RunLength]:
    """Return how long runs take, by a history if there is one."""
    if not await anyio.Path(database).exists():
        return {}
    readers = Readers(database, count=1)
    async with readers.opened():
        if "pipeline_runs" not in await readers.rows("table_names", {}, lambda row: str(row[0])):
            return {}
        answers = Answers(readers)
        return {
            name: length_of(pipeline, await answers.durations(name, limit=SAMPLES))
            for name, pipeline in deployment.pipelines.items()
            if pipeline.schedule
        }
