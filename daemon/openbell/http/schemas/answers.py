"""What the API answers, for the OpenAPI document; imported when somebody asks for that."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from openbell.http.schemas.calendars import Calendar, Overlay, OverlayChange, Session
from openbell.http.schemas.daemon import (
    Budget,
    Config,
    DaemonStatus,
    Health,
    Plugin,
    Reloaded,
    Worker,
)
from openbell.http.schemas.schedules import Fire, Schedule
from openbell.http.schemas.tracking import Explanation, Letter, Progress

RunStateName = Literal["queued", "running", "success", "failed", "cancelled"]
NodeStateName = Literal[
    "pending",
    "queued",
    "running",
    "retrying",
    "success",
    "failed",
    "skipped",
    "upstream_failed",
    "cancelled",
]


class ProblemEntry(BaseModel):
    """One thing wrong with a request or a configuration."""

    key: str
    message: str
    hint: str = ""


class Problem(BaseModel):
    """RFC 9457 problem details; `type` is stable, `detail` is for people."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ProblemEntry] | None = None
    known: list[str] | None = None
    hint: str | None = None


class Run(BaseModel):
    """A run without its nodes."""

    run_id: str
    job_id: str
    pipeline: str
    job: str
    workflow_version: int
    mode: str
    state: RunStateName
    params: dict[str, Any]
    submitted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    reason: str
    error: str
    session: str | None
    retry_of: str | None
    origin: str
    dry_run: bool
    cancel_requested: bool
    trace_id: str
    priority: int
    paused: bool


class SummaryNode(BaseModel):
    """A node in a run's summary."""

    state: NodeStateName
    attempts: int
    rows_in: int
    rows_out: int
    verdict: str | None
    op: str
    outcome: str | None
    error: str
    error_kind: str


class RunSummary(BaseModel):
    """A run with its nodes and totals."""

    run_id: str
    job_id: str
    job: str
    state: RunStateName
    reason: str
    error: str
    rows_in: int
    rows_written: int
    rows_unchanged: int
    rows_quarantined: int
    batches: int
    duration_s: float
    mode: str
    dry_run: bool
    session: str | None
    params: dict[str, Any]
    origin: str
    retry_of: str | None
    workflow_version: int
    cancel_requested: bool
    priority: int
    paused: bool
    trace_id: str
    submitted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    nodes: dict[str, SummaryNode]
    queue_position: int | None


class Approval(BaseModel):
    """A question that a node asks people; `label` is the answer, null while there is none."""

    run_id: str
    pipeline: str
    node: str
    item: int
    question: str
    labels: list[str]
    asked_at: datetime
    deadline_at: datetime | None
    label: str | None
    answered_by: str
    comment: str
    answered_at: datetime | None


class Totals(BaseModel):
    """Totals over the whole history, and what is at work now."""

    active_runs: int
    queued_runs: int
    workers: int


class NodeTotals(BaseModel):
    """A node's numbers, over all attempts."""

    rows_in: int
    rows_out: int
    rows_written: int
    rows_unchanged: int
    rows_quarantined: int
    size_bytes: int
    verdict: str | None


class Node(BaseModel):
    """A node of a run."""

    run_id: str
    node: str
    op: str
    state: NodeStateName
    attempts: int
    started_at: datetime | None
    finished_at: datetime | None
    outcome: str | None
    error: str
    error_kind: str
    retry_at: datetime | None
    totals: NodeTotals
    progress: Progress | None
    items: dict[NodeStateName, int] | None


class Item(BaseModel):
    """One instance of a node with `for_each`; `number` is its place in the list, from 0."""

    run_id: str
    node: str
    number: int
    item: Any
    state: NodeStateName
    attempts: int
    outcome: str | None
    error: str
    error_kind: str
    retry_at: datetime | None
    output: dict[str, Any] | None
    started_at: datetime | None
    finished_at: datetime | None


class Attempt(BaseModel):
    """One try of a node, or of its item number `item`."""

    attempt_id: str
    run_id: str
    node: str
    number: int
    state: str
    started_at: datetime
    finished_at: datetime | None
    worker_pid: int | None
    error_kind: str
    error: str
    traceback: str
    cpu_s: float | None
    peak_memory_bytes: int | None
    io_read_bytes: int | None
    io_written_bytes: int | None
    item: int


class LogLine(BaseModel):
    """A line that a node's code wrote."""

    id: int
    node: str
    item: int
    attempt: int
    at: datetime
    stream: str
    level: str
    text: str


class Finding(BaseModel):
    """What a gate found."""

    id: int
    run_id: str
    node: str
    chunk: int
    rule: str
    severity: str
    message: str
    column: str
    row_count: int
    metric: float | None
    threshold: float | None
    examples: list[str]
    at: datetime


class Workflow(BaseModel):
    """One version of a definition."""

    name: str
    version: int
    fingerprint: str
    definition: dict[str, Any]
    created_at: datetime
    active: bool


class DagNode(BaseModel):
    """A node in a graph; level 0 needs nothing."""

    name: str
    op: str
    level: int


class DagEdge(BaseModel):
    """An edge that is open after the outcomes in `on`."""

    source: str = Field(alias="from")
    to: str
    on: list[str]


class Dag(BaseModel):
    """A definition as a graph."""

    name: str
    version: int
    nodes: list[DagNode]
    edges: list[DagEdge]
    levels: list[list[str]]


class Pipeline(BaseModel):
    """A pipeline as it stands."""

    name: str
    state: str
    mode: str
    job: str | None
    version: int
    node_count: int
    active_runs: int
    queued_runs: int
    restarts: int
    reason: str
    schedule: list[str]


class Dataset(BaseModel):
    """A configured dataset."""

    model_config = {"protected_namespaces": ()}

    name: str
    provider: str
    table_schema: str = Field(alias="schema")
    symbols: list[str]
    interval: str
    calendar: str


class Event(BaseModel):
    """Something that happened; `id` is null for what is not kept."""

    id: int | None
    at: datetime
    name: str
    run_id: str | None
    pipeline: str | None
    body: dict[str, Any]


class Lineage(BaseModel):
    """One commit into a dataset."""

    run_id: str
    node: str


SINGLE: tuple[type[BaseModel], ...] = (
    Approval,
    Node,
    Calendar,
    OverlayChange,
    Schedule,
    Problem,
    RunSummary,
    Totals,
    Workflow,
    Dag,
    Pipeline,
    DaemonStatus,
    Config,
    Reloaded,
    Health,
    Event,
    Run,
    Letter,
    Explanation,
)
PAGED: tuple[type[BaseModel], ...] = (
    Approval,
    Calendar,
    Session,
    Overlay,
    Run,
    Node,
    Item,
    Attempt,
    LogLine,
    Finding,
    Workflow,
    Pipeline,
    Schedule,
    Fire,
    Dataset,
    Plugin,
    Worker,
    Budget,
    Lineage,
    Letter,
)
PAGE_NAMES = {"LogLine": "LogPage"}
