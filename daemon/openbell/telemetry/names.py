"""Every name that telemetry uses, in one place; `daemon/spec/telemetry.md` explains them.

Log records carry the name of their event (`openbell.model.events`) or `LIBRARY_LOGGED`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SCOPE = "openbell"

# Log records that come from no event.
LIBRARY_LOGGED = "library.logged"
RECORDS_DROPPED = "records.dropped"

# Spans, and their attributes: OpenTelemetry's CI/CD conventions where they have a name.
RUN_SPAN = "RUN"
NODE_SPAN = "execute node"
BATCH_SPAN = "commit output"
PIPELINE_NAME = "cicd.pipeline.name"
PIPELINE_ACTION = "cicd.pipeline.action.name"
PIPELINE_RESULT = "cicd.pipeline.result"
PIPELINE_RUN_ID = "cicd.pipeline.run.id"
TASK_NAME = "cicd.pipeline.task.name"
TASK_RUN_ID = "cicd.pipeline.task.run.id"
TASK_RESULT = "cicd.pipeline.task.run.result"
ERROR_TYPE = "error.type"
WORKER_ID = "cicd.worker.id"
MODE = "openbell.run.mode"
OPERATOR = "openbell.node.operator"
ATTEMPT = "openbell.node.attempt"
VERDICT = "openbell.node.verdict"
CHUNK = "openbell.batch.chunk"
DATASETS = "openbell.batch.datasets"
ROWS = "openbell.batch.rows"
ROWS_WRITTEN = "openbell.batch.rows_written"
WRITE_DURATION = "openbell.batch.write_duration"

SPANS = (RUN_SPAN, NODE_SPAN, BATCH_SPAN)
ATTRIBUTES = (
    PIPELINE_NAME,
    PIPELINE_ACTION,
    PIPELINE_RESULT,
    PIPELINE_RUN_ID,
    TASK_NAME,
    TASK_RUN_ID,
    TASK_RESULT,
    ERROR_TYPE,
    WORKER_ID,
    MODE,
    OPERATOR,
    ATTEMPT,
    VERDICT,
    CHUNK,
    DATASETS,
    ROWS,
    ROWS_WRITTEN,
    WRITE_DURATION,
)

Kind = Literal["counter", "histogram", "gauge"]
_SUFFIXES = {"s": "_seconds", "By": "_bytes"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric. `labels` are all it has; no run id and no symbol is ever among them.

    `bounds` are a histogram's bucket limits, in `unit`.
    """

    name: str
    kind: Kind
    unit: str
    text: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def prometheus(self) -> str:
        """The name on `/metrics`."""
        total = "_total" if self.kind == "counter" else ""
        return self.name.replace(".", "_") + _SUFFIXES.get(self.unit, "") + total


