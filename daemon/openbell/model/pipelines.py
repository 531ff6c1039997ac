"""Definitions: pipelines, their nodes and edges, and what a deployment consists of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any, Literal

from openbell.model.calendars import CalendarRules, Overlay
from openbell.model.schedules import Overlap, ScheduleUse

Mode = Literal["backfill", "live", "interval"]
"""How a pipeline covers time: a range of sessions once, bar by bar until stopped, or one session
(or day) a run."""


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})  # python 3.11 cannot hash it: no plain default


TriggerRule = Literal[
    "all_success",
    "all_failed",
    "all_done",
    "all_skipped",
    "one_success",
    "one_failed",
    "one_done",
    "none_failed",
    "none_failed_min_one_success",
    "none_skipped",
    "always",
]
"""When a node may run, given how those it needs ended (Apache Airflow, "Trigger Rules")."""

ErrorClass = Literal["transient", "rate_limited", "timeout", "worker_lost", "data", "any"]
"""What a retry policy is about; `any` is every error but those that are fatal."""

RETRIED: tuple[ErrorClass, ...] = ("transient", "rate_limited", "timeout", "worker_lost")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a failed attempt is tried again. Delays are seconds, doubled up to `max_backoff_s`.

    Only errors of the classes in `on` are.
    """

    max_attempts: int = 3
    backoff_s: float = 5.0
    multiplier: float = 2.0
    max_backoff_s: float = 300.0
    on: tuple[ErrorClass, ...] = RETRIED


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """How a node behaves in a rehearsal: how long it takes, how often an attempt fails.

    `outcome` is the label that its edges see when it succeeds.
    """

    duration_s: float = 0.0
    fail_rate: float = 0.0
    outcome: str = "success"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node: what it does, and after which outcomes of which nodes.

    `needs` maps a node's name to the outcomes that keep the edge open; an empty tuple means
    success. `settings` are the operator's, validated, as plain JSON values.

    `for_each` makes one instance of the node for each item: a list, or text that names where the
    items are; at most `max_parallel` of them run at once. Of `pool` each attempt takes one slot.
    """

    name: str
    op: str
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeout_s: float | None = None
    trigger: TriggerRule = "all_success"
    pool: str | None = None
    for_each: Any = None
    max_parallel: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A graph of nodes over one dataset's data, in an order that respects every edge.

    `start` and `end` are session labels, both included, for mode `backfill`; None leaves that
    side to the run. `job` names the job it was compiled from. `priority` goes from 0 to 9.

    A run waits until the runs of `after`, and the writers of the datasets in `needs_dataset`,
    have committed its session, at most `give_up_s` seconds. `expected_s` is how long a run takes
    as far as anyone can tell beforehand. `rehearsal` says how its nodes behave in rehearsals.
    """

    name: str
    nodes: tuple[Node, ...]
    mode: Mode = "interval"
    job: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    schedule: tuple[ScheduleUse, ...] = ()
    overlap: Overlap = "queue_one"
    timeout_s: float | None = None
    start: date | None = None
    end: date | None = None
    max_active_runs: int = 1
    priority: int = 5
    after: tuple[str, ...] = ()
    needs_dataset: Mapping[str, str] = field(default_factory=_nothing)
    give_up_s: float | None = None
    expected_s: float | None = None
    rehearsal: Mapping[str, Rehearsal] = field(default_factory=_nothing)

    def node(self, name: str) -> Node:
        """Return the node called `name`; raises KeyError."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """A provider's budget: a token bucket of `burst` requests refilled at `requests_per_minute`.

    After the vendor refused a request nothing is asked for `cooldown_s` seconds.
    """

    requests_per_minute: float | None = None
    burst: int = 1
    cooldown_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderUse:
    """A configured provider. `settings` may hold secrets: it goes to workers and nowhere else."""

    name: str
    type: str
    enabled: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    pacing: Pacing = field(default_factory=Pacing)


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageUse:
    """A configured backend. `settings` may hold secrets: it goes to workers and nowhere else."""

    name: str
    type: str
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    batch_rows: int = 1000
    upsert_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A named table of bars: where it comes from, what it holds, which sessions it should have."""

    name: str
    provider: str
    schema: str
    symbols: tuple[str, ...]
    interval: str
    calendar: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonOptions:
    """How the daemon itself runs; every value has a default and a key under `daemon:`."""

    max_workers: int = 2
    worker_idle_s: float = 60.0
    worker_max_tasks: int = 10_000
    worker_max_age_s: float = 3600.0
    worker_max_memory_mb: int = 4096
    drain_timeout_s: float = 60.0
    history_keep_days: int = 90
    output_keep_days: int = 7
    history_keep_runs: int = 100_000
    socket_group: str | None = None
    tcp_host: str = "127.0.0.1"
    tcp_port: int | None = None
    tcp_token_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryOptions:
    """`telemetry:` of the configuration."""

    log_level: str = "INFO"
    metrics_enabled: bool = False
    metrics_port: int = 9090
    metrics_host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Switches of the configuration.

    With `write_enabled` off every run is a dry run; with `export_enabled` off `mdp data read`
    refuses.
    """

    write_enabled: bool = True
    export_enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A whole configuration, validated: what one daemon runs. `secrets` are values to redact."""

    source: str
    profile: str
    digest: str
    providers: Mapping[str, ProviderUse] = field(default_factory=_nothing)
    storage: Mapping[str, StorageUse] = field(default_factory=_nothing)
    datasets: Mapping[str, Dataset] = field(default_factory=_nothing)
    pipelines: Mapping[str, Pipeline] = field(default_factory=_nothing)
    refused: Mapping[str, str] = field(default_factory=_nothing)
    calendars: CalendarRules = field(default_factory=CalendarRules)
    overlays: tuple[Overlay, ...] = ()
    pools: Mapping[str, int] = field(default_factory=_nothing)
    features: Features = field(default_factory=Features)
    telemetry: TelemetryOptions = field(default_factory=TelemetryOptions)
    daemon: DaemonOptions = field(default_factory=DaemonOptions)
    secrets: tuple[str, ...] = field(default=(), repr=False)


_MAX_EXPONENT = 600.0


def retry_delay_s(policy: RetryPolicy, attempt: int, *, jitter: float) -> float:
    """Return seconds to wait after failed attempt number `attempt` (from 1).

    Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): `jitter` in [0, 1) scales
    the delay between nothing and the whole of the exponential step.
    """
    growth = max(0, attempt - 1) * math.log(max(policy.multiplier, 1.0))
    step = policy.backoff_s * math.exp(min(growth, _MAX_EXPONENT))
    return min(policy.max_backoff_s, step) * jitter


def day_after(label: date) -> date:
    """Return the calendar day after `label`."""
    return label + timedelta(days=1)
