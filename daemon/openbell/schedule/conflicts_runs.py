"""The runs that a deployment's schedules will begin. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from heapq import merge
from itertools import islice, pairwise, takewhile

from openbell.calendars.table import from_day
from openbell.model.pipelines import Dataset, Deployment, Pipeline
from openbell.model.schedules import ScheduleUse
from openbell.schedule.conflicts_values import Conflict, Plan, Run, RunLength, day_of
from openbell.schedule.durations import DAY_US
from openbell.schedule.fires import Fire, jitter
from openbell.schedule.grammar import AtClock, Cron, Schedule
from openbell.schedule.planner import Planner, event_word
from openbell.schedule.tables import CalendarNames, Sessions
from openbell.schedule.triggers import Moment, UnplannableError
from openbell.schedule.uses import parsed
from openbell.sdk.values import from_us, to_us

MOST_RUNS = 20_000
"""So many fires of one schedule are looked at; what a finer one does later is not."""


_EDGE_DAYS = 10
_EDGE_US = _EDGE_DAYS * DAY_US
"""How far plans reach beyond the time in question: fires of a session may be days away from it."""


class Outlook:
    """Plans pipelines over `[start_us, end_us)` and the days around it.

    Notes in `found` what cannot be planned.
    """

    def __init__(
        self,
        deployment: Deployment,
        planner: Planner,
        names: CalendarNames,
        *,
        span_us: tuple[int, int],
        failures: Mapping[str, str],
    ) -> None:
        self._datasets = deployment.datasets
        self._planner = planner
        self._names = names
        self._failures = failures
        self._start_us, self._end_us = span_us
        self.found: list[Conflict] = []

    def plan(self, pipeline: Pipeline, length: RunLength) -> Plan:
        """Return the runs of a pipeline; a schedule that cannot be planned has none, and is noted."""
        streams: list[list[Run]] = []
        schedules: list[Schedule] = []
        known_to = day_of(self._end_us + _EDGE_US)
        for use in pipeline.schedule:
            schedule = parsed(use, self._names)
            try:
                moments = self._moments(schedule, use)
                runs = [
                    Run(at_us, at_us + length.us, pipeline.name, day)
                    for at_us, day in self._late(schedule, use, moments)
                ]
                streams.append(self._with_sessions(pipeline, schedule, runs))
            except UnplannableError as error:
                self._note_failure(pipeline, schedule, str(error))
                continue
            schedules.append(schedule)
            for calendar in schedule.calendars:
                known_to = min(known_to, self._planner.sessions(calendar).last_day - _EDGE_DAYS)
            if len(moments) == MOST_RUNS:
                known_to = min(known_to, day_of(moments[-1].at_us) - 1)
                if moments[-1].at_us < self._end_us:
                    self._note_many(pipeline, schedule, moments[-1])
            elif not moments:
                self._note_silence(pipeline, schedule)
        runs = list(merge(*streams))
        if pipeline.overlap != "allow" and pipeline.max_active_runs == 1:
            runs = _one_at_a_time(runs)
        return Plan(
            pipeline=pipeline,
            schedules=tuple(schedules),
            length=length,
            runs=runs,
            known_to=known_to,
        )

    def _moments(self, schedule: Schedule, use: ScheduleUse) -> list[Moment]:
        low_us, high_us = self._start_us - _EDGE_US, self._end_us + _EDGE_US
        if use.active_from is not None:
            low_us = max(low_us, to_us(use.active_from))
        if use.active_until is not None:
            high_us = min(high_us, to_us(use.active_until))
        found = self._first(schedule, low_us, high_us)
        if len(found) == MOST_RUNS and found[-1].at_us < self._start_us:
            return self._first(schedule, max(low_us, self._start_us), high_us)
        return found

    def _first(self, schedule: Schedule, start_us: int, end_us: int) -> list[Moment]:
        moments = self._planner.moments(schedule, start_us)
        return list(islice(takewhile(lambda moment: moment.at_us < end_us, moments), MOST_RUNS))

    def _late(
        self, schedule: Schedule, use: ScheduleUse, moments: Sequence[Moment]
    ) -> Iterator[tuple[int, int | None]]:
        """Yield when the runs begin, after their jitter, and their sessions."""
        if not use.jitter_s:
            yield from ((at_us, day) for at_us, day, _ in moments)
            return
        most = timedelta(seconds=use.jitter_s)
        event = event_word(schedule.trigger)
        found = []
        for at_us, day, number in moments:
            fire = Fire(
                fingerprint=schedule.fingerprint,
                session=None if day is None else from_day(day),
                event=event,
                index=number,
                at=from_us(at_us),
            )
            found.append((at_us + jitter(fire, most) // timedelta(microseconds=1), day))
        yield from sorted(found)

    def _with_sessions(self, pipeline: Pipeline, schedule: Schedule, runs: list[Run]) -> list[Run]:
        """Return runs with the sessions they are about, where the schedule itself names none.

        The daemon takes the newest session that had closed. A run for which that is an older one
        than for three quarters of the others (counted in sessions back from the local date) comes
        too early for the session that it is meant for, which is the one it gets here.
        """
        if not runs or runs[0].day is not None:
            return runs
        calendar = self._calendar(pipeline)
        sessions = None if calendar is None else self._planner.sessions(calendar)
        if sessions is None or not len(sessions.days):
            return runs
        zone = schedule.trigger.zone if isinstance(schedule.trigger, Cron | AtClock) else None
        local = self._planner.local(zone or "UTC")
        here = [_days_at(sessions, local.offset_s(run.start_us // 1_000_000), run) for run in runs]
        lags = sorted(today - closed for today, closed in here)
        usual = lags[len(lags) * 3 // 4]
        return [
            run._replace(
                day=sessions.days[max(closed, today - usual)] if closed >= 0 else None,
                is_stale=closed < today - usual,
            )
            for run, (today, closed) in zip(runs, here, strict=True)
        ]

    def _calendar(self, pipeline: Pipeline) -> str | None:
        dataset = source_of(pipeline, self._datasets)
        return None if dataset is None else self._names.canonical(dataset.calendar)

    def _note_failure(self, pipeline: Pipeline, schedule: Schedule, reason: str) -> None:
        own = self._calendar(pipeline)
        needed = list(dict.fromkeys([*schedule.calendars, *([] if own is None else [own])]))
        failed = [name for name in needed if name in self._failures]
        why = "; ".join(self._failures[name] for name in failed) or reason
        calendars = failed or needed
        self.found.append(
            Conflict(
                kind="calendar",
                severity="conflict",
                pipelines=(pipeline.name,),
                about={"calendar": ", ".join(calendars)},
                message=f"{schedule.text!r} cannot be planned: {why}",
                fix="take another calendar, or let usual weekdays stand in: "
                f"`calendars: {{policies: {{{calendars[0]}: weekmask}}}}`",
            )
        )

    def _note_many(self, pipeline: Pipeline, schedule: Schedule, last: Moment) -> None:
        until = from_us(last.at_us).date()
        self.found.append(
            Conflict(
                kind="fires",
                severity="note",
                pipelines=(pipeline.name,),
                message=f"only the first {MOST_RUNS:,} fires of {schedule.text!r} were looked at, "
                f"to {until}",
                fix="ask with a shorter --horizon, from later days on with --from",
            )
        )

    def _note_silence(self, pipeline: Pipeline, schedule: Schedule) -> None:
        self.found.append(
            Conflict(
                kind="fires",
                severity="note",
                pipelines=(pipeline.name,),
                message=f"{schedule.text!r} does not fire in this time",
                fix="see `mdp schedule next`, and `active` of the schedule",
            )
        )


def source_of(pipeline: Pipeline, datasets: Mapping[str, Dataset]) -> Dataset | None:
    """Return the dataset whose calendar the runs of a pipeline go by.

    It is the one it fetches, else the first that a node names, else the first that it waits for.
    """
    nodes = sorted(pipeline.nodes, key=lambda node: node.op != "ingest")
    names = (*(str(node.settings.get("dataset")) for node in nodes), *pipeline.needs_dataset)
    return next((datasets[name] for name in names if name in datasets), None)


def past_horizons(
    plans: Sequence[Plan], planner: Planner, start: date, end: date
) -> list[Conflict]:
    """Return a conflict for each calendar that is not known to the day before `end`."""
    users: dict[str, list[str]] = {}
    for plan in plans:
        for schedule in plan.schedules:
            for calendar in schedule.calendars:
                users.setdefault(calendar, []).append(plan.pipeline.name)
    found: list[Conflict] = []
    for calendar, names in sorted(users.items()):
        horizon = from_day(planner.sessions(calendar).last_day)
        unknown = max(start, horizon + timedelta(days=1))
        if unknown >= end:
            continue
        is_known = horizon >= start
        what = f"is known to {horizon}" if is_known else "knows none of these days"
        found.append(
            Conflict(
                kind="horizon",
                severity="conflict",
                pipelines=tuple(dict.fromkeys(names)),
                about={"calendar": calendar},
                count=(end - unknown).days,
                first=(unknown,),
                message=f"calendar {calendar} {what}: nothing fires by it"
                f"{' after that' if is_known else ''}",
                fix="install a newer exchange_calendars, or take usual weekdays: "
                f"`calendars: {{policies: {{{calendar}: weekmask}}}}`",
            )
        )
    return found


def _days_at(sessions: Sessions, offset_s: int, run: Run) -> tuple[int, int]:
    """Return the positions of the session of the local date (or before), and of the last closed."""
    local_day = (run.start_us // 1_000_000 + offset_s) // 86_400
    today = bisect_right(sessions.days, local_day) - 1
    return today, bisect_right(sessions.closes_us, run.start_us) - 1


def _one_at_a_time(runs: list[Run]) -> list[Run]:
    """Return runs that end where the next of the same pipeline begins: that one waits for them."""
    if not runs:
        return runs
    clipped = [
        run if run.end_us <= following.start_us else run._replace(end_us=following.start_us)
        for run, following in pairwise(runs)
    ]
    return [*clipped, runs[-1]]
