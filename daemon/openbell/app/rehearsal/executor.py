"""Workers played by chance: what the configuration declares, or what the data would imply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from openbell.app.rehearsal.answers import asked_for
from openbell.app.rehearsal.chance import chance
from openbell.app.rehearsal.memory import commit_key
from openbell.app.rehearsal.shape import REQUEST_S, ROWS_PER_S, request_count, row_count
from openbell.execution.chains import is_open
from openbell.execution.pool import Listener, PoolLimits, StopSignal
from openbell.execution.protocol import (
    CallTask,
    ChainTask,
    ChunkDone,
    DatasetTask,
    Done,
    Failed,
    NodeCall,
    NodeEnd,
    NodeTask,
    Task,
)
from openbell.model.control import WorkerStatus
from openbell.model.pipelines import Pacing, Pipeline, Rehearsal
from openbell.model.runs import Totals
from openbell.pacing.broker import PacingBroker
from openbell.sdk.clock import Clock
from openbell.sdk.values import Interval, Receipt, from_us

_PID = 1
_NOTHING = Totals()
_SUCCESS = Rehearsal().outcome

WhoseRun = Callable[[str], str]
"""Return what names a run whatever its id is: the pipeline and the fire that began it."""


class RehearsedWorkers:
    """An executor and its workers. Nothing is fetched, checked or written: time passes.

    Whether an attempt fails depends on the seed, the run's meaning, the node and the attempt's
    number, so the order in which things happen does not matter.
    """

    def __init__(
        self, clock: Clock, broker: PacingBroker, *, seed: int, whose_run: WhoseRun
    ) -> None:
        self._clock = clock
        self._broker = broker
        self._seed = seed
        self._whose_run = whose_run
        self._pipelines: Mapping[str, Pipeline] = {}
        self._pacing: Mapping[str, Pacing] = {}
        self._asked_for: frozenset[str] = frozenset()

    def use(self, pipelines: Mapping[str, Pipeline], pacing: Mapping[str, Pacing]) -> None:
        """Play these pipelines, with these budgets of providers."""
        self._pipelines = pipelines
        self._asked_for = asked_for(pipelines.values())
        self._pacing = pacing

    def status(self) -> Sequence[WorkerStatus]:
        """Return no workers: there are no processes."""
        return ()

    def resize(self, limits: PoolLimits) -> None:
        """Take note of nothing: there are no processes."""

    async def submit(
        self, task: Task, listener: Listener, stop: StopSignal
    ) -> tuple[Done | Failed, int]:
        """Let an attempt take its time, and say how it ended."""
        del listener
        match task:
            case CallTask():
                return Done(), _PID
            case NodeCall():
                return await self._call(task), _PID
            case ChainTask():
                return await self._chain(task, stop), _PID

    async def _call(self, task: NodeCall) -> Done | Failed:
        node = task.node
        declared = self._pipelines[task.pipeline].rehearsal.get(node.name)
        await self._pass(await self._duration_s(task, node, None, 0))
        if self._fails(task, node, declared):
            return _failure(node, {})
        outcome = declared.outcome if declared else _SUCCESS
        end = NodeEnd(outcome=outcome, was_reached=True, totals=_NOTHING)
        made: dict[str, Any] = {"kind": "value", "value": [outcome]}
        return Done(ends={node.name: end}, outputs={node.name: made})

    async def _chain(self, task: ChainTask, stop: StopSignal) -> Done | Failed:
        if task.live:
            await stop.wait()
            return Done(ends=self._ends(task, 0), is_interrupted=stop.is_interrupt)
        rows = row_count(task.dataset)
        declared = self._pipelines[task.pipeline].rehearsal
        duration_s = 0.0
        failed: NodeTask | None = None
        for node in task.nodes:
            duration_s += await self._duration_s(task, node, task.dataset, rows)
            if self._fails(task, node, declared.get(node.name)):
                failed = node
                break
        await self._pass(duration_s)
        if failed is not None:
            return _failure(failed, self._ends(task, 0))
        outputs: dict[str, dict[str, Any]] = {
            name: {"kind": "spool", "path": path, "rows": rows} for name, path in task.spool.items()
        }
        ends = self._ends(task, rows)
        return Done(ends=ends, outputs=outputs, held=self._commits(task, ends))

    def _commits(self, task: ChainTask, ends: Mapping[str, NodeEnd]) -> tuple[ChunkDone, ...]:
        """Return what a chain committed, if anybody waits for sessions of such a dataset."""
        receipts: dict[str, Receipt] = {}
        now = self._clock.now()
        for node in task.nodes:
            dataset = str(node.maker.settings.get("dataset") or task.dataset.dataset)
            is_told = dataset in self._asked_for and ends[node.name].was_reached
            if node.op == "write" and is_told and not task.dry_run:
                key = commit_key(task.run_id, node.name)
                rows = ends[node.name].totals.rows_written
                receipts[node.name] = _receipt(task.dataset, dataset, key=key, rows=rows, at=now)
        if not receipts:
            return ()
        totals = {name: end.totals for name, end in ends.items()}
        chunk = ChunkDone(
            next_chunk=1, cursor="", totals=totals, receipts=receipts, write_duration_s=0.0
        )
        return (chunk,)

    def _fails(
        self, task: ChainTask | NodeCall, node: NodeTask, declared: Rehearsal | None
    ) -> bool:
        if declared is None or not declared.fail_rate:
            return False
        item = task.item_number if isinstance(task, NodeCall) else -1
        run = self._whose_run(task.run_id)
        return chance(self._seed, run, node.name, item, task.attempt) < declared.fail_rate

    async def _pass(self, duration_s: float) -> None:
        if duration_s > 0:
            await self._clock.sleep(duration_s)

    async def _duration_s(
        self, task: ChainTask | NodeCall, node: NodeTask, dataset: DatasetTask | None, rows: int
    ) -> float:
        """Return a node's time: declared, a part of the pipeline's, or by its work.

        Budgets of providers are waited for here.
        """
        pipeline = self._pipelines[task.pipeline]
        declared = pipeline.rehearsal.get(node.name)
        if declared is not None:
            return declared.duration_s
        if pipeline.expected_s is not None:
            return pipeline.expected_s / len(pipeline.nodes)
        if dataset is not None and node.op == "ingest":
            return await self._requests(dataset, rows) * REQUEST_S
        return rows / ROWS_PER_S

    async def _requests(self, dataset: DatasetTask, rows: int) -> int:
        """Wait for the provider's budget as often as a fetch would; return how often."""
        count = request_count(dataset, rows)
        pacing = self._pacing.get(dataset.provider)
        if pacing is not None and pacing.requests_per_minute is not None:
            for _ in range(count):
                await self._broker.acquire(dataset.provider)
        return count

    def _ends(self, task: ChainTask, rows: int) -> dict[str, NodeEnd]:
        """Return how the nodes of a chain stand once `rows` rows came from its source."""
        rehearsal = self._pipelines[task.pipeline].rehearsal
        ends: dict[str, NodeEnd] = {}
        for node in task.nodes:
            is_reached = True
            for needed, outcomes in node.needs.items():
                end = ends[needed]
                is_reached = is_reached and end.was_reached and is_open(outcomes, end.outcome)
            declared = rehearsal.get(node.name)
            outcome = declared.outcome if declared else _SUCCESS
            if node.op == "gate" and outcome == _SUCCESS:
                outcome = "pass"
            totals = _totals(node.op, rows, outcome) if is_reached else _NOTHING
            ends[node.name] = NodeEnd(outcome=outcome, was_reached=is_reached, totals=totals)
        return ends


def _totals(op: str, rows: int, outcome: str) -> Totals:
    match op:
        case "gate":
            passed = 0 if outcome == "fail" else rows
            return Totals(rows_in=rows, rows_out=passed, verdict=outcome)
        case "write":
            return Totals(rows_in=rows, rows_out=rows, rows_written=rows)
        case "quarantine":
            return Totals(rows_in=rows, rows_quarantined=rows)
        case _:
            return Totals(rows_in=rows, rows_out=rows)


def _receipt(task: DatasetTask, dataset: str, *, key: str, rows: int, at: datetime) -> Receipt:
    return Receipt(
        key=key,
        dataset=dataset,
        interval=Interval(from_us(task.start_us), from_us(task.end_us)),
        row_count=rows,
        written_count=rows,
        unchanged_count=0,
        size_bytes=0,
        digest="",
        version=1,
        committed_at=at,
    )


def _failure(node: NodeTask, ends: dict[str, NodeEnd]) -> Failed:
    return Failed(
        node=node.name,
        kind="transient",
        message="this attempt fails in the rehearsal (fail_rate)",
        traceback="",
        is_retryable=True,
        ends=ends,
    )