JOB_RUNS = Metric(
    name="pipeline.job.runs",
    kind="counter",
    unit="{run}",
    text="Runs that ended, by how they ended.",
    labels=("job", "status"),
)
ROWS_COMMITTED = Metric(
    name="pipeline.rows.written",
    kind="counter",
    unit="{row}",
    text="Rows that changed a table.",
    labels=("job", "provider"),
)
BATCHES = Metric(
    name="pipeline.batches",
    kind="counter",
    unit="{batch}",
    text="Batches that were committed.",
    labels=("job", "provider"),
)
PROVIDER_REQUESTS = Metric(
    name="pipeline.provider.requests",
    kind="counter",
    unit="{request}",
    text="Requests to a vendor, by outcome.",
    labels=("provider", "status"),
)
RATE_LIMIT_VIOLATIONS = Metric(
    name="pipeline.provider.rate_limit.violations",
    kind="counter",
    unit="{request}",
    text="Requests that a vendor refused because they came too fast.",
    labels=("provider",),
)
ACTIVE_JOBS = Metric(
    name="pipeline.active.jobs",
    kind="gauge",
    unit="{run}",
    text="Runs under way.",
    labels=("job_name",),
)
RUN_DURATION = Metric(
    name="pipeline.run.duration",
    kind="histogram",
    unit="s",
    text="How long a run took from its start to its end.",
    labels=("job", "status"),
    bounds=(0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400, 86400),
)
WRITE_TIME = Metric(
    name="pipeline.storage.write.duration",
    kind="histogram",
    unit="s",
    text="How long it took to make a batch durable.",
    labels=("job",),
    bounds=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
STORAGE_ERRORS = Metric(
    name="pipeline.storage.errors",
    kind="counter",
    unit="{error}",
    text="Attempts that failed while writing.",
    labels=("job", "kind"),
)
ATTEMPTS = Metric(
    name="pipeline.attempts",
    kind="counter",
    unit="{attempt}",
    text="Attempts that ended, by how they ended and the kind of error.",
    labels=("job", "status", "kind"),
)
QUALITY_RESULTS = Metric(
    name="pipeline.quality.results",
    kind="counter",
    unit="{check}",
    text="Batches in which a gate found something, by its verdict.",
    labels=("job", "verdict"),
)
QUALITY_FINDINGS = Metric(
    name="pipeline.quality.findings",
    kind="counter",
    unit="{finding}",
    text="Findings of gates, by rule and severity.",
    labels=("job", "rule", "severity"),
)
BUDGET_WAIT = Metric(
    name="pipeline.budget.wait",
    kind="histogram",
    unit="s",
    text="How long requests waited for a provider's budget.",
    labels=("provider",),
    bounds=(0.01, 0.1, 0.5, 1, 5, 15, 60, 300, 1800),
)
BUDGET_TOKENS = Metric(
    name="pipeline.budget.tokens",
    kind="gauge",
    unit="{request}",
    text="Requests that a provider's budget allows now.",
    labels=("provider",),
)
BUDGET_WAITING = Metric(
    name="pipeline.budget.waiting",
    kind="gauge",
    unit="{task}",
    text="Tasks that wait for a provider's budget.",
    labels=("provider",),
)
QUEUED_RUNS = Metric(
    name="pipeline.queued.runs",
    kind="gauge",
    unit="{run}",
    text="Runs that were accepted and have not started.",
    labels=("job_name",),
)
PARKED = Metric(
    name="pipeline.parked",
    kind="gauge",
    unit="{pipeline}",
    text="1 for a pipeline that was left alone because it kept crashing.",
    labels=("pipeline",),
)
ACTOR_RESTARTS = Metric(
    name="openbell.actor.restarts",
    kind="counter",
    unit="{restart}",
    text="Crashes of a pipeline's actor, each followed by a restart.",
    labels=("pipeline",),
)
MAILBOX_DEPTH = Metric(
    name="openbell.mailbox.depth",
    kind="gauge",
    unit="{message}",
    text="Messages that wait for an actor.",
    labels=("actor",),
)
WORKERS = Metric(
    name="openbell.workers",
    kind="gauge",
    unit="{process}",
    text="Worker processes, by state.",
    labels=("state",),
)
WORKER_MEMORY = Metric(
    name="openbell.worker.memory",
    kind="gauge",
    unit="By",
    text="Memory of all worker processes together.",
)
WORKER_STOPS = Metric(
    name="openbell.worker.stops",
    kind="counter",
    unit="{process}",
    text="Worker processes that ended, by reason.",
    labels=("reason",),
)
LOOP_LAG = Metric(
    name="openbell.loop.lag",
    kind="gauge",
    unit="s",
    text="How late the event loop woke at worst in the last one to two minutes.",
)
DATABASE_SIZE = Metric(
    name="openbell.database.size",
    kind="gauge",
    unit="By",
    text="Size of the history database with its log.",
)
CONFIG_RELOADS = Metric(
    name="openbell.config.reloads",
    kind="counter",
    unit="{reload}",
    text="Reloads of the configuration, applied or refused.",
    labels=("status",),
)
CALENDAR_SESSIONS_LEFT = Metric(
    name="openbell.calendar.sessions_left",
    kind="gauge",
    unit="{session}",
    text="Sessions that are still known of a calendar whose end is near.",
    labels=("calendar",),
)
CALENDAR_FAILURES = Metric(
    name="openbell.calendar.failures",
    kind="counter",
    unit="{failure}",
    text="How often a calendar could not be built; told once a day.",
    labels=("calendar",),
)
SCHEDULE_FIRES = Metric(
    name="openbell.schedule.fires",
    kind="counter",
    unit="{fire}",
    text="Fires of schedules that were decided, by what became of them.",
    labels=("pipeline", "outcome"),
)
SCHEDULE_LATENESS = Metric(
    name="openbell.schedule.lateness",
    kind="histogram",
    unit="s",
    text="How much later than it was to start a fire became a run, those made up for included.",
    labels=("pipeline",),
    bounds=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 300, 3600, 86400),
)
SCHEDULE_NEXT_FIRE = Metric(
    name="openbell.schedule.next_fire",
    kind="gauge",
    unit="s",
    text="When a pipeline's next run by schedule is to start, in seconds since 1970.",
    labels=("pipeline",),
)
DROPPED = Metric(
    name="openbell.telemetry.dropped",
    kind="gauge",
    unit="{item}",
    text="Log records and spans that were lost since the start because nobody took them.",
    labels=("signal",),
)
BUILD_INFO = Metric(
    name="openbell.build.info",
    kind="gauge",
    unit="",
    text="1, with the versions that run.",
    labels=("version", "python"),
)

METRICS = (
    JOB_RUNS,
    ROWS_COMMITTED,
    BATCHES,
    PROVIDER_REQUESTS,
    RATE_LIMIT_VIOLATIONS,
    ACTIVE_JOBS,
    RUN_DURATION,
    WRITE_TIME,
    STORAGE_ERRORS,
    ATTEMPTS,
    QUALITY_RESULTS,
    QUALITY_FINDINGS,
    BUDGET_WAIT,
    BUDGET_TOKENS,
    BUDGET_WAITING,
    QUEUED_RUNS,
    PARKED,
    ACTOR_RESTARTS,
    MAILBOX_DEPTH,
    WORKERS,
    WORKER_MEMORY,
    WORKER_STOPS,
    LOOP_LAG,
    DATABASE_SIZE,
    CONFIG_RELOADS,
    CALENDAR_SESSIONS_LEFT,
    CALENDAR_FAILURES,
    SCHEDULE_FIRES,
    SCHEDULE_LATENESS,
    SCHEDULE_NEXT_FIRE,
    DROPPED,
    BUILD_INFO,
)
