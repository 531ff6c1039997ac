"""Runs one attempt of a chain: chunks go from the source through every node, one at a time.

The source works in a thread of its own, one chunk ahead, so that fetching chunk n + 1 overlaps
checking and writing chunk n.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Full, Queue
from typing import TYPE_CHECKING, Any

from openbell.execution.black_box import NOTHING, Page, mark_of
from openbell.execution.chains import REFUSALS, is_open
from openbell.execution.protocol import ChainTask, ChunkDone, Done, NodeEnd, NodeTask
from openbell.execution.worker.chain_spool import ChunkSpool
from openbell.execution.worker.channel import FORKED_EXIT
from openbell.execution.worker.context import (
    TaskResources,
    WorkerContext,
    dataset_context,
    resolve,
    settings_of,
)
from openbell.execution.worker.outputs import Output
from openbell.execution.worker.replay import ReplaySource
from openbell.execution.worker.surroundings import Terminated
from openbell.model.runs import Totals
from openbell.sdk.arrow import chunk_schema
from openbell.sdk.operators import Chunk, Emission, NodeOutcome, Operator
from openbell.sdk.values import Receipt

if TYPE_CHECKING:
    from openbell.sdk.operators import DatasetContext, Source

_AHEAD = 1
_POLL_S = 0.1
_JOIN_S = 5.0


class NodeError(Exception):
    """Carries the name of the node whose code raised; the cause is the error itself."""

    def __init__(self, node: str) -> None:
        super().__init__(node)
        self.node = node


@contextmanager
def _blaming(node: str) -> Iterator[None]:
    """Raise NodeError from whatever is raised inside, unless the process is to end."""
    try:
        yield
    except Terminated:
        raise
    except BaseException as error:
        raise NodeError(node) from error


@dataclass(slots=True)
class _Step:
    """A node at work."""

    task: NodeTask
    operator: Operator
    was_reached: bool = False
    receipts_seen: str = ""
    next: list[tuple[_Step, tuple[str, ...]]] = field(default_factory=list)
    spool: ChunkSpool | None = None


@dataclass(frozen=True, slots=True)
class _End:
    """The source's last word: nothing more, or an error."""

    error: BaseException | None


@dataclass(frozen=True, slots=True)
class _Made:
    """A chunk, and how the source stood when it had made it and not yet the next."""

    chunk: Chunk
    outcome: NodeOutcome


class _Ahead:
    """Makes the source's chunks in a thread, at most one ahead of who takes them."""

    def __init__(self, source: Source, is_at_work: Callable[[bool], None]) -> None:
        self._source = source
        self._say_at_work = is_at_work
        self._pid = os.getpid()
        self._made: Queue[_Made | _End] = Queue(maxsize=_AHEAD)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="source", daemon=True)

    def chunks(self) -> Iterator[_Made]:
        """Yield the chunks; raises here what the source raised there."""
        self._thread.start()
        while True:
            item = self._made.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            self._say_at_work(True)
            for chunk in self._source.produce():
                made = _Made(chunk, self._source.outcome())
                self._say_at_work(False)
                if not self._put(made):
                    return
                self._say_at_work(True)
        except BaseException as raised:  # noqa: BLE001 - travels to the thread that takes chunks
            error = raised
        self._say_at_work(False)
        self._put(_End(error))

    def _put(self, item: _Made | _End) -> bool:
        if os.getpid() != self._pid:
            os._exit(FORKED_EXIT)
        while not self._is_over.is_set():
            try:
                self._made.put(item, timeout=_POLL_S)
            except Full:
                continue
            return True
        return False

    def close(self) -> bool:
        """End the thread; return whether it did end, soon enough."""
        self._is_over.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=_JOIN_S)
        return not self._thread.is_alive()


def totals_of(outcome: NodeOutcome, *, is_gate: bool) -> Totals:
    """Return a node's numbers as history keeps them."""
    return Totals(
        rows_in=outcome.rows_in,
        rows_out=outcome.rows_out,
        rows_written=outcome.rows_written,
        rows_unchanged=outcome.rows_unchanged,
        rows_quarantined=outcome.rows_quarantined,
        size_bytes=outcome.size_bytes,
        verdict=outcome.outcome if is_gate else None,
    )


