"""Whose schedules and calendars the offline verbs look at."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from openbell.cli.errors import FAILED, NOT_FOUND, TRY_LATER, USAGE, CliError

if TYPE_CHECKING:
    from openbell.model.pipelines import Deployment
    from openbell.model.schedules import ScheduleUse
    from openbell.schedule.fires import Fire
    from openbell.schedule.grammar import Schedule
    from openbell.schedule.planner import Planner

_AHEAD = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Asked:
    """A schedule that somebody asks about, as it is used."""

    use: ScheduleUse
    schedule: Schedule

    def is_active(self, at: datetime) -> bool:
        """Return whether the use lets it fire at this instant."""
        start, until = self.use.active_from, self.use.active_until
        return (start is None or start <= at) and (until is None or at < until)

    def fires(self, planner: Planner, after: datetime) -> Iterator[Fire]:
        """Yield the fires after an instant, while the use lets it fire."""
        from openbell.sdk.values import to_us

        start, until = self.use.active_from, self.use.active_until
        first_us = to_us(after) + 1 if start is None else max(to_us(after) + 1, to_us(start))
        for fire in planner.fires(self.schedule, first_us):
            if until is not None and fire.at >= until:
                return
            yield fire


@dataclass(frozen=True, slots=True)
class Source:
    """A configuration where there is one, and the calendars of a state directory."""

    config: Path | None
    profile: str | None
    state_dir: Path | None

    def asked(
        self, expression: str | None, pipeline: str | None, instant: datetime
    ) -> tuple[Sequence[Asked], Planner]:
        """Return the schedules that are asked about, and a planner with what they need."""
        from openbell.model.schedules import ScheduleUse

        if (expression is None) == (pipeline is None):
            hint = "such as 'XNYS close + 30m', or --pipeline eod"
            raise CliError(USAGE, "give a schedule, or a pipeline with --pipeline", hint=hint)
        deployment = self._deployment()
        if expression is not None:
            uses: Sequence[ScheduleUse] = [ScheduleUse(expression=expression)]
        else:
            uses = _uses_of(deployment, pipeline or "", self._added(pipeline or ""))
        return self._planned(uses, deployment, instant)

    def _deployment(self) -> Deployment | None:
        from openbell.cli.configuration import load
        from openbell.model.places import config_file

        if config_file(os.environ, self.config) is None:
            return None
        return load(self.config, self.profile, None)[0].deployment

    def _added(self, pipeline: str) -> Sequence[ScheduleUse]:
        """Return the schedules that were made through the API, as the state directory has them."""
        import anyio

        from openbell.app.calendars import HISTORY_NAME, scheduled_in
        from openbell.model.places import state_dir

        database = state_dir(os.environ, self.state_dir) / HISTORY_NAME
        records = anyio.run(scheduled_in, database)
        return [one.use for one in records if (one.pipeline, one.origin) == (pipeline, "api")]

    def _planned(
        self, uses: Sequence[ScheduleUse], deployment: Deployment | None, instant: datetime
    ) -> tuple[Sequence[Asked], Planner]:
        import anyio

        from openbell.app.offline import loaded_tables
        from openbell.calendars.names import CalendarCatalog
        from openbell.cli.configuration import bad_config
        from openbell.history.errors import HistoryBusyError
        from openbell.model.calendars import CalendarRules
        from openbell.model.places import state_dir
        from openbell.schedule.errors import ScheduleError
        from openbell.schedule.planner import Planner
        from openbell.schedule.uses import parsed
        from openbell.sdk.clock import SystemClock
        from openbell.sdk.errors import FatalError, SettingsError

        rules = deployment.calendars if deployment else CalendarRules()
        names = CalendarCatalog(rules)
        try:
            found = [Asked(use, parsed(use, names)) for use in uses]
        except ScheduleError as error:
            raise CliError(
                USAGE, "this is no schedule", hint=error.hint, details=error.picture
            ) from error

        async def planner() -> Planner:
            store = await loaded_tables(
                state_dir(os.environ, self.state_dir),
                [calendar for one in found for calendar in one.schedule.calendars],
                clock=SystemClock(),
                through=(instant + _AHEAD).date(),
                rules=rules,
                overlays=deployment.overlays if deployment else (),
            )
            return Planner(store)

        try:
            return found, anyio.run(planner)
        except FatalError as error:
            raise CliError(FAILED, str(error)) from error
        except SettingsError as error:
            raise bad_config(error) from error
        except HistoryBusyError as error:
            raise CliError(TRY_LATER, str(error)) from error


def _uses_of(
    deployment: Deployment | None, name: str, added: Sequence[ScheduleUse]
) -> Sequence[ScheduleUse]:
    import difflib

    if added and (deployment is None or name not in deployment.pipelines):
        return added
    if deployment is None:
        raise CliError(NOT_FOUND, "there is no configuration", hint="name one with --config")
    found = deployment.pipelines.get(name)
    if found is None:
        near = difflib.get_close_matches(name, deployment.pipelines, n=1)
        shown = ", ".join(sorted(deployment.pipelines)) or "none"
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {shown}"
        raise CliError(NOT_FOUND, f"pipeline or job {name!r} is unknown", hint=hint)
    uses = (*found.schedule, *added)
    if not uses:
        hint = "`mdp schedule add` gives it one"
        raise CliError(NOT_FOUND, f"pipeline {name!r} has no schedule", hint=hint)
    return uses
