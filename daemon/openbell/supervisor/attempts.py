"""One attempt of a chain: started, listened to, and put on record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import anyio
import msgspec

from openbell.execution.last_words import LastWords
from openbell.execution.pool import StopSignal
from openbell.execution.process import WorkerLostError
from openbell.execution.protocol import (
    Ask,
    Beat,
    ChainTask,
    ChunkDone,
    Done,
    Failed,
    Found,
    FrameError,
    FromWorker,
    Logged,
    NodeCall,
    Progressed,
)
from openbell.model.events import (
    AttemptFinished,
    AttemptStarted,
    BatchCommitted,
    Event,
    LogWritten,
    NodeBeat,
    NodeProgressed,
    ProviderRequested,
    QualityChecked,
)
from openbell.model.history import RecordRefusedError
from openbell.model.pipelines import Node, RetryPolicy
from openbell.model.runs import Checkpoint, IllegalStepError, Totals
from openbell.sdk.errors import PluginError
from openbell.supervisor.deadline import deadline
from openbell.supervisor.lost import lost, overtime, unheard
from openbell.supervisor.patience import REFUSALS, Patience
from openbell.supervisor.services import Services
from openbell.supervisor.totals import added

_CLEANUP_S = 10.0


def _calendar_of(task: ChainTask | NodeCall) -> dict[str, str]:
    if isinstance(task, NodeCall):
        return {}
    sessions = task.dataset.sessions
    return {"calendar": sessions.calendar, "calendar_digest": sessions.digest}


def _costs(ended: Done | Failed | None) -> dict[str, Any]:
    if ended is None:
        return {}
    return {
        "cpu_s": ended.cpu_s,
        "peak_memory_bytes": ended.peak_memory_bytes,
        "io_read_bytes": ended.io_read_bytes,
        "io_written_bytes": ended.io_written_bytes,
    }


def _trouble(failed: Failed | None) -> dict[str, Any]:
    if failed is None:
        return {}
    return {"error_kind": failed.kind, "error": failed.message, "traceback": failed.traceback}


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptResult:
    """How attempt `number` ended. `failed` is None for success; `totals` are over all attempts.

    `unrecorded` says so, and is recorded together with what follows from that.
    """

    done: Done | None
    failed: Failed | None
    totals: Mapping[str, Totals]
    made_progress: bool
    number: int
    unrecorded: tuple[Event, ...] = ()


class Attempt:
    """Listens to one attempt's worker, answers it, and records what it reports.

    `checkpoint` is how far the unit came, this attempt included.
    """

    def __init__(
        self,
        services: Services,
        task: ChainTask | NodeCall,
        *,
        job: str,
        policy: RetryPolicy,
        checkpoint: Checkpoint | None,
    ) -> None:
        self._services = services
        self._task = task
        self._job = job
        self._words = LastWords()
        self._last_beat: Beat | None = None
        self._item = task.item_number if isinstance(task, NodeCall) else -1
        self._given = self.checkpoint = checkpoint
        self._before: Mapping[str, Totals] = checkpoint.totals if checkpoint else {}
        self._source = task.nodes[0].name if isinstance(task, ChainTask) else task.node.name
        self._first_chunk = task.first_chunk if isinstance(task, ChainTask) else 0
        self._provider = task.dataset.provider if isinstance(task, ChainTask) else ""
        self._patience = Patience(services, policy)

    async def run(self, stop: StopSignal, limit: Node | None = None) -> AttemptResult:
        """Run the attempt, whose `opening` is on record, to its end; `limit` has its timeout.

        How it ended is for the caller to record: see `AttemptResult.unrecorded`.

        Cancelled: the worker is ended, and the attempt is recorded as interrupted; if the disk
        takes nothing then, whoever takes up the run does so.
        """
        clock = self._services.clock
        began_s = clock.monotonic()
        try:
            answer, pid = await self._submit(stop, limit)
        except BaseException:
            with anyio.move_on_after(_CLEANUP_S, shield=True):
                await self._services.journal.attempt(self._finished("interrupted", began_s))
            raise
        if isinstance(answer, Failed):
            answer = self._redacted(answer)
            if answer.kind in REFUSALS and self._provider:
                self._services.broker.refused(self._provider, answer.retry_after_s)
            finished = self._finished("failed", began_s, failed=answer, pid=pid)
            return self._result(None, answer, finished)
        if answer.is_interrupted:
            finished = self._finished("interrupted", began_s, done=answer, pid=pid)
            return self._result(answer, None, finished)
        held = [self._committed(chunk, clock.now()) for chunk in answer.held]
        finished = self._finished("success", began_s, done=answer, pid=pid)
        return self._result(answer, None, *held, finished)

    async def _submit(
        self, stop: StopSignal, limit: Node | None
    ) -> tuple[Done | Failed, int | None]:
        if limit is None or limit.timeout_s is None:
            return await self._unlimited(stop)
        answers: list[tuple[Done | Failed, int | None]] = []
        async with deadline(self._services.clock, limit.timeout_s):
            answers.append(await self._unlimited(stop))
        if answers:
            return answers[0]
        await self._log_unheard()
        return overtime(limit, self._words, beat=self._last_beat), None

    async def _log_unheard(self) -> None:
        """Put on record what a worker wrote before it died and nobody heard."""
        lines = unheard(self._words, self._services.clock.now())
        if lines:
            node = self._words.at_work[0] if self._words.at_work else self._source
            await self.hear(Logged(node=node, lines=tuple(lines)))

    def left_behind(self, words: LastWords) -> None:
        """Keep what is known of a worker that did not live to say how it ended."""
        self._words = words

    async def _unlimited(self, stop: StopSignal) -> tuple[Done | Failed, int | None]:
        try:
            return await self._services.executor.submit(self._task, self, stop)
        except WorkerLostError as error:
            failed = lost(error, self._words, head=self._source, beat=self._last_beat)
            await self._log_unheard()
            return failed, error.pid
        except (RecordRefusedError, IllegalStepError, FrameError) as refused:
            return self._refused(refused), None

    def _redacted(self, failed: Failed) -> Failed:
        """Return a failure without secrets: a vendor's error may quote the request it got."""
        redact = self._services.redact
        return msgspec.structs.replace(
            failed, message=redact(failed.message), traceback=redact(failed.traceback)
        )

    def _refused(self, error: Exception) -> Failed:
        return Failed(
            node=self._source,
            kind=PluginError.kind,
            message=str(error),
            traceback="",
            is_retryable=False,
        )

    def _result(
        self, done: Done | None, failed: Failed | None, *unrecorded: Event
    ) -> AttemptResult:
        ended = done or failed
        assert ended is not None
        totals = {
            name: added(self._before.get(name), end.totals) for name, end in ended.ends.items()
        }
        return AttemptResult(
            done=done,
            failed=failed,
            totals=totals,
            made_progress=self.checkpoint is not None and self.checkpoint is not self._given,
            number=self._task.attempt,
            unrecorded=unrecorded,
        )

    def opening(self) -> AttemptStarted:
        """Return what says that the attempt begins."""
        return AttemptStarted(
            at=self._services.clock.now(),
            attempt_id=self._task.attempt_id,
            run_id=self._task.run_id,
            pipeline=self._task.pipeline,
            node=self._source,
            number=self._task.attempt,
            item=self._item,
            **_calendar_of(self._task),
        )

    def _finished(
        self,
        state: str,
        began_s: float,
        *,
        done: Done | None = None,
        failed: Failed | None = None,
        pid: int | None = None,
    ) -> AttemptFinished:
        clock = self._services.clock
        return AttemptFinished(
            at=clock.now(),
            attempt_id=self._task.attempt_id,
            run_id=self._task.run_id,
            pipeline=self._task.pipeline,
            node=failed.node if failed else self._source,
            number=self._task.attempt,
            item=self._item,
            state=state,
            duration_s=clock.monotonic() - began_s,
            worker_pid=pid,
            **_costs(done or failed),
            **_trouble(failed),
        )

    async def _record(self, *events: Event) -> None:
        await self._services.journal.insist(*events)

    async def hear(self, message: FromWorker) -> None:
        """Put what the worker reports on record."""
        redact = self._services.redact
        task, now = self._task, self._services.clock.now()
        match message:
            case Beat():
                self._last_beat = message
                await self._record(self._beat(message, now))
            case ChunkDone():
                committed = self._committed(message, now)
                await self._record(committed)
                self.checkpoint = Checkpoint(
                    run_id=task.run_id,
                    node=self._source,
                    next_chunk=message.next_chunk,
                    cursor=message.cursor,
                    totals=committed.totals,
                )
            case Progressed():
                await self._record(*self._progressed(message, now))
            case Found():
                await self._record(
                    QualityChecked(
                        at=now,
                        run_id=task.run_id,
                        pipeline=task.pipeline,
                        node=message.node,
                        chunk=message.chunk,
                        verdict=message.verdict,
                        findings=message.findings,
                    )
                )
            case Logged():
                await self._record(
                    LogWritten(
                        at=now,
                        run_id=task.run_id,
                        pipeline=task.pipeline,
                        node=message.node,
                        attempt=task.attempt,
                        lines=[replace(line, text=redact(line.text)) for line in message.lines],
                        item=self._item,
                    )
                )
            case _:
                raise AssertionError(f"not a report: {message}")

    def _committed(self, message: ChunkDone, now: datetime) -> BatchCommitted:
        return BatchCommitted(
            at=now,
            run_id=self._task.run_id,
            pipeline=self._task.pipeline,
            node=self._source,
            next_chunk=message.next_chunk,
            cursor=message.cursor,
            totals={
                name: added(self._before.get(name), totals)
                for name, totals in message.totals.items()
            },
            receipts=message.receipts,
            job=self._job,
            provider=self._provider,
            write_duration_s=message.write_duration_s,
        )

    def _beat(self, message: Beat, now: datetime) -> NodeBeat:
        return NodeBeat(
            at=now,
            run_id=self._task.run_id,
            pipeline=self._task.pipeline,
            node=self._source,
            cpu_s=message.cpu_s,
            memory_bytes=message.memory_bytes,
            io_read_bytes=message.io_read_bytes,
            io_written_bytes=message.io_written_bytes,
        )

    def _progressed(self, message: Progressed, now: datetime) -> tuple[Event, ...]:
        before = self._before.get(message.node)
        progressed = NodeProgressed(
            at=now,
            run_id=self._task.run_id,
            pipeline=self._task.pipeline,
            node=message.node,
            rows=message.rows + (before.rows_out if before else 0),
            batches=message.batches + self._first_chunk,
            total_rows=message.total_rows,
        )
        if not message.request_count:
            return (progressed,)
        requested = ProviderRequested(
            at=now,
            provider=self._provider,
            status="ok",
            request_count=message.request_count,
        )
        return progressed, requested

    async def answer(self, question: Ask, stop: StopSignal) -> tuple[bool, int]:
        """Let the worker wait for a budget, an instant or a retry, or until it is to stop."""
        return await self._patience.answer(question, stop)
