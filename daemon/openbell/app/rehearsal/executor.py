"""Workers played by chance: what the configuration declares, or what the data would imply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import anyio
import anyio.lowlevel

from openbell.app.rehearsal.chance import chance
from openbell.app.rehearsal.shape import REQUEST_S, ROWS_PER_S, request_count, row_count
from openbell.execution.chains import is_open
from openbell.execution.pool import Listener, PoolLimits, StopSignal
from openbell.execution.protocol import (
    CallTask,
    ChainTask,
    Done,
    Failed,
    NodeEnd,
    NodeTask,
)
from openbell.model.control import WorkerStatus
from openbell.model.pipelines import Pacing, Pipeline, Rehearsal
from openbell.model.runs import Totals
from openbell.pacing.broker import PacingBroker
from openbell.sdk.clock import Clock

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

    def use(self, pipelines: Mapping[str, Pipeline], pacing: Mapping[str, Pacing]) -> None:
        """Play these pipelines, with these budgets of providers."""
        self._pipelines = pipelines
        self._pacing = pacing

    def status(self) -> Sequence[WorkerStatus]:
        """Return no workers: there are no processes."""
        return ()

    def resize(self, limits: PoolLimits) -> None:
        """Take note of nothing: there are no processes."""

    async def submit(
        self, task: ChainTask | CallTask, listener: Listener, stop: StopSignal
    ) -> tuple[Done | Failed, int]:
        """Let an attempt take its time, and say how it ended."""
        del listener
        if isinstance(task, CallTask):
            return Done(), _PID
        if task.live:
            await stop.wait()
            return Done(ends=self._ends(task, 0), is_interrupted=stop.is_interrupt), _PID
        rows = row_count(task.dataset)
        for node in task.nodes:
            declared = self._declared(task.pipeline, node.name)
            await self._pass(task, node, rows, declared)
            if declared is not None and self._fails(task, node, declared):
                return _failure(node, self._ends(task, 0)), _PID
        return Done(ends=self._ends(task, rows)), _PID

    def _declared(self, pipeline: str, node: str) -> Rehearsal | None:
        return self._pipelines[pipeline].rehearsal.get(node)

    def _fails(self, task: ChainTask, node: NodeTask, declared: Rehearsal) -> bool:
        if not declared.fail_rate:
            return False
        run = self._whose_run(task.run_id)
        return chance(self._seed, run, node.name, task.attempt) < declared.fail_rate

    async def _pass(
        self, task: ChainTask, node: NodeTask, rows: int, declared: Rehearsal | None
    ) -> None:
        """Let a node take its time: declared, a part of the pipeline's, or by its work."""
        if declared is not None:
            duration_s = declared.duration_s
        else:
            pipeline = self._pipelines[task.pipeline]
            if pipeline.expected_s is not None:
                duration_s = pipeline.expected_s / len(pipeline.nodes)
            elif node.op == "ingest":
                duration_s = await self._requests(task, rows) * REQUEST_S
            else:
                duration_s = rows / ROWS_PER_S
        if duration_s > 0:
            await self._clock.sleep(duration_s)

    async def _requests(self, task: ChainTask, rows: int) -> int:
        """Wait for the provider's budget as often as a fetch would; return how often."""
        count = request_count(task.dataset, rows)
        provider = task.dataset.provider
        pacing = self._pacing.get(provider)
        if pacing is not None and pacing.requests_per_minute is not None:
            for _ in range(count):
                await self._broker.acquire(provider)
        else:
            await anyio.lowlevel.checkpoint()
        return count

    def _ends(self, task: ChainTask, rows: int) -> dict[str, NodeEnd]:
        """Return how the nodes of a chain stand once `rows` rows came from its source."""
        ends: dict[str, NodeEnd] = {}
        for node in task.nodes:
            is_reached = all(
                ends[needed].was_reached and is_open(outcomes, ends[needed].outcome)
                for needed, outcomes in node.needs.items()
            )
            declared = self._declared(task.pipeline, node.name)
            ends[node.name] = _end(node, rows if is_reached else 0, is_reached, declared)
        return ends


def _end(node: NodeTask, rows: int, is_reached: bool, declared: Rehearsal | None) -> NodeEnd:
    outcome = declared.outcome if declared else _SUCCESS
    match node.op:
        case "ingest":
            totals = Totals(rows_in=rows, rows_out=rows)
        case "gate":
            outcome = "pass" if outcome == _SUCCESS else outcome
            is_held = outcome == "fail"
            totals = Totals(rows_in=rows, rows_out=0 if is_held else rows, verdict=outcome)
        case "write":
            totals = Totals(rows_in=rows, rows_out=rows, rows_written=rows)
        case "quarantine":
            totals = Totals(rows_in=rows, rows_quarantined=rows)
        case _:
            totals = _NOTHING
    return NodeEnd(outcome=outcome, was_reached=is_reached, totals=totals)


def _failure(node: NodeTask, ends: dict[str, NodeEnd]) -> Failed:
    return Failed(
        node=node.name,
        kind="transient",
        message="this attempt fails in the rehearsal (fail_rate)",
        traceback="",
        is_retryable=True,
        ends=ends,
    )
