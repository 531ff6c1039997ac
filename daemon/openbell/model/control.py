"""What the API, the command line and the service ask of a running engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol

from anyio.streams.memory import MemoryObjectReceiveStream

from openbell.model.events import ConfigReloaded, Event, StoredEvent
from openbell.model.items import ApprovalRecord
from openbell.model.letters import DeadLetter
from openbell.model.pipelines import Deployment
from openbell.model.retries import Retry
from openbell.model.runs import NodeRecord, RunRecord, WorkflowRecord
from openbell.model.tracking import NodeTrack, TurnWait


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A request for one run of a pipeline (a job is the pipeline of its name).

    `start` and `end` are session labels, both included; they override the definition's.
    `stop_after_s` ends a live run after that long. `origin` says who asked (cli, api, demo ...).
    A schedule's has its `fire`, when that was due, and the calendar whose label `session` is.
    `priority` (0 to 9) goes over the pipeline's.
    """

    pipeline: str
    params: Mapping[str, Any] = field(default_factory=dict)
    session: date | None = None
    start: date | None = None
    end: date | None = None
    stop_after_s: float | None = None
    dry_run: bool = False
    origin: str = "api"
    idempotency_key: str | None = None
    traceparent: str | None = None
    priority: int | None = None
    calendar: str = ""
    fire: str = ""
    due_at: datetime | None = None
    parent_run_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineStatus:
    """A pipeline as it stands: state is active, paused, parked, refused or retired."""

    name: str
    state: str
    mode: str
    job: str | None
    version: int
    node_count: int
    active_runs: int
    queued_runs: int
    restarts: int = 0
    reason: str = ""
    schedule: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """A worker process as it stands: state is starting, idle, busy or stopping."""

    pid: int
    state: str
    started_at: datetime
    task_count: int
    memory_bytes: int
    run_id: str | None = None
    node: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStatus:
    """A provider's budget: tokens to spend now, and until when it rests after a refusal."""

    provider: str
    tokens: float
    burst: int
    requests_per_minute: float | None
    resting_until: datetime | None
    waiting: int
    request_count: int
    violation_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonStatus:
    """The daemon as it stands: state is starting, running, draining or stopping."""

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
    last_error: str = ""
    paused: bool = False


class UnknownPipelineError(Exception):
    """No pipeline or job of this name is configured; `known` are the names there are."""

    def __init__(self, name: str, known: Sequence[str], hint: str = "") -> None:
        shown = ", ".join(sorted(known)) or "none"
        super().__init__(f"pipeline or job {name!r} is unknown; there are: {shown}{hint}")
        self.name = name
        self.known = tuple(known)


class UnknownRunError(Exception):
    """History has no run or submission with this id."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run or job {run_id!r} is unknown")
        self.run_id = run_id


class NotAcceptedError(Exception):
    """The engine cannot take this now (draining, parked, paused, refused); the message says why."""


class StoppingError(NotAcceptedError):
    """The daemon is about to end and takes nothing more."""


class ConflictError(Exception):
    """The request does not fit the state of what it names, such as retrying a running run."""


EventStream = MemoryObjectReceiveStream[StoredEvent | Event]


class RunControl(Protocol):
    """Changes open runs. Everything is durable when it returns, and the run obeys at once.

    Raises UnknownRunError; ConflictError for a run or node that has ended, or that is to end in
    another way; SettingsError for what is no mark.
    """

    async def pause(self, run_or_job_id: str, *, paused: bool, by: str) -> RunRecord:
        """Let a run begin nothing more, or go on; what runs goes on. Twice is once."""
        ...

    async def prioritize(self, run_or_job_id: str, priority: int, *, by: str) -> RunRecord:
        """Give a run another priority; what of it waits stands accordingly."""
        ...

    async def cancel_node(self, run_or_job_id: str, node: str, *, by: str) -> NodeRecord:
        """Ask one node to end; its running work is stopped, its chain's with it."""
        ...

    async def mark(
        self, run_or_job_id: str, node: str, mark: str, *, by: str, reason: str, outcome: str
    ) -> NodeRecord:
        """Ask a node to end as `success`, which edges see as `outcome`, or as `failed`."""
        ...


