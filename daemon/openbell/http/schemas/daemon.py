"""What the API answers about the daemon itself; part of `answers`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel


class Plugin(BaseModel):
    """A plugin and what became of it."""

    name: str
    distribution: str
    version: str
    state: str
    reason: str
    warnings: list[str]
    registers: dict[str, list[str]]


class Worker(BaseModel):
    """A worker process."""

    pid: int
    state: str
    started_at: datetime
    task_count: int
    memory_bytes: int
    run_id: str | None
    node: str | None


class Budget(BaseModel):
    """A provider's budget."""

    provider: str
    tokens: float
    burst: int
    requests_per_minute: float | None
    resting_until: datetime | None
    waiting: int
    request_count: int
    violation_count: int


class DaemonStatus(BaseModel):
    """The daemon as it stands."""

    state: str
    pid: int
    version: str
    started_at: datetime
    config_source: str
    config_digest: str
    profile: str
    state_dir: str
    active_runs: int
    queued_runs: int
    pipelines: int
    parked: int
    workers: int
    paused: bool
    last_error: str


class Config(BaseModel):
    """The configuration in force, without secrets."""

    source: str
    profile: str
    digest: str
    providers: dict[str, Any]
    storage: dict[str, Any]
    datasets: list[str]
    pipelines: list[str]
    refused: dict[str, str]
    features: dict[str, bool]


class Reloaded(BaseModel):
    """What a reload changed, as pipelines' names."""

    at: datetime
    digest: str
    added: list[str]
    changed: list[str]
    removed: list[str]


class Health(BaseModel):
    """Alive or ready."""

    status: str
