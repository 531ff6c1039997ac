"""The whole of telemetry, put together: what `app` opens, feeds with events and runs."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import anyio
from anyio.abc import TaskStatus
from opentelemetry.sdk.resources import Resource

from openbell.model.control import BudgetStatus, PipelineStatus, WorkerStatus
from openbell.model.pipelines import TelemetryOptions
from openbell.model.schedules import ScheduleStatus
from openbell.sdk.clock import Clock
from openbell.telemetry import names
from openbell.telemetry.export import MetricPush, Pushing, SpanQueue, metric_push, span_queue
from openbell.telemetry.logs import Logs, Style
from openbell.telemetry.loop_lag import LoopLag
from openbell.telemetry.metrics import Metrics, Readings
from openbell.telemetry.observe import Observer
from openbell.telemetry.redact import Redactor
from openbell.telemetry.scrape import serve_metrics
from openbell.telemetry.spans import Spans

FLUSH_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where gauges get their values: called at every scrape, on the event loop's thread.

    The first three are methods of the engine.
    """

    pipelines: Callable[[], Sequence[PipelineStatus]] | None = None
    workers: Callable[[], Sequence[WorkerStatus]] | None = None
    budgets: Callable[[], Sequence[BudgetStatus]] | None = None
    mailbox_depths: Callable[[], Mapping[str, int]] | None = None
    database_bytes: Callable[[], int] | None = None
    schedules: Callable[[], Sequence[ScheduleStatus]] | None = None


class Telemetry:
    """Logs, metrics and spans of one process. Feed `observer` with every event.

    Made by `open_telemetry`; `run` must run for anything to be pushed and for lag to be measured.
    """

    def __init__(
        self,
        logs: Logs,
        clock: Clock,
        *,
        resource: Resource,
        spans: SpanQueue | None = None,
        push: MetricPush | None = None,
    ) -> None:
        self.logs = logs
        self.metrics = Metrics(resource=resource, readers=[push.reader] if push else ())
        maker = Spans(spans, resource=resource, redact=logs.redacted) if spans else None
        self.observer = Observer(logs, self.metrics, maker)
        self._clock = clock
        self._lag = LoopLag(clock)
        self._pushing = Pushing(clock, spans, push)
        self.metrics.show(names.LOOP_LAG, lambda: [(self._lag.worst_s, {})])
        self.metrics.show(names.DROPPED, partial(_dropped, logs, spans))

    def render(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return self.metrics.render()

    def watch(self, sources: Sources) -> None:
        """Show what `sources` answer from now on."""
        for metric, readings in _gauges(sources).items():
            self.metrics.show(metric, readings)

    def learn_secrets(self, secrets: Sequence[str]) -> None:
        """Redact `secrets` too, as after a reload."""
        self.logs.redactor = self.logs.redactor.with_secrets(secrets)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Measure the loop, push what is to be pushed, write held-back lines, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._lag.run, name="loop lag")
            tasks.start_soon(self._pushing.run, name="push telemetry")
            tasks.start_soon(self._flush, name="flush log")
            task_status.started()

    async def serve(
        self, host: str, port: int, *, task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve `/metrics` on a port of its own until cancelled; started with the port."""
        await serve_metrics(self.render, host, port, task_status=task_status)

    def close(self) -> None:
        """Let go of exporters and instruments."""
        self.metrics.close()
        self._pushing.close()

    async def _flush(self) -> None:
        while True:
            await self._clock.sleep(FLUSH_INTERVAL_S)
            self.logs.flush()


@contextmanager
def open_telemetry(
    options: TelemetryOptions,
    clock: Clock,
    *,
    version: str,
    secrets: Sequence[str] = (),
    env: Mapping[str, str] = os.environ,
    fd: int = 2,
    style: Style = "auto",
) -> Iterator[Telemetry]:
    """Yield the telemetry that `options` and the `OTEL_*` variables ask for; log to `fd`.

    Raises SettingsError for an OTLP protocol that is not spoken here, ValueError for an unknown
    log level.
    """
    resource = Resource.create({"service.name": "openbell", "service.version": version})
    if named := env.get("OTEL_SERVICE_NAME"):
        resource = resource.merge(Resource({"service.name": named}))
    redactor = Redactor(secrets)
    with Logs(fd, now=clock.now, level=options.log_level, style=style, redactor=redactor) as logs:
        telemetry = Telemetry(
            logs, clock, resource=resource, spans=span_queue(env), push=metric_push(env)
        )
        build = {"version": version, "python": platform.python_version()}
        telemetry.metrics.show(names.BUILD_INFO, lambda: [(1, build)])
        try:
            yield telemetry
        finally:
            telemetry.close()


def _gauges(sources: Sources) -> dict[names.Metric, Callable[[], Readings]]:
    """Return the gauges that `sources` can fill."""
    found: dict[names.Metric, Callable[[], Readings]] = {}
    if pipelines := sources.pipelines:
        found[names.QUEUED_RUNS] = lambda: [
            (each.queued_runs, {"job_name": each.name}) for each in pipelines()
        ]
        found[names.PARKED] = lambda: [
            (float(each.state == "parked"), {"pipeline": each.name}) for each in pipelines()
        ]
    if workers := sources.workers:
        found[names.WORKERS] = lambda: _by_state(workers())
        found[names.WORKER_MEMORY] = lambda: [
            (sum(worker.memory_bytes for worker in workers()), {})
        ]
    if budgets := sources.budgets:
        found[names.BUDGET_TOKENS] = lambda: [
            (each.tokens, {"provider": each.provider}) for each in budgets()
        ]
        found[names.BUDGET_WAITING] = lambda: [
            (each.waiting, {"provider": each.provider}) for each in budgets()
        ]
    if depths := sources.mailbox_depths:
        found[names.MAILBOX_DEPTH] = lambda: [
            (depth, {"actor": actor}) for actor, depth in depths().items()
        ]
    if schedules := sources.schedules:
        found[names.SCHEDULE_NEXT_FIRE] = lambda: _next_fires(schedules())
    if size := sources.database_bytes:
        found[names.DATABASE_SIZE] = lambda: [(size(), {})]
    return found


def _next_fires(schedules: Sequence[ScheduleStatus]) -> Readings:
    soonest: dict[str, float] = {}
    for each in schedules:
        if each.next_at is not None:
            at_s, name = each.next_at.timestamp(), each.record.pipeline
            soonest[name] = min(at_s, soonest.get(name, at_s))
    return [(at_s, {"pipeline": name}) for name, at_s in soonest.items()]


def _by_state(workers: Sequence[WorkerStatus]) -> Readings:
    states = ("starting", "idle", "busy", "stopping")
    return [
        (sum(1 for worker in workers if worker.state == state), {"state": state})
        for state in states
    ]


def _dropped(logs: Logs, spans: SpanQueue | None) -> Readings:
    lost_spans = spans.dropped_count if spans else 0
    return [(logs.dropped_count, {"signal": "logs"}), (lost_spans, {"signal": "traces"})]
