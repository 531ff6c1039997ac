"""Schedules as pipelines use them: the expression with the policies that stand beside it. Pure."""

from __future__ import annotations

from datetime import timedelta

from openbell.model.schedules import MissedRule, ScheduleUse
from openbell.schedule.grammar import DstPolicy, Schedule
from openbell.schedule.missed import MissedPolicy
from openbell.schedule.parser import parse
from openbell.schedule.tables import CalendarNames


def parsed(use: ScheduleUse, names: CalendarNames) -> Schedule:
    """Return what a use of a schedule means; raises ScheduleError.

    What the expression says of local times that are missing or come twice goes over the use's.
    """
    return parse(use.expression, names, dst=_dst(use))


def deadline(use: ScheduleUse, names: CalendarNames) -> Schedule | None:
    """Return the schedule before whose next moment a missed fire still runs, if there is one.

    Raises ScheduleError.
    """
    text = use.on_missed.if_before
    return None if text is None else parse(text, names, dst=_dst(use))


def missed_policy(rule: MissedRule) -> MissedPolicy:
    """Return what the planner's code is told about missed fires."""
    return MissedPolicy(
        catching=rule.catching, most=rule.most, spread=timedelta(seconds=rule.spread_s)
    )


def calendars_of(use: ScheduleUse, names: CalendarNames) -> tuple[str, ...]:
    """Return the calendars whose sessions it needs, each once; raises ScheduleError."""
    before = deadline(use, names)
    needed = (*parsed(use, names).calendars, *(() if before is None else before.calendars))
    return tuple(dict.fromkeys(needed))


def _dst(use: ScheduleUse) -> DstPolicy:
    return DstPolicy(missing=use.dst_missing, duplicate=use.dst_duplicate)
