"""What can happen: every change of state is one of these values.

History applies it, then telemetry logs and counts it, and API clients see it. Names are dotted:
noun, then past verb.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, ClassVar

from openbell.model.calendars import Overlay
from openbell.model.control_events import NodeEndRequested as NodeEndRequested
from openbell.model.control_events import NodesTakenOver as NodesTakenOver
from openbell.model.control_events import RunPaused as RunPaused
from openbell.model.control_events import RunPrioritized as RunPrioritized
from openbell.model.event import Event as Event
from openbell.model.event import StoredEvent as StoredEvent
from openbell.model.graph_events import ApprovalAnswered as ApprovalAnswered
from openbell.model.graph_events import ApprovalAsked as ApprovalAsked
from openbell.model.graph_events import ItemsChanged as ItemsChanged
from openbell.model.graph_events import ItemsListed as ItemsListed
from openbell.model.graph_events import RunHeld as RunHeld
from openbell.model.letter_events import DeadLettered as DeadLettered
from openbell.model.letter_events import DecisionNoted as DecisionNoted
from openbell.model.letter_events import LetterPurged as LetterPurged
from openbell.model.letter_events import LetterReplayed as LetterReplayed
from openbell.model.runs import LogLine, NodeState, RunState, Totals
from openbell.model.schedule_events import ClockJumped as ClockJumped
from openbell.model.schedule_events import FireDecided as FireDecided
from openbell.model.schedule_events import FireLetGo as FireLetGo
from openbell.model.schedule_events import FireTakenBack as FireTakenBack
from openbell.model.schedule_events import PipelinePaused as PipelinePaused
from openbell.model.schedule_events import ScheduleAdded as ScheduleAdded
from openbell.model.schedule_events import ScheduleAdvanced as ScheduleAdvanced
from openbell.model.schedule_events import SchedulePaused as SchedulePaused
from openbell.model.schedule_events import ScheduleRemoved as ScheduleRemoved
from openbell.sdk.values import Finding, Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowDefined(Event):
    """A pipeline's definition is new or differs from its last version."""

    name: ClassVar[str] = "workflow.defined"
    pipeline: str
    version: int
    fingerprint: str
    definition: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRetired(Event):
    """A pipeline is no longer in the configuration; its history stays."""

    name: ClassVar[str] = "workflow.retired"
    pipeline: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSubmitted(Event):
    """Work was accepted: from here on it is never lost. `nodes` are (name, op) in order.

    `parent_span_id` names the caller's span, when the request brought a `traceparent`. `session`
    is a label of `calendar`. A run that a schedule began has its `fire` and when that was due.
    """

    name: ClassVar[str] = "run.submitted"
    run_id: str
    job_id: str
    pipeline: str
    workflow_version: int
    mode: str
    nodes: Sequence[tuple[str, str]]
    params: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""
    session: str | None = None
    retry_of: str | None = None
    idempotency_key: str | None = None
    dry_run: bool = False
    trace_id: str = ""
    parent_span_id: str = ""
    calendar: str = ""
    fire: str = ""
    due_at: datetime | None = None
    priority: int = 5
    parent_run_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A run left the queue."""

    name: ClassVar[str] = "run.started"
    run_id: str
    pipeline: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """A run ended, with its numbers."""

    name: ClassVar[str] = "run.finished"
    run_id: str
    pipeline: str
    job: str
    state: RunState
    duration_s: float
    reason: str = ""
    error: str = ""
    provider: str = ""
    session: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCancelRequested(Event):
    """Somebody asked for a run to end."""

    name: ClassVar[str] = "run.cancel_requested"
    run_id: str
    pipeline: str
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChanged(Event):
    """A node of a run went to another state. `totals` are over all attempts.

    `output` is a reference to what the node made: a value, a spool file or part of a dataset.
    `reason` says why a node that did not begin waits, or who ended it.
    """

    name: ClassVar[str] = "node.changed"
    run_id: str
    pipeline: str
    node: str
    state: NodeState
    attempt: int = 0
    outcome: str | None = None
    error: str = ""
    error_kind: str = ""
    retry_at: datetime | None = None
    totals: Totals | None = None
    output: Mapping[str, Any] | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted(Event):
    """An attempt was handed to a worker; it was planned with `calendar` as its digest names it.

    `item` is the number of the instance that it is of, -1 without `for_each`.
    """

    name: ClassVar[str] = "attempt.started"
    attempt_id: str
    run_id: str
    pipeline: str
    node: str
    number: int
    calendar: str = ""
    calendar_digest: str = ""
    item: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFinished(Event):
    """An attempt ended: success, failed, or interrupted (by our own stop: it does not count)."""

    name: ClassVar[str] = "attempt.finished"
    attempt_id: str
    run_id: str
    pipeline: str
    node: str
    number: int
    state: str
    duration_s: float
    worker_pid: int | None = None
    error_kind: str = ""
    error: str = ""
    traceback: str = ""
    cpu_s: float | None = None
    peak_memory_bytes: int | None = None
    io_read_bytes: int | None = None
    io_written_bytes: int | None = None
    item: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCommitted(Event):
    """A chunk passed every node of its task and is durable: the run resumes after it.

    `node` is the source; `next_chunk` and `cursor` say where to go on; `totals` are each node's
    numbers so far. `receipts` maps node names to what was committed with this chunk.
    """

    name: ClassVar[str] = "batch.committed"
    run_id: str
    pipeline: str
    node: str
    next_chunk: int
    cursor: str | None
    totals: Mapping[str, Totals]
    receipts: Mapping[str, Receipt] = field(default_factory=dict)
    job: str = ""
    provider: str = ""
    write_duration_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityChecked(Event):
    """A gate found something in a chunk."""

    name: ClassVar[str] = "quality.checked"
    run_id: str
    pipeline: str
    node: str
    chunk: int
    verdict: str
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogWritten(Event):
    """A node's code wrote log lines; `item` is as of an attempt."""

    name: ClassVar[str] = "log.written"
    run_id: str
    pipeline: str
    node: str
    attempt: int
    lines: Sequence[LogLine]
    item: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeProgressed(Event):
    """A node is under way; `total_rows` once it is known. Not kept."""

    name: ClassVar[str] = "node.progressed"
    durable: ClassVar[bool] = False
    run_id: str
    pipeline: str
    node: str
    rows: int
    batches: int
    total_rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeBeat(Event):
    """The worker of a node is alive; what the attempt cost so far. Not kept."""

    name: ClassVar[str] = "node.beat"
    durable: ClassVar[bool] = False
    run_id: str
    pipeline: str
    node: str
    cpu_s: float
    memory_bytes: int
    io_read_bytes: int
    io_written_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRequested(Event):
    """Requests were made to a vendor. `status` is ok or an error's kind. Not kept."""

    name: ClassVar[str] = "provider.requested"
    durable: ClassVar[bool] = False
    provider: str
    status: str
    request_count: int = 1
    waited_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStarted(Event):
    """A worker process is up."""

    name: ClassVar[str] = "worker.started"
    durable: ClassVar[bool] = False
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStopped(Event):
    """A worker process is gone: idle, recycled, lost, or with the daemon."""

    name: ClassVar[str] = "worker.stopped"
    durable: ClassVar[bool] = False
    pid: int
    reason: str
    exit_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorCrashed(Event):
    """A pipeline's actor raised; it starts again after `restart_in_s` seconds."""

    name: ClassVar[str] = "actor.crashed"
    pipeline: str
    error: str
    restart_in_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineParked(Event):
    """A pipeline's actor kept crashing and is left alone until a reload or a resume."""

    name: ClassVar[str] = "pipeline.parked"
    pipeline: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigReloaded(Event):
    """Definitions were read again; names of pipelines by what became of them."""

    name: ClassVar[str] = "config.reloaded"
    digest: str
    added: Sequence[str] = ()
    changed: Sequence[str] = ()
    removed: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadRefused(Event):
    """The configuration on disk is wrong; the one in force stays."""

    name: ClassVar[str] = "config.refused"
    problems: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarHorizonNear(Event):
    """Little is left of what is known of a calendar's sessions; told once a day."""

    name: ClassVar[str] = "calendar.horizon_neared"
    calendar: str
    policy: str
    horizon: date
    sessions_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarFailed(Event):
    """A calendar cannot be built; told once a day."""

    name: ClassVar[str] = "calendar.failed"
    calendar: str
    policy: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayAdded(Event):
    """Somebody corrected a calendar; `reason` stands in the overlay."""

    name: ClassVar[str] = "calendar.overlay_added"
    overlay_id: str
    overlay: Overlay
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayRemoved(Event):
    """Somebody took a correction back."""

    name: ClassVar[str] = "calendar.overlay_removed"
    overlay_id: str
    calendar: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonStarted(Event):
    """The daemon is ready."""

    name: ClassVar[str] = "daemon.started"
    version: str
    pid: int
    pipelines: int
    startup_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonStopping(Event):
    """The daemon was asked to stop: `drain` lets work in hand end, `fast` interrupts it."""

    name: ClassVar[str] = "daemon.stopping"
    how: str
    running: int
