"""Runs one attempt of a node of role `task`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openbell.execution.protocol import Done, NodeCall, NodeEnd, Progressed
from openbell.execution.worker.channel import FORKED_EXIT
from openbell.execution.worker.context import TaskResources, resolve, settings_of
from openbell.execution.worker.lean import load_arrow
from openbell.model.runs import Totals
from openbell.sdk.backends import Backend
from openbell.sdk.errors import FatalError, OpenbellError
from openbell.sdk.tasks import MAX_VALUE_BYTES, TaskInput, TaskResult

if TYPE_CHECKING:
    import pyarrow as pa

Log = Callable[[str, str], None]


class StoppedError(OpenbellError):
    """The task was asked to end, and not to go on later."""

    kind = "cancelled"


class WorkerTaskContext:
    """The sdk's TaskContext, for one attempt in this process."""

    def __init__(self, call: NodeCall, resources: TaskResources, settings: Any, log: Log) -> None:  # noqa: ANN401 - the operator's
        self._resources = resources
        self._log = log
        self.run_id = call.run_id
        self.pipeline = call.pipeline
        self.node = call.node.name
        self.attempt = call.attempt
        self.item = call.item
        self.item_number = call.item_number
        self.params = call.params
        self.settings = settings
        self.environment = call.environment
        self.dry_run = call.dry_run
        self.memory_bytes = call.memory_bytes
        self.folder = call.folder
        self.inputs = self._inputs(call) if call.inputs else {}
        self.now = resources.now

    def _inputs(self, call: NodeCall) -> Mapping[str, TaskInput]:
        load_arrow()
        from openbell.execution.worker.outputs import Output  # noqa: PLC0415 - pyarrow

        return {
            name: Output(name, reference, backend=self.backend, scratch=self.scratch)
            for name, reference in call.inputs.items()
        }

    def backend(self, name: str) -> Backend:
        """Return the configured backend."""
        return self._resources.backend(name)

    def scratch(self, name: str) -> str:
        """Return the path of a scratch file."""
        return self._resources.spool(name)

    def progress(self, *, rows: int, total_rows: int | None = None) -> None:
        """Report rows."""
        resources = self._resources
        resources.rows += rows
        resources.batches += 1
        if total_rows is not None:
            resources.total_rows = total_rows
        resources.say(
            Progressed(
                node=self.node,
                rows=resources.rows,
                batches=resources.batches,
                total_rows=resources.total_rows,
            )
        )

    def log(self, message: str, *, level: str = "INFO") -> None:
        """Write a line to the node's log."""
        self._log(level, message)

    def is_stopping(self) -> bool:
        """Return whether the daemon asked for an early end."""
        return self._resources.stop is not None or self._resources.is_over()

    def rest(self, delay_s: float) -> bool:
        """Wait, unless the task is asked to end."""
        return not self._resources.channel.stopped.wait(delay_s)


def run_task(call: NodeCall, resources: TaskResources, log: Log) -> Done:
    """Run an attempt to its end; raises what its code raised."""
    settings = settings_of(call.node.maker)
    operator = resolve(call.node.maker.factory)(settings)
    context = WorkerTaskContext(call, resources, settings, log)
    pid = os.getpid()
    result = operator.run(context)
    if os.getpid() != pid:
        os._exit(FORKED_EXIT)
    if not isinstance(result, TaskResult):
        raise FatalError(
            f"op {call.node.op!r} returned a value of type {type(result).__name__}, "
            "not an openbell.sdk.TaskResult"
        )
    stop = resources.stop
    if stop is not None:
        return _stopped(is_interrupt=stop.is_interrupt)
    output, rows_out = _made(call, result, context)
    stop = resources.stop
    if stop is not None and stop.is_interrupt and output is None and result.rows is not None:
        return _stopped(is_interrupt=True)
    end = NodeEnd(
        outcome=result.outcome,
        was_reached=True,
        totals=Totals(rows_in=result.rows_in, rows_out=rows_out),
    )
    outputs = {} if output is None else {call.node.name: output}
    return Done(ends={call.node.name: end}, outputs=outputs)


def _stopped(*, is_interrupt: bool) -> Done:
    if not is_interrupt:
        raise StoppedError("it was asked to end before it was done")
    return Done(is_interrupted=True)


def _made(
    call: NodeCall, result: TaskResult, context: WorkerTaskContext
) -> tuple[dict[str, Any] | None, int]:
    """Keep what a task made; return the reference to it and the number of rows."""
    name = call.node.name
    if result.rows is None:
        return (None if result.value is None else value_output(result.value, name)), 0
    if result.value is not None:
        raise FatalError(f"node {name!r} returned rows and a value; only one of them is handed on")
    from openbell.execution.worker.outputs import (  # noqa: PLC0415 - pyarrow
        batches_of,
        rows_output,
        write_rows,
    )

    schema, batches = batches_of(result.rows, name)
    path = Path(call.spool_path)
    total = getattr(result.rows, "num_rows", None)
    try:
        count = write_rows(
            path,
            schema,
            _until_stopped(batches, context),
            lambda rows: context.progress(rows=rows, total_rows=total),
        )
    except _Stopped:
        return None, 0
    return rows_output(path, count), count


class _Stopped(Exception):  # noqa: N818 - not an error: the rows are made again later
    """The task was asked to end while its rows were made."""


def _until_stopped(
    batches: Iterable[pa.RecordBatch], context: WorkerTaskContext
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if context.is_stopping():
            raise _Stopped
        yield batch


def value_output(value: Any, node: str) -> dict[str, Any]:  # noqa: ANN401 - whatever was returned
    """Return the reference that holds a small plain value; raises FatalError for another."""
    try:
        size_bytes = len(json.dumps(value, allow_nan=False).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise FatalError(
            f"node {node!r} returned a value of type {type(value).__name__} that is no plain JSON "
            f"({error}); return rows, or text, numbers, lists and objects"
        ) from error
    if size_bytes > MAX_VALUE_BYTES:
        raise FatalError(
            f"node {node!r} returned a value of {size_bytes:,} bytes; at most {MAX_VALUE_BYTES:,} "
            "are handed on as a value: return rows instead"
        )
    return {"kind": "value", "value": value}