class Engine(Protocol):
    """A running engine. Every method may be called from any task of its loop."""

    @property
    def deployment(self) -> Deployment:
        """The configuration in force."""
        ...

    def status(self) -> DaemonStatus:
        """Return the daemon as it stands."""
        ...

    def pipelines(self) -> Sequence[PipelineStatus]:
        """Return every pipeline, by name."""
        ...

    def workers(self) -> Sequence[WorkerStatus]:
        """Return every worker process, oldest first."""
        ...

    def budgets(self) -> Sequence[BudgetStatus]:
        """Return every provider's budget, by name."""
        ...

    async def submit(self, submission: Submission) -> RunRecord:
        """Accept a run; it is durable when this returns.

        The same idempotency key again returns the first run. Raises UnknownPipelineError,
        NotAcceptedError, or SettingsError for wrong parameters.
        """
        ...

    async def cancel(self, run_or_job_id: str, *, by: str) -> RunRecord:
        """Ask a run to end; finished work is kept. Cancelling an ended run raises ConflictError."""
        ...

    async def retry(self, run_or_job_id: str, *, by: str, how: Retry | None = None) -> RunRecord:
        """Submit an ended run again, from the nodes that did not succeed unless `how` says other.

        What is not done again is taken over as it ended, with its outcome and output; so are items
        that succeeded. Sources that failed or were cancelled go on after their last batches, unless
        parameters or definition differ. What is stored already stays unchanged in any case. Dead
        letters of the run are replayed by it. Raises UnknownRunError, also for an unknown node,
        ConflictError for a run that has not ended, and SettingsError for wrong parameters.
        """
        ...

    async def replay(self, letter_id: str, *, by: str) -> RunRecord:
        """Submit a run that goes on from what a dead letter holds; it is durable when this returns.

        Finished work of the original is kept, as by a retry from the letter's node. All letters of
        the original are replayed with it. Raises UnknownLetterError, and ConflictError for one that
        waits no more.
        """
        ...

    async def purge(self, letter_id: str, *, by: str) -> DeadLetter:
        """Give a dead letter up; it stays on record with who did it. Raises as `replay` does."""
        ...

    async def answer(
        self,
        run_or_job_id: str,
        node: str,
        label: str,
        *,
        by: str,
        item: int = -1,
        comment: str = "",
    ) -> ApprovalRecord:
        """Answer what a node asks a person; it is durable when this returns.

        Raises UnknownRunError, and ConflictError where nothing is asked or the label is none of
        the answers. `item` is the number of an instance of a node with `for_each`.
        """
        ...

    async def define(self, document: Mapping[str, Any]) -> WorkflowRecord:
        """Add or change a pipeline from the API's document; raises SettingsError."""
        ...

    async def pause(self, pipeline: str, *, by: str = "") -> PipelineStatus:
        """Start no more runs of this pipeline; running ones go on."""
        ...

    async def resume(self, pipeline: str, *, by: str = "") -> PipelineStatus:
        """Let a paused or parked pipeline work again."""
        ...

    async def pause_all(self, *, by: str) -> Sequence[PipelineStatus]:
        """Start no more runs of any pipeline, also of those to come; running ones go on."""
        ...

    async def resume_all(self, *, by: str) -> Sequence[PipelineStatus]:
        """Take that back; a pipeline that was paused by its name stays paused."""
        ...

    @property
    def control(self) -> RunControl:
        """What changes runs that are under way."""
        ...

    async def reload(self) -> ConfigReloaded:
        """Read the configuration again and apply the difference; raises SettingsError."""
        ...

    def request_stop(self, *, fast: bool) -> None:
        """Begin to drain (let work in hand end), or to stop at once."""
        ...

    def queue(self, pipeline: str) -> tuple[Sequence[str], Sequence[str]]:
        """Return the ids of a pipeline's runs that are going on, and of those that wait, in order."""
        ...

    def tracks(self, run_id: str) -> Mapping[str, NodeTrack]:
        """Return how far a run's nodes at work came, by name."""
        ...

    def turns(self) -> Sequence[TurnWait]:
        """Return the units that wait for their turn, the next first."""
        ...

    def subscribe(self, *, capacity: int = 1000) -> AbstractContextManager[EventStream]:
        """Return the stream of events from now on.

        A subscriber that falls `capacity` events behind loses its stream (it ends) and resumes
        from history by id.
        """
        ...
