"""A small engine over a small history, for tests of the API and the command line."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from doubles.control import DoubleControl
from doubles.history import PIPELINE, START, DoubleHistory
from doubles.scheduler import SchedulerDouble
from openbell.model.control import (
    BudgetStatus,
    ConflictError,
    DaemonStatus,
    EventStream,
    NotAcceptedError,
    PipelineStatus,
    RunControl,
    Submission,
    UnknownPipelineError,
    UnknownRunError,
    WorkerStatus,
)
from openbell.model.definitions import definition
from openbell.model.events import (
    ConfigReloaded,
    Event,
    LogWritten,
    NodeChanged,
    RunFinished,
    RunStarted,
    StoredEvent,
)
from openbell.model.ids import IdSource
from openbell.model.letters import DeadLetter, UnknownLetterError
from openbell.model.pipelines import (
    Dataset,
    Deployment,
    Node,
    Pipeline,
    ProviderUse,
)
from openbell.model.retries import Retry
from openbell.model.runs import (
    LogLine,
    NodeRecord,
    NodeState,
    RunRecord,
    RunState,
    StoredLogLine,
    Totals,
    WorkflowRecord,
)
from openbell.model.tracking import NodeTrack, TurnWait
from openbell.sdk.errors import Problem, SettingsError
from openbell.sdk.values import to_us

SECRET = "hunter2-very-secret"
DEPLOYMENT = Deployment(
    source="/etc/openbell/openbell.yaml",
    profile="dev",
    digest="d" * 8,
    providers={
        "vendor": ProviderUse(
            name="vendor",
            type="synthetic",
            settings={"api_key": SECRET, "url": f"https://me:{SECRET}@vendor.test/x"},
        )
    },
    datasets={
        "bars": Dataset(
            name="bars",
            provider="vendor",
            schema="bars_ohlcv",
            symbols=("AAPL",),
            interval="1d",
            calendar="XNYS",
        )
    },
    pipelines={PIPELINE.name: PIPELINE},
    secrets=(SECRET,),
)


class DoubleEngine:
    """Accepts runs and lets the test say what becomes of them."""

    def __init__(self) -> None:
        self.deployment = DEPLOYMENT
        self.history = DoubleHistory()
        self.scheduler = SchedulerDouble()
        self.state = "running"
        self.paused: set[str] = set()
        self.stops: list[bool] = []
        self.submissions: list[Submission] = []
        self.asked_by: list[str] = []
        self.retries: list[Retry | None] = []
        self._ids = IdSource(secrets.randbits)
        self._now_us = to_us(START)
        self._subscribers: list[MemoryObjectSendStream[StoredEvent | Event]] = []

    def status(self) -> DaemonStatus:
        return DaemonStatus(
            state=self.state,
            pid=1,
            version="0.1.0",
            started_at=START,
            config_source=self.deployment.source,
            config_digest=self.deployment.digest,
            profile="dev",
            state_dir="/var/lib/openbell",
            active_runs=0,
            queued_runs=0,
            pipelines=1,
            parked=0,
            workers=1,
        )

    def pipelines(self) -> Sequence[PipelineStatus]:
        return [self._pipeline(name) for name in sorted(self.history.definitions)]

    def workers(self) -> Sequence[WorkerStatus]:
        return [
            WorkerStatus(pid=7, state="idle", started_at=START, task_count=2, memory_bytes=1 << 20)
        ]

    def budgets(self) -> Sequence[BudgetStatus]:
        return [
            BudgetStatus(
                provider="vendor",
                tokens=4.5,
                burst=10,
                requests_per_minute=40.0,
                resting_until=None,
                waiting=0,
                request_count=12,
                violation_count=0,
            )
        ]

    async def submit(self, submission: Submission) -> RunRecord:
        if self.state != "running":
            raise NotAcceptedError(f"the daemon is {self.state}")
        if submission.pipeline not in self.history.definitions:
            raise UnknownPipelineError(submission.pipeline, list(self.history.definitions))
        if "boom" in submission.params:
            raise RuntimeError(f"a bug that mentions {SECRET}")
        if "wrong" in submission.params:
            raise SettingsError([Problem(message="is no number", key="params.wrong", hint="mend")])
        key = submission.idempotency_key
        if key and (earlier := await self.history.submission(key)):
            return earlier
        self.submissions.append(submission)
        self._now_us += 1000
        run = RunRecord(
            run_id=self._ids.run(self._now_us),
            job_id=self._ids.job(self._now_us),
            pipeline=submission.pipeline,
            workflow_version=1,
            mode="backfill",
            state=RunState.QUEUED,
            params=dict(submission.params),
            submitted_at=START,
            session=submission.session.isoformat() if submission.session else None,
            origin=submission.origin,
            dry_run=submission.dry_run,
        )
        self.history.run_records[run.run_id] = run
        for node in PIPELINE.nodes:
            self.history.node_records[run.run_id, node.name] = NodeRecord(
                run_id=run.run_id, node=node.name, op=node.op, state=NodeState.PENDING
            )
        if key:
            self.history.keys[key] = run.run_id
        return run

    async def start(self, run_id: str) -> None:
        self._change(run_id, state=RunState.RUNNING, started_at=START)
        await self.emit(RunStarted(at=START, run_id=run_id, pipeline=PIPELINE.name))

    async def finish(self, run_id: str, state: RunState = RunState.SUCCESS) -> None:
        totals = {
            "fetch": Totals(rows_in=10, rows_out=10),
            "check": Totals(rows_in=10, rows_out=8, verdict="quarantine"),
            "publish": Totals(rows_in=8, rows_written=7, rows_unchanged=1),
            "hold": Totals(rows_in=2, rows_quarantined=2),
        }
        for name, total in totals.items():
            node = self.history.node_records[run_id, name]
            self.history.node_records[run_id, name] = replace(
                node, state=NodeState.SUCCESS, attempts=1, totals=total
            )
        self._change(run_id, state=state, started_at=START, finished_at=START.replace(minute=1))
        finished = RunFinished(
            at=START,
            run_id=run_id,
            pipeline=PIPELINE.name,
            job=PIPELINE.name,
            state=state,
            duration_s=60.0,
        )
        await self.emit(finished)

    async def log(self, run_id: str, *texts: str) -> None:
        lines = [LogLine(at=START, stream="stdout", level="info", text=text) for text in texts]
        for line in lines:
            number = len(self.history.lines) + 1
            stored = StoredLogLine(id=number, node="fetch", attempt=1, line=line)
            self.history.lines.append((run_id, stored))
        written = LogWritten(
            at=START, run_id=run_id, pipeline=PIPELINE.name, node="fetch", attempt=1, lines=lines
        )
        await self.emit(written)

    async def change_node(self, run_id: str) -> None:
        changed = NodeChanged(
            at=START, run_id=run_id, pipeline=PIPELINE.name, node="fetch", state=NodeState.RUNNING
        )
        await self.emit(changed)

    async def emit(self, event: Event) -> None:
        seen: StoredEvent | Event = event
        if event.durable:
            (seen,) = await self.history.record(event)
        for subscriber in list(self._subscribers):
            try:
                subscriber.send_nowait(seen)
            except anyio.WouldBlock:
                subscriber.close()
                self._subscribers.remove(subscriber)

    async def cancel(self, run_or_job_id: str, *, by: str) -> RunRecord:
        self.asked_by.append(by)
        run = self._find(run_or_job_id)
        if run.state.is_final:
            raise ConflictError(f"run {run.run_id} has ended already: {run.state}")
        return self._change(run.run_id, cancel_requested=True)

    async def retry(self, run_or_job_id: str, *, by: str, how: Retry | None = None) -> RunRecord:
        self.retries.append(how)
        run = self._find(run_or_job_id)
        if not run.state.is_final:
            raise ConflictError(
                f"run {run.run_id} is {run.state}; only an ended run can be retried"
            )
        again = await self.submit(Submission(pipeline=run.pipeline, origin=by))
        return self._change(again.run_id, retry_of=run.run_id)

    def queue(self, pipeline: str) -> tuple[Sequence[str], Sequence[str]]:
        del pipeline
        return (), ()

    def tracks(self, run_id: str) -> Mapping[str, NodeTrack]:
        del run_id
        return {}

    def turns(self) -> Sequence[TurnWait]:
        return ()

    async def replay(self, letter_id: str, *, by: str) -> RunRecord:
        raise UnknownLetterError(letter_id)

    async def purge(self, letter_id: str, *, by: str) -> DeadLetter:
        raise UnknownLetterError(letter_id)

    async def define(self, document: Mapping[str, Any]) -> WorkflowRecord:
        for name, node in document["nodes"].items():
            if "op" not in node:
                problem = Problem(message="the key `op` is missing", key=f"nodes.{name}.op")
                raise SettingsError([problem])
        pipeline = Pipeline(
            name=document["name"],
            nodes=tuple(Node(name=name, op=node["op"]) for name, node in document["nodes"].items()),
        )
        record = WorkflowRecord(
            name=pipeline.name,
            version=1,
            fingerprint="f" * 8,
            definition=definition(pipeline),
            created_at=START,
            active=True,
        )
        self.history.definitions[pipeline.name] = record
        return record

    @property
    def control(self) -> RunControl:
        return DoubleControl(self._find, self._change, self.history.nodes, self.asked_by)

    async def pause_all(self, *, by: str) -> Sequence[PipelineStatus]:
        self.asked_by.append(by)
        self.paused |= set(self.history.definitions)
        return self.pipelines()

    async def resume_all(self, *, by: str) -> Sequence[PipelineStatus]:
        self.asked_by.append(by)
        self.paused.clear()
        return self.pipelines()

    async def pause(self, pipeline: str, *, by: str = "") -> PipelineStatus:
        self._known(pipeline)
        self.paused.add(pipeline)
        return self._pipeline(pipeline)

    async def resume(self, pipeline: str, *, by: str = "") -> PipelineStatus:
        self._known(pipeline)
        self.paused.discard(pipeline)
        return self._pipeline(pipeline)

    async def reload(self) -> ConfigReloaded:
        return ConfigReloaded(at=START, digest="e" * 8, changed=(PIPELINE.name,))

    def request_stop(self, *, fast: bool) -> None:
        self.stops.append(fast)
        self.state = "stopping" if fast else "draining"

    @contextmanager
    def subscribe(self, *, capacity: int = 1000) -> Iterator[EventStream]:
        sender, receiver = anyio.create_memory_object_stream[StoredEvent | Event](capacity)
        self._subscribers.append(sender)
        try:
            with receiver:
                yield receiver
        finally:
            sender.close()
            if sender in self._subscribers:
                self._subscribers.remove(sender)

    @property
    def subscriber_count(self) -> int:
        return len(self._subscribers)

    def _find(self, run_or_job_id: str) -> RunRecord:
        for run in self.history.run_records.values():
            if run_or_job_id in {run.run_id, run.job_id}:
                return run
        raise UnknownRunError(run_or_job_id)

    def _change(self, run_id: str, **changes: Any) -> RunRecord:
        self.history.run_records[run_id] = replace(self.history.run_records[run_id], **changes)
        return self.history.run_records[run_id]

    def _known(self, name: str) -> None:
        if name not in self.history.definitions:
            raise UnknownPipelineError(name, list(self.history.definitions))

    def _pipeline(self, name: str) -> PipelineStatus:
        return PipelineStatus(
            name=name,
            state="paused" if name in self.paused else "active",
            mode="backfill",
            job=name,
            version=1,
            node_count=4,
            active_runs=0,
            queued_runs=0,
            schedule=tuple(use.expression for use in PIPELINE.schedule),
        )
