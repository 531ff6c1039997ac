"""Every key of the configuration, as pydantic models; the reference is `daemon/spec/config.md`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from openbell.config.fields import (
    ClockTime,
    Columns,
    Day,
    Duration,
    Flag,
    Float,
    Int,
    Name,
    Symbols,
    Width,
)
from openbell.config.node_schema import Rehearsals, RetrySection, Section, Texts
from openbell.config.schedule_schema import OnMissed, Schedules
from openbell.model.schedules import Overlap

VERSION = 2


class PacingSection(Section):
    """A provider's budget."""

    requests_per_minute: Float | None = Field(
        default=None, gt=0, description="how many requests a minute; unset: as many as it likes"
    )
    burst: Int = Field(default=1, ge=1, description="how many requests may follow at once")
    cooldown_seconds: Float = Field(
        default=0.0, ge=0, description="how long to ask nothing after the vendor refused"
    )


class ProviderSection(Section):
    """One provider; the keys of its type stand beside these."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="the provider type, from a plugin")
    enabled: Flag = Field(default=True, description="off: jobs that need it are refused")
    pacing: PacingSection = Field(default=PacingSection(), description="the budget of requests")


class StorageWriteSection(Section):
    """How rows are written."""

    batch_size: Int = Field(
        default=100_000, ge=1, le=10_000_000, description="rows a batch, as a wish to the provider"
    )
    upsert_keys: Columns = Field(
        default=(), description="columns that make a row unique; empty: the schema's own"
    )


class StorageSection(Section):
    """One backend; the keys of its type stand beside these."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="the backend type, from a plugin")
    write: StorageWriteSection = Field(
        default=StorageWriteSection(), description="how rows are written"
    )


class DatasetSection(Section):
    """A named table of bars."""

    provider: str = Field(description="a name under providers")
    schema_name: str = Field(default="bars_ohlcv", alias="schema", description="the table's schema")
    symbols: Symbols = Field(description="what to fetch; each symbol once")
    interval: Width = Field(description="the bar's width: 1s, 5min, 1h, 1d")
    calendar: str = Field(default="24/7", description="whose sessions the bars belong to")


class ExecutionSection(Section):
    """How a job runs."""

    concurrency: Int = Field(default=1, ge=1, le=64, description="runs of this job at once")
    retry: RetrySection = Field(default=RetrySection(), description="for each of its nodes")
    timeout: Duration | None = Field(default=None, description="the longest a run may take")


class JobSection(Section):
    """One dataset fetched, checked and written; compiled to a pipeline of the same name."""

    dataset: str = Field(description="a name under datasets")
    mode: Literal["backfill", "live"] = Field(
        description="backfill: a range of sessions once; live: bar by bar until stopped"
    )
    start: Day | None = Field(default=None, alias="from", description="first session, included")
    end: Day | None = Field(default=None, alias="to", description="last session, included")
    storage: str = Field(default="primary", description="a name under storage")
    rules: list[Any] | None = Field(
        default=None, description="the gate's rules; unset: the default rules"
    )
    schedule: Schedules = Field(default=(), description="when it runs by itself")
    on_missed: OnMissed | None = Field(
        default=None, description="for its schedules that say nothing of missed fires"
    )
    overlap: Overlap = Field(
        default="queue_one", description="what a fire does while runs of it go on"
    )
    execution: ExecutionSection = Field(default=ExecutionSection(), description="how it runs")
    priority: Int = Field(default=5, ge=0, le=9, description="the higher goes first")
    expected_duration: Duration | None = Field(
        default=None, description="how long a run takes, until history knows better"
    )
    rehearsal: Rehearsals = Field(default={}, description="its nodes in rehearsals, by name")


class PipelineSection(Section):
    """A graph of nodes."""

    template: str | None = Field(
        default=None, description="the template it is made from; see `mdp template list`"
    )
    arguments: dict[str, Any] = Field(
        default={}, alias="with", description="the template's parameters"
    )

    schedule: Schedules = Field(default=(), description="when it runs by itself")
    on_missed: OnMissed | None = Field(
        default=None, description="for its schedules that say nothing of missed fires"
    )
    overlap: Overlap = Field(
        default="queue_one", description="what a fire does while runs of it go on"
    )
    params: dict[Name, Any] = Field(
        default={}, description="parameters and their defaults, for ${param} in nodes"
    )
    timeout: Duration | None = Field(default=None, description="the longest a run may take")
    max_active_runs: Int = Field(default=1, ge=1, le=64, description="runs of it at once")
    priority: Int = Field(default=5, ge=0, le=9, description="the higher goes first")
    after: Texts = Field(
        default=(), description="pipelines whose runs of the same session must have succeeded"
    )
    needs_dataset: dict[str, Literal["session"]] = Field(
        default={}, description="datasets that must hold what is named, of the same session"
    )
    give_up: Duration | None = Field(
        default=None, description="the longest a run waits for those; unset: for ever"
    )
    expected_duration: Duration | None = Field(
        default=None, description="how long a run takes, until history knows better"
    )
    rehearsal: Rehearsals = Field(default={}, description="its nodes in rehearsals, by name")
    nodes: dict[Name, dict[str, Any]] = Field(min_length=1, description="the graph")


Slots = Annotated[
    Int,
    Field(ge=1, le=10_000),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 10_000}),
]


class OverlaySection(Section):
    """A correction to a calendar."""

    calendar: str = Field(description="the calendar it corrects")
    session: Day = Field(alias="date", description="the session's label")
    closed: Flag = Field(default=False, description="no session on this day")
    open: ClockTime | None = Field(default=None, description="opens at this local time")
    close: ClockTime | None = Field(default=None, description="closes at this local time")
    reason: str = Field(default="", description="for people")


