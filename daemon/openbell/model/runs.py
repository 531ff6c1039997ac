"""Life cycles of runs and nodes: states, legal steps, and what is known of each."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from openbell.model.quick import quick

MAX_LOG_BYTES = 1024 * 1024
"""How many bytes of log history keeps of one attempt: text, and so much for each line."""

LINE_OVERHEAD_BYTES = 32


class RunState(enum.StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"

    is_final: bool
    """Whether the run has ended."""

    def __init__(self, text: str) -> None:
        self.is_final = text in {"success", "failed", "cancelled"}


class NodeState(enum.StrEnum):
    """Where a node of a run stands."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCESS = "success"
    FAILED = "failed"
    SKIPPED = "skipped"
    UPSTREAM_FAILED = "upstream_failed"
    CANCELLED = "cancelled"

    is_final: bool
    """Whether the node has ended."""

    def __init__(self, text: str) -> None:
        self.is_final = text not in {"pending", "queued", "running", "retrying"}


BEGUN = frozenset({NodeState.RUNNING, NodeState.SUCCESS, NodeState.FAILED})
"""States of a node that it reaches only by beginning: the first of them says when it did."""


class IllegalStepError(Exception):
    """A life cycle was asked for a step that it does not have."""

    def __init__(self, thing: str, old: str, new: str) -> None:
        super().__init__(f"{thing} cannot go from {old} to {new}")


_RUN_STEPS: Mapping[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.RUNNING, RunState.CANCELLED, RunState.FAILED}),
    RunState.RUNNING: frozenset({RunState.SUCCESS, RunState.FAILED, RunState.CANCELLED}),
    RunState.SUCCESS: frozenset(),
    RunState.FAILED: frozenset(),
    RunState.CANCELLED: frozenset(),
}


def step_run(old: RunState, new: RunState) -> RunState:
    """Return `new` if a run may go there from `old`; raises IllegalStepError."""
    if new not in _RUN_STEPS[old]:
        raise IllegalStepError("a run", old, new)
    return new


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """A node's numbers so far, over all attempts of its run."""

    rows_in: int = 0
    rows_out: int = 0
    rows_written: int = 0
    rows_unchanged: int = 0
    rows_quarantined: int = 0
    size_bytes: int = 0
    verdict: str | None = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run as history knows it. `submission` is the job id under which it was asked for."""

    run_id: str
    job_id: str
    pipeline: str
    workflow_version: int
    mode: str
    state: RunState
    params: Mapping[str, Any]
    submitted_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    reason: str = ""
    error: str = ""
    session: str | None = None
    retry_of: str | None = None
    origin: str = ""
    dry_run: bool = False
    cancel_requested: bool = False
    trace_id: str = ""
    calendar: str = ""
    fire: str = ""
    due_at: datetime | None = None
    priority: int = 5
    parent_run_id: str | None = None
    paused: bool = False


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """A node of a run as history knows it."""

    run_id: str
    node: str
    op: str
    state: NodeState
    attempts: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    outcome: str | None = None
    error: str = ""
    error_kind: str = ""
    retry_at: datetime | None = None
    totals: Totals = field(default_factory=Totals)
    output: Mapping[str, Any] | None = None
    reason: str = ""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One try of a node, or of an item of one. `state` is running, success, failed or interrupted."""

    attempt_id: str
    run_id: str
    node: str
    number: int
    state: str
    started_at: datetime
    finished_at: datetime | None = None
    worker_pid: int | None = None
    error_kind: str = ""
    error: str = ""
    traceback: str = ""
    cpu_s: float | None = None
    peak_memory_bytes: int | None = None
    io_read_bytes: int | None = None
    io_written_bytes: int | None = None
    item: int = -1


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRun:
    """A run that has not ended, with its nodes in definition order and its attempts, oldest first."""

    run: RunRecord
    nodes: tuple[NodeRecord, ...]
    attempts: tuple[AttemptRecord, ...]


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """How far a run's source came, and when: the next chunk's number, the cursor, totals by node."""

    run_id: str
    node: str
    next_chunk: int
    cursor: str | None
    totals: Mapping[str, Totals]
    at: datetime | None = None


MAX_LOG_BYTES = 1024 * 1024
"""How many bytes of log are kept of one attempt."""

MAX_ITEM_LOG_BYTES = 64 * 1024
"""The same of one attempt at an item of a node: there may be 100,000 of them."""

LOG_LINE_BYTES = 32
"""What a line counts besides its text: an attempt has 32,000 lines at most, however short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line that a node's code wrote. `stream` is stdout, stderr or log."""

    at: datetime
    stream: str
    level: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLogLine:
    """A log line in history, with its place in the order of the whole run."""

    id: int
    node: str
    attempt: int
    line: LogLine
    item: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRecord:
    """One version of a pipeline's definition (plain JSON values)."""

    name: str
    version: int
    fingerprint: str
    definition: Mapping[str, Any]
    created_at: datetime
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRecord:
    """One finding of a gate, kept."""

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
    examples: Sequence[str]
    at: datetime