class ChainRun:
    """One attempt of a chain in this process."""

    def __init__(self, task: ChainTask, resources: TaskResources, page: Page) -> None:
        self._task = task
        self._page = page
        self._marks = {node.name: mark_of(node.name) for node in task.nodes}
        self._marks[task.reads_node] = self._marks[task.nodes[0].name]
        self._pid = os.getpid()
        self._resources = resources
        self._steps: list[_Step] = []
        self._source: _Step | None = None
        self._write_s = 0.0
        self.is_worn = False

    def run(self) -> Done:
        """Run to the end; raises NodeError from what a node raised."""
        self._open()
        source = self._source or self._steps[0]
        head = self._marks[self._steps[0].task.name]
        ahead = _Ahead(source.operator, lambda at: self._page.say(1, head if at else NOTHING))  # type: ignore[arg-type]
        try:
            self._stream(ahead, source)
        except Exception:
            self._resources.end()
            self.is_worn = not ahead.close()
            raise
        self.is_worn = not ahead.close()
        stop = self._resources.stop
        if stop is not None and stop.is_interrupt:
            return Done(ends=self.ends(), is_interrupted=True)
        held = tuple(self._finish())
        return Done(ends=self.ends(), held=held, outputs=self._outputs())

    def _open(self) -> None:
        dataset = dataset_context(self._task)
        by_name: dict[str, _Step] = {}
        if self._task.reads is not None:
            by_name[self._task.reads_node] = self._replay(dataset, self._task.reads)
        for node in self._task.nodes:
            with self._at(node.name):
                settings = settings_of(node.maker)
                operator = resolve(node.maker.factory)(settings)
                context = WorkerContext(
                    self._task, self._resources, node=node, dataset=dataset, settings=settings
                )
                operator.open(context)
                step = _Step(task=node, operator=operator, spool=self._spool(node, dataset))
            for needed, outcomes in node.needs.items():
                by_name[needed].next.append((step, outcomes))
            by_name[node.name] = step
            self._steps.append(step)

    def _replay(self, dataset: DatasetContext, reads: dict[str, Any]) -> _Step:
        """Return the step before the first node: what the node that it needs made."""
        output = Output(
            self._task.reads_node,
            reads,
            backend=self._resources.backend,
            scratch=self._resources.spool,
        )
        source = ReplaySource(output)
        head = self._task.nodes[0]
        task = NodeTask(name=self._task.reads_node, op="", maker=head.maker, needs={})
        source.open(
            WorkerContext(self._task, self._resources, node=head, dataset=dataset, settings=None)
        )
        self._source = _Step(task=task, operator=source)
        return self._source

    def _spool(self, node: NodeTask, dataset: DatasetContext) -> ChunkSpool | None:
        path = self._task.spool.get(node.name)
        if path is None or self._task.live:
            return None
        before = self._task.spool_before.get(node.name)
        return ChunkSpool(
            node.name,
            Path(path),
            chunk_schema(dataset.table.schema),
            first_chunk=self._task.first_chunk,
            before=Path(before) if before else None,
        )

    def _outputs(self) -> dict[str, dict[str, Any]]:
        """Return references to what the nodes made, all durable now."""
        outputs: dict[str, dict[str, Any]] = {}
        for step in self._steps:
            made = step.operator.outcome().output
            if made is not None:
                outputs[step.task.name] = dict(made)
            if step.spool is not None:
                outputs[step.task.name] = step.spool.finish()
        return outputs

    def _stream(self, ahead: _Ahead, source: _Step) -> None:
        chunks, head = ahead.chunks(), self._steps[0].task.name
        while True:
            self._page.say(0, NOTHING)
            with _blaming(head):
                made = next(chunks, None)
            if made is None:
                return
            self._process(source, made.chunk)
            if not any(step.operator.is_holding() for step in self._steps):
                self._checkpoint(made)

    def _process(self, step: _Step, chunk: Chunk) -> None:
        step.was_reached = True
        with self._at(step.task.name):
            emissions = step.operator.process(chunk)
        for emission in self._guarded(step, emissions):
            self._pass_on(step, emission)

    def _guarded(self, step: _Step, emissions: Iterable[Emission]) -> Iterable[Emission]:
        """Yield emissions, so that an error in making one is the node's own."""
        name = step.task.name
        with self._at(name):
            remaining = iter(emissions)
        while True:
            with self._at(name):
                emission = next(remaining, None)
            if emission is None:
                return
            yield emission

    @contextmanager
    def _at(self, node: str) -> Iterator[None]:
        """Say that `node` is at work, and that it was, if that ends in an error.

        A process that it forked, and that comes out of it like its parent, ends here.
        """
        self._page.say(0, self._marks[node])
        with _blaming(node):
            yield
        if os.getpid() != self._pid:
            os._exit(FORKED_EXIT)

    def _pass_on(self, step: _Step, emission: Emission) -> None:
        if step.spool is not None and emission.outcome not in REFUSALS:
            step.spool.add(emission.chunk)
        for following, outcomes in step.next:
            if is_open(outcomes, emission.outcome):
                self._process(following, emission.chunk)

    def _finish(self) -> Iterator[ChunkDone]:
        """Let every node finish; yield the chunks that waited for it, once they are durable.

        They are told with the end and not before: a run that goes on must judge them all again.
        """
        for step in self._steps:
            with self._at(step.task.name):
                emissions = step.operator.finish()
            for emission in self._guarded(step, emissions):
                self._pass_on(step, emission)
                yield self._chunk_done(emission.chunk, self._steps[0].operator.outcome())

    def _checkpoint(self, made: _Made) -> None:
        for step in self._steps:
            if step.spool is not None:
                step.spool.settle(made.chunk.number)
        self._resources.channel.send(self._chunk_done(made.chunk, made.outcome))

    def _chunk_done(self, chunk: Chunk, source: NodeOutcome) -> ChunkDone:
        receipts: dict[str, Receipt] = {}
        written_s = 0.0
        totals: dict[str, Totals] = {}
        for step in self._steps:
            is_source = self._source is None and step is self._steps[0]
            outcome = source if is_source else step.operator.outcome()
            totals[step.task.name] = totals_of(outcome, is_gate=step.task.op == "gate")
            written_s += outcome.write_duration_s
            for receipt in outcome.receipts[-1:]:
                if receipt.key != step.receipts_seen:
                    step.receipts_seen = receipt.key
                    receipts[step.task.name] = receipt
        before_s, self._write_s = self._write_s, written_s
        return ChunkDone(
            next_chunk=chunk.number + 1,
            cursor=chunk.cursor,
            totals=totals,
            receipts=receipts,
            write_duration_s=written_s - before_s,
        )

    def ends(self) -> dict[str, NodeEnd]:
        """Return how each node stands; also after a failure."""
        ends = {}
        for step in self._steps:
            outcome = step.operator.outcome()
            ends[step.task.name] = NodeEnd(
                outcome=outcome.outcome,
                was_reached=step.was_reached,
                totals=totals_of(outcome, is_gate=step.task.op == "gate"),
                findings=outcome.findings,
            )
        return ends

    def closing(self) -> Iterator[Callable[[], None]]:
        """Yield what closes each node."""
        for step in self._steps:
            if step.spool is not None:
                yield step.spool.close
            yield step.operator.close
