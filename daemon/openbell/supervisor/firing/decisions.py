"""Due fires as events: which of them become runs, and what is recorded of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from openbell.model.control import Submission
from openbell.model.events import (
    Event,
    FireDecided,
    RunCancelRequested,
    RunSubmitted,
    ScheduleAdvanced,
)
from openbell.model.history import DuplicateFireError
from openbell.model.pipelines import Deployment, Pipeline
from openbell.model.runs import RunRecord
from openbell.model.schedules import FireRecord
from openbell.schedule.fires import Fire
from openbell.schedule.overlap import OverlapPolicy, admit
from openbell.sdk.errors import SettingsError
from openbell.supervisor.firing.line import Due, Line, Passed, Start
from openbell.supervisor.firing.tables import LoadedTables

ORIGIN = "schedule"
_NO_SESSION = "no_session"

Prepare = Callable[[Submission], RunSubmitted]


@dataclass(slots=True)
class Load:
    """How many runs of a pipeline are going on and wait, those of this batch among them.

    `early` ones begin when their fire is due.
    """

    active: int
    queued: int
    early: int = 0


@dataclass(slots=True, kw_only=True)
class Batch:
    """Everything that is decided at one instant, in the order in which it is recorded."""

    at: datetime
    events: list[Event] = field(default_factory=list)
    runs: list[RunSubmitted] = field(default_factory=list)
    replaced: dict[str, str] = field(default_factory=dict)
    loads: dict[str, Load] = field(default_factory=dict)
    decided: list[tuple[Line, frozenset[str], Passed | None]] = field(default_factory=list)
    fires: dict[str, FireDecided] = field(default_factory=dict)
    early: list[tuple[Line, RunSubmitted]] = field(default_factory=list)


def source_calendar(pipeline: Pipeline, deployment: Deployment) -> str | None:
    """Return the calendar of the dataset that a pipeline fetches, None when it fetches none."""
    for node in pipeline.nodes:
        dataset = deployment.datasets.get(str(node.settings.get("dataset", "")))
        if not node.needs and dataset is not None:
            return dataset.calendar
    return None


class Decider:
    """Decides about what is due; nothing is recorded and nobody told yet."""

    def __init__(
        self,
        tables: LoadedTables,
        prepare: Prepare,
        load: Callable[[str], Load],
        *,
        deployment: Callable[[], Deployment],
    ) -> None:
        self._tables = tables
        self._prepare = prepare
        self._load = load
        self._deployment = deployment

    def decide(self, dues: Sequence[tuple[Line, Pipeline, Due]], now: datetime) -> Batch:
        """Return what becomes of everything that is due."""
        batch = Batch(at=now)
        for line, pipeline, due in dues:
            if due.passed is not None:
                batch.events.append(_advanced(line, due.passed, now))
            settled = [skip.fire.identity for skip in due.skips]
            settled += [start.identity for start in due.starts]
            sure = self._sure(line, pipeline, due, batch)
            decided = frozenset([*settled, *(start.identity for start, _ in sure)])
            until = line.decided_until(decided)
            found = [
                _decided(line, skip.fire, now, until=until, reason=skip.reason)
                for skip in due.skips
            ]
            found.extend(
                self._start(line, pipeline, start, batch, until=until) for start in due.starts
            )
            for start, run in sure:
                batch.runs.append(run)
                batch.early.append((line, run))
                found.append(
                    _decided(line, start.fire, now, until=until, reason="", run=run, start=start)
                )
            batch.events.extend(found)
            batch.fires.update((line.record.schedule_id, fire) for fire in found)
            if decided or due.passed:
                batch.decided.append((line, decided, due.passed))
        batch.events.extend(batch.runs)
        return batch

    def _load_of(self, pipeline: Pipeline, batch: Batch) -> Load:
        load = batch.loads.get(pipeline.name)
        if load is None:
            load = batch.loads[pipeline.name] = self._load(pipeline.name)
        return load

    def _sure(
        self, line: Line, pipeline: Pipeline, due: Due, batch: Batch
    ) -> list[tuple[Start, RunSubmitted]]:
        """Return the runs of fires that are not due yet, up to the first that is not sure to run.

        Sure is one with nothing in its way, also if every run before it is still going on then.
        """
        found: list[tuple[Start, RunSubmitted]] = []
        for start in due.early:
            load = self._load_of(pipeline, batch)
            admission = admit(
                _policy(pipeline), active=load.active + load.early, queued=load.queued
            )
            if admission.action != "start":
                break
            try:
                run = self._prepare(self._submission(line, pipeline, start))
            except SettingsError:
                break
            load.early += 1
            found.append((start, run))
        return found

    def _start(
        self, line: Line, pipeline: Pipeline, start: Start, batch: Batch, *, until: datetime
    ) -> FireDecided:
        """Return what becomes of a fire whose time has come; its run is put into the batch.

        A missed fire that was chosen to be made up for waits its turn, whatever is going on: only
        `allow` lets it run beside others.
        """
        load = self._load_of(pipeline, batch)
        admission = admit(_policy(pipeline), active=load.active, queued=load.queued)
        waits_in_turn = start.is_missed and pipeline.overlap != "allow"
        if admission.action == "skip" and not waits_in_turn:
            reason = admission.reason
            return _decided(line, start.fire, batch.at, until=until, reason=reason)
        try:
            run = self._prepare(self._submission(line, pipeline, start))
        except SettingsError as error:
            reason = "; ".join(str(problem) for problem in error.problems)
            return _decided(line, start.fire, batch.at, until=until, reason=reason)
        if admission.action == "cancel_and_start" and not waits_in_turn:
            batch.replaced[pipeline.name] = run.run_id
        if admission.action == "start":
            load.active += 1
        else:
            load.queued += 1
        batch.runs.append(run)
        return _decided(
            line, start.fire, batch.at, until=until, reason=start.reason, run=run, start=start
        )

    def _submission(self, line: Line, pipeline: Pipeline, start: Start) -> Submission:
        session, calendar = self._session(line, pipeline, start.fire)
        return Submission(
            pipeline=pipeline.name,
            params=line.record.use.params,
            session=session,
            origin=ORIGIN,
            calendar=calendar,
            fire=start.identity,
            due_at=start.fire.at,
        )

    def _session(self, line: Line, pipeline: Pipeline, fire: Fire) -> tuple[date | None, str]:
        """Return the session that a run is for, and the calendar whose label that is."""
        assert line.schedule is not None
        if fire.session is not None and fire.event != _NO_SESSION:
            return fire.session, line.schedule.calendars[0]
        calendar = source_calendar(pipeline, self._deployment())
        if pipeline.mode != "interval" or calendar is None:
            return None, ""
        name = self._tables.names.canonical(calendar)
        table = self._tables.sessions(name)
        closed = table.last_closed(fire.at) if table is not None else None
        return (None, "") if closed is None else (closed.label, name)


def _policy(pipeline: Pipeline) -> OverlapPolicy:
    return OverlapPolicy(overlap=pipeline.overlap, max_active=pipeline.max_active_runs)


def _decided(
    line: Line,
    fire: Fire,
    at: datetime,
    *,
    until: datetime,
    reason: str,
    run: RunSubmitted | None = None,
    start: Start | None = None,
) -> FireDecided:
    """Return the event that a fire runs, or without a run that it does not.

    `until` holds once the whole transaction does.
    """
    return FireDecided(
        at=at,
        schedule_id=line.record.schedule_id,
        pipeline=line.record.pipeline,
        identity=fire.identity,
        session=fire.session,
        event=fire.event,
        index=fire.index,
        due_at=fire.at,
        outcome="skipped" if run is None else "run",
        reason=reason,
        run_id=None if run is None else run.run_id,
        until=until,
        late_s=0.0 if start is None else max(0.0, (at - start.run_at).total_seconds()),
    )


def cancel_request(run: RunRecord, batch: Batch) -> RunCancelRequested:
    """Return the event that ends a run in whose place another comes."""
    by = f"overlap: {batch.replaced[run.pipeline]}"
    return RunCancelRequested(at=batch.at, run_id=run.run_id, pipeline=run.pipeline, by=by)


def fire_record(fire: FireDecided) -> FireRecord:
    """Return a decided fire as history answers it, without asking there."""
    return FireRecord(
        pipeline=fire.pipeline,
        identity=fire.identity,
        schedule_id=fire.schedule_id,
        session=fire.session,
        event=fire.event,
        index=fire.index,
        due_at=fire.due_at,
        decided_at=fire.at,
        outcome=fire.outcome,
        reason=fire.reason,
        run_id=fire.run_id,
    )


def _advanced(line: Line, passed: Passed, at: datetime) -> ScheduleAdvanced:
    return ScheduleAdvanced(
        at=at,
        schedule_id=line.record.schedule_id,
        pipeline=line.record.pipeline,
        until=passed.until,
        passed_over=passed.count,
        reason=passed.reason,
    )


def without(
    line: Line, pipeline: Pipeline, due: Due, error: DuplicateFireError
) -> tuple[Line, Pipeline, Due]:
    """Return what is due without a fire that was decided before."""
    if line.record.pipeline != error.pipeline:
        return line, pipeline, due
    line.forget(error.identity)
    starts = tuple(start for start in due.starts if start.identity != error.identity)
    early = tuple(start for start in due.early if start.identity != error.identity)
    skips = tuple(skip for skip in due.skips if skip.fire.identity != error.identity)
    return line, pipeline, replace(due, starts=starts, early=early, skips=skips)
