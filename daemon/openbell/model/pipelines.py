"""Definitions: pipelines, their nodes and edges, and what a deployment consists of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any, Literal

from openbell.model.calendars import CalendarRules, Overlay

Mode = Literal["backfill", "live", "interval"]
"""How a pipeline covers time: a range of sessions once, bar by bar until stopped, or one session
(or day) a run."""


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})  # python 3.11 cannot hash it: no plain default


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a failed attempt is tried again. Delays are seconds, doubled up to `max_backoff_s`."""

    max_attempts: int = 3
    backoff_s: float = 5.0
    multiplier: float = 2.0
    max_backoff_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node: what it does, and after which outcomes of which nodes.

    `needs` maps a node's name to the outcomes that keep the edge open; an empty tuple means
    success. `settings` are the operator's, validated, as plain JSON values.
    """

    name: str
    op: str
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A graph of nodes over one dataset's data, in an order that respects every edge.

    `start` and `end` are session labels, both included, for mode `backfill`; None leaves that
    side to the run. `job` names the job it was compiled from.
    """

    name: str
    nodes: tuple[Node, ...]
    mode: Mode = "interval"
    job: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    schedule: tuple[str, ...] = ()
    timeout_s: float | None = None
    start: date | None = None
    end: date | None = None
    max_active_runs: int = 1

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
    worker_max_tasks: int = 1000
    worker_max_age_s: float = 3600.0
    worker_max_memory_mb: int = 4096
    drain_timeout_s: float = 60.0
    history_keep_days: int = 90
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
    features: Features = field(default_factory=Features)
    telemetry: TelemetryOptions = field(default_factory=TelemetryOptions)
    daemon: DaemonOptions = field(default_factory=DaemonOptions)
    secrets: tuple[str, ...] = field(default=(), repr=False)


def definition(pipeline: Pipeline) -> dict[str, Any]:
    """Return `pipeline` as plain JSON values, in a stable order and without secrets."""
    return {
        "name": pipeline.name,
        "mode": pipeline.mode,
        "job": pipeline.job,
        "params": dict(pipeline.params),
        "schedule": list(pipeline.schedule),
        "timeout_s": pipeline.timeout_s,
        "start": pipeline.start.isoformat() if pipeline.start else None,
        "end": pipeline.end.isoformat() if pipeline.end else None,
        "max_active_runs": pipeline.max_active_runs,
        "nodes": [_node_definition(node) for node in pipeline.nodes],
    }


def _node_definition(node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "op": node.op,
        "needs": {name: list(outcomes) for name, outcomes in node.needs.items()},
        "settings": dict(node.settings),
        "retry": {
            "max_attempts": node.retry.max_attempts,
            "backoff_s": node.retry.backoff_s,
            "multiplier": node.retry.multiplier,
            "max_backoff_s": node.retry.max_backoff_s,
        },
        "timeout_s": node.timeout_s,
    }


def from_definition(document: Mapping[str, Any]) -> Pipeline:
    """Return the pipeline that `definition` wrote; the two are inverses."""
    nodes = tuple(
        Node(
            name=raw["name"],
            op=raw["op"],
            needs={name: tuple(outcomes) for name, outcomes in raw["needs"].items()},
            settings=raw["settings"],
            retry=RetryPolicy(**raw["retry"]),
            timeout_s=raw["timeout_s"],
        )
        for raw in document["nodes"]
    )
    start, end = document["start"], document["end"]
    return Pipeline(
        name=document["name"],
        nodes=nodes,
        mode=document["mode"],
        job=document["job"],
        params=document["params"],
        schedule=tuple(document["schedule"]),
        timeout_s=document["timeout_s"],
        start=date.fromisoformat(start) if start else None,
        end=date.fromisoformat(end) if end else None,
        max_active_runs=document["max_active_runs"],
    )


def fingerprint(pipeline: Pipeline) -> str:
    """Return a digest of what `pipeline` means; equal definitions have equal fingerprints."""
    text = json.dumps(definition(pipeline), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def retry_delay_s(policy: RetryPolicy, attempt: int, *, jitter: float) -> float:
    """Return seconds to wait after failed attempt number `attempt` (from 1).

    Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): `jitter` in [0, 1)
    scales the delay between half and the whole of the exponential step.
    """
    step = min(policy.max_backoff_s, policy.backoff_s * policy.multiplier ** max(0, attempt - 1))
    return step * (0.5 + 0.5 * jitter)


def day_after(label: date) -> date:
    """Return the calendar day after `label`."""
    return label + timedelta(days=1)
