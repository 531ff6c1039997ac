"""From events to log records, metrics and spans: the only place that decides what is told.

The rest of the daemon emits events and knows nothing of any of these.
"""

from __future__ import annotations

import re
from typing import Protocol

from openbell.model import events as ev
from openbell.model.runs import NodeRecord, NodeState, RunRecord
from openbell.telemetry import names
from openbell.telemetry.known_runs import KnownRun, KnownRuns
from openbell.telemetry.logs import Logs
from openbell.telemetry.metrics import Metrics
from openbell.telemetry.records import fields_of, level_of

_LOG_LEVEL_OF_LINE = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_KIND = re.compile(r"[a-z][a-z0-9_]{0,39}")
_WRITING = frozenset({"write", "quarantine"})
_VIOLATIONS = frozenset({"rate_limited", "quota_exhausted"})


class SpanMaker(Protocol):
    """Makes spans of events."""

    def see(self, event: ev.Event, run: KnownRun) -> None:
        """Take note of an event about `run`."""
        ...


class Observer:
    """Sees every event once and tells of it. Quick: nothing here waits for anyone."""

    def __init__(self, logs: Logs, metrics: Metrics, spans: SpanMaker | None = None) -> None:
        self._logs = logs
        self._metrics = metrics
        self._spans = spans
        self._runs = KnownRuns()
        self._sessions_left: dict[str, int] = {}
        metrics.show(
            names.CALENDAR_SESSIONS_LEFT,
            lambda: [(left, {"calendar": name}) for name, left in self._sessions_left.items()],
        )
        metrics.show(
            names.ACTIVE_JOBS,
            lambda: [
                (count, {"job_name": job}) for job, count in self._runs.active_by_job().items()
            ],
        )

    def adopt(self, run: RunRecord, nodes: tuple[NodeRecord, ...] = ()) -> None:
        """Take over a run that an earlier process began, before its next event is seen."""
        self._runs.adopt(run, nodes)

    def see(self, event: ev.Event) -> None:
        """Log `event`, count it, and make it part of its run's trace."""
        run = self._runs.of(event)
        self._log(event, run)
        self._count(event, run)
        if self._spans is not None and run is not None:
            self._spans.see(event, run)
        if isinstance(event, ev.RunFinished):
            self._runs.forget(event.run_id)

    def _log(self, event: ev.Event, run: KnownRun | None) -> None:
        if isinstance(event, ev.LogWritten):
            self._log_lines(event, run)
            return
        level = level_of(event)
        if not self._logs.is_wanted(level):
            return
        fields = fields_of(event)
        if run is not None:
            fields["trace_id"] = run.trace_id
        self._logs.write(level, event.name, timestamp=event.at, **fields)

    def _log_lines(self, event: ev.LogWritten, run: KnownRun | None) -> None:
        for line in event.lines:
            self._logs.write(
                _LOG_LEVEL_OF_LINE.get(line.level.lower(), 20),
                event.name,
                timestamp=line.at,
                run_id=event.run_id,
                pipeline=event.pipeline,
                node=event.node,
                attempt=event.attempt,
                **({"item": event.item} if event.item >= 0 else {}),
                stream=line.stream,
                text=line.text,
                trace_id=run.trace_id if run else "",
            )

    def _count(self, event: ev.Event, run: KnownRun | None) -> None:
        match event:
            case ev.BatchCommitted():
                self._count_batch(event)
            case ev.RunFinished():
                job, status = event.job or event.pipeline, str(event.state)
                self._metrics.count(names.JOB_RUNS, job=job, status=status)
                self._metrics.measure(names.RUN_DURATION, event.duration_s, job=job, status=status)
            case ev.ProviderRequested():
                self._count_requests(event)
            case ev.AttemptFinished():
                self._metrics.count(
                    names.ATTEMPTS,
                    job=event.pipeline,
                    status=event.state,
                    kind=_kind(event.error_kind) if event.error_kind else "",
                )
            case ev.NodeChanged() if run is not None:
                self._count_storage_error(event, run)
            case ev.QualityChecked():
                self._count_quality(event)
            case _:
                self._count_daemon(event)

    def _count_fire(self, event: ev.FireDecided) -> None:
        pipeline, outcome = event.pipeline, event.outcome
        self._metrics.count(names.SCHEDULE_FIRES, pipeline=pipeline, outcome=outcome)
        if event.outcome == "run" and event.due_at <= event.at:
            self._metrics.measure(names.SCHEDULE_LATENESS, event.late_s, pipeline=pipeline)

    def _count_batch(self, event: ev.BatchCommitted) -> None:
        job = event.job or event.pipeline
        written = sum(receipt.written_count for receipt in event.receipts.values())
        self._metrics.count(names.BATCHES, job=job, provider=event.provider)
        self._metrics.count(names.ROWS_COMMITTED, written, job=job, provider=event.provider)
        if event.receipts:
            self._metrics.measure(names.WRITE_TIME, event.write_duration_s, job=job)

    def _count_requests(self, event: ev.ProviderRequested) -> None:
        self._metrics.count(
            names.PROVIDER_REQUESTS,
            event.request_count,
            provider=event.provider,
            status=_kind(event.status),
        )
        if event.status in _VIOLATIONS:
            self._metrics.count(names.RATE_LIMIT_VIOLATIONS, provider=event.provider)
        if event.waited_s > 0:
            self._metrics.measure(names.BUDGET_WAIT, event.waited_s, provider=event.provider)

    def _count_storage_error(self, event: ev.NodeChanged, run: KnownRun) -> None:
        has_failed = event.state in {NodeState.FAILED, NodeState.RETRYING} and event.error_kind
        if has_failed and run.operators.get(event.node) in _WRITING:
            self._metrics.count(
                names.STORAGE_ERRORS, job=event.pipeline, kind=_kind(event.error_kind)
            )

    def _count_quality(self, event: ev.QualityChecked) -> None:
        self._metrics.count(names.QUALITY_RESULTS, job=event.pipeline, verdict=event.verdict)
        for finding in event.findings:
            self._metrics.count(
                names.QUALITY_FINDINGS,
                job=event.pipeline,
                rule=finding.rule,
                severity=str(finding.severity),
            )

    def _count_daemon(self, event: ev.Event) -> None:
        match event:
            case ev.ActorCrashed():
                self._metrics.count(names.ACTOR_RESTARTS, pipeline=event.pipeline)
            case ev.WorkerStopped():
                self._metrics.count(names.WORKER_STOPS, reason=_kind(event.reason))
            case ev.ConfigReloaded():
                self._metrics.count(names.CONFIG_RELOADS, status="applied")
            case ev.ReloadRefused():
                self._metrics.count(names.CONFIG_RELOADS, status="refused")
            case ev.CalendarHorizonNear():
                self._sessions_left[event.calendar] = event.sessions_left
            case ev.FireDecided():
                self._count_fire(event)
            case ev.FireLetGo(pipeline=pipeline, late_s=late_s):
                self._metrics.measure(names.SCHEDULE_LATENESS, late_s, pipeline=pipeline)
            case ev.CalendarFailed():
                self._metrics.count(names.CALENDAR_FAILURES, calendar=event.calendar)
            case _:
                pass


def _kind(text: str) -> str:
    """Return `text` as a label if it is a word; plugins may send anything."""
    return text if _KIND.fullmatch(text) else "other"