class NamedEventSection(Section):
    """Something that happens in every session of a calendar."""

    at: ClockTime = Field(description="local time")
    early: ClockTime | None = Field(default=None, description="local time on early days")


def _event(value: object) -> object:
    return {"at": value} if isinstance(value, str) else value


Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Policy = Literal["block", "weekmask", "warn"]


class CalendarSection(Section):
    """A calendar of one's own: hours over a base or a week."""

    base: str | None = Field(default=None, description="the calendar whose days it has")
    zone: str | None = Field(default=None, description="time zone of every time here")
    days: tuple[Weekday, ...] = Field(default=(), description="days of the week, without a base")
    open: ClockTime | None = Field(default=None, description="opens at this local time")
    close: ClockTime | None = Field(default=None, description="closes at this local time")
    roll: ClockTime | None = Field(default=None, description="open without end")
    breaks: tuple[tuple[ClockTime, ClockTime], ...] | None = Field(
        default=None, description="pairs of start and end"
    )
    pre_open: ClockTime | None = Field(default=None, description="pre-market opens")
    post_close: ClockTime | None = Field(default=None, description="post-market closes")
    events: dict[str, Annotated[NamedEventSection, BeforeValidator(_event)]] = Field(
        default={}, description="named events for schedules"
    )
    closed: tuple[Day, ...] = Field(default=(), description="days without a session")
    early: dict[Day, ClockTime] = Field(default={}, description="days that close early, and when")


class CalendarsSection(Section):
    """What is known better than the calendar library knows it."""

    policy: Policy = Field(default="block", description="what to do where nothing is known")
    policies: dict[str, Policy] = Field(default={}, description="the same for single calendars")
    near_sessions: Int = Field(
        default=20, ge=0, le=1000, description="how many sessions before the end it is told"
    )
    define: dict[Name, CalendarSection] = Field(default={}, description="calendars of one's own")
    overlays: tuple[OverlaySection, ...] = Field(default=(), description="corrections, in order")


class FeaturesSection(Section):
    """Switches."""

    write_enabled: Flag = Field(default=True, description="off: every run is a dry run")
    export_enabled: Flag = Field(default=True, description="off: `mdp data read` refuses")


class MetricsSection(Section):
    """Prometheus metrics on a port of their own; they are on the API's /metrics in any case."""

    enabled: Flag = Field(default=False, description="whether the port is opened")
    port: Int = Field(default=9090, ge=0, le=65535, description="TCP port; 0: any that is free")
    host: str = Field(default="127.0.0.1", description="address to listen on")


class TelemetrySection(Section):
    """What the daemon tells about itself."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        default="INFO", description="the least severe log line that is kept"
    )
    metrics: MetricsSection = Field(default=MetricsSection(), description="the metrics port")


class DaemonSection(Section):
    """How the daemon itself runs."""

    max_workers: Int = Field(default=2, ge=1, le=256, description="worker processes at most")
    worker_idle: Duration = Field(default=60.0, description="an idle worker ends after this")
    worker_max_tasks: Int = Field(
        default=10_000, ge=1, description="a worker is replaced after this"
    )
    worker_max_age: Duration = Field(default=3600.0, description="a worker is replaced after this")
    worker_max_memory_mb: Int = Field(
        default=4096, ge=64, description="a worker that holds more is replaced"
    )
    drain_timeout: Duration = Field(
        default=60.0, description="how long work in hand may take to end when the daemon stops"
    )
    history_keep_days: Int = Field(default=90, ge=1, description="ended runs are kept this long")
    output_keep_days: Int = Field(
        default=7, ge=0, description="rows that nodes of ended runs handed on are kept this long"
    )
    history_keep_runs: Int = Field(default=100_000, ge=1, description="and at most so many")
    socket_group: str | None = Field(
        default=None, description="group whose members may use the API's socket"
    )
    tcp_host: str = Field(default="127.0.0.1", description="address of the API on TCP")
    tcp_port: Int | None = Field(default=None, ge=0, le=65535, description="unset: no TCP")
    tcp_token_file: str | None = Field(
        default=None, description="file with the bearer token; required with tcp_port"
    )


class Configuration(Section):
    """The whole file."""

    version: Literal[2] = Field(description="the version of this format")
    profile: Name = Field(default="default", description="the profile used unless told otherwise")
    profiles: dict[Name, dict[str, Any]] = Field(
        default={}, description="laid over the file by name"
    )
    calendars: CalendarsSection = Field(default=CalendarsSection(), description="corrections")
    providers: dict[Name, ProviderSection] = Field(default={}, description="where data comes from")
    storage: dict[Name, StorageSection] = Field(default={}, description="where data goes")
    datasets: dict[Name, DatasetSection] = Field(default={}, description="named tables")
    jobs: dict[Name, JobSection] = Field(default={}, description="datasets kept up to date")
    pipelines: dict[Name, PipelineSection] = Field(default={}, description="graphs of nodes")
    pipelines_from: Texts = Field(
        default=(), description="functions that return pipelines, as package.module:function"
    )
    pools: dict[Name, Slots] = Field(
        default={}, description="how many attempts may hold a slot of each at once"
    )
    features: FeaturesSection = Field(default=FeaturesSection(), description="switches")
    telemetry: TelemetrySection = Field(default=TelemetrySection(), description="logs and metrics")
    daemon: DaemonSection = Field(default=DaemonSection(), description="the daemon itself")
