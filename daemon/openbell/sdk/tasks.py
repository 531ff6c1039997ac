"""The contract of a task: a node that runs by itself (clauses in `daemon/spec/operator.md`).

A task gets what the nodes that it needs made, does its work in one call, and returns how it ended
with what it made: rows, or a small plain value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from openbell.sdk.backends import Backend

if TYPE_CHECKING:
    import pyarrow as pa

InputKind = Literal["rows", "value", "nothing"]
"""What a node made: rows, a plain value, or nothing that another node could use."""

MAX_VALUE_BYTES = 64 * 1024
"""How long the JSON of a value may be that one node hands to another. What is more goes as rows."""


class TaskInput(Protocol):
    """What one node that this one needs made. Nothing is read before somebody asks for it."""

    node: str
    kind: InputKind
    row_count: int | None

    def open(self) -> pa.RecordBatchReader:
        """Return a reader over the rows, from the first, each time it is called.

        A value that is a list of objects is rows too. Raises `DataError` for what is no rows.
        """
        ...

    def table(self) -> pa.Table:
        """Return all rows as a table that lies in a file and not in memory."""
        ...

    def value(self) -> Any:  # noqa: ANN401 - plain JSON
        """Return the plain value, None for a node that made nothing.

        Raises `DataError` for a node that made rows.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TaskResult:
    """How a task ended and what it made: `rows` or `value`, not both.

    `outcome` is the label that edges see. `rows` are taken while the task is still under way, so
    they may be made as they are asked for; they are all durable before anybody else sees one.
    `value` is plain JSON of at most `MAX_VALUE_BYTES`.
    """

    outcome: str = "success"
    rows: pa.Table | pa.RecordBatchReader | Iterable[pa.RecordBatch] | None = None
    value: Any = None
    rows_in: int = 0


class TaskContext(Protocol):
    """What a task may use of the process it runs in.

    `inputs` are by the name of the node that made them. `item` is the element of a node with
    `for_each`, and `item_number` its place in the list (-1 without). `environment` is what a
    command should find. The task should stay within `memory_bytes`. `folder` is the one that the
    configuration lies in, empty when there is none.
    """

    run_id: str
    pipeline: str
    node: str
    attempt: int
    item: Any
    item_number: int
    params: Mapping[str, Any]
    settings: Any
    environment: Mapping[str, str]
    inputs: Mapping[str, TaskInput]
    dry_run: bool
    memory_bytes: int
    folder: str

    def now(self) -> datetime:
        """Return the daemon's time (aware UTC)."""
        ...

    def backend(self, name: str) -> Backend:
        """Return the configured backend, made once a task."""
        ...

    def scratch(self, name: str) -> str:
        """Return the path of a scratch file of this task; it is deleted when the task ends."""
        ...

    def progress(self, *, rows: int, total_rows: int | None = None) -> None:
        """Report rows worked on since the last call, and the total once it is known."""
        ...

    def log(self, message: str, *, level: str = "INFO") -> None:
        """Write a line to the node's log."""
        ...

    def is_stopping(self) -> bool:
        """Return whether the task was asked to end soon."""
        ...

    def rest(self, delay_s: float) -> bool:
        """Return True after `delay_s` seconds, or False as soon as the task is asked to end."""
        ...


class TaskOperator(Protocol):
    """What a node of role `task` does. Made from its settings in a worker, for one attempt."""

    def run(self, context: TaskContext) -> TaskResult:
        """Do the work once and return how it ended; called in the worker's main thread.

        Called again for another attempt with the same inputs it must do no harm. Asked to stop,
        it returns or raises soon; what it returns then is not used. When its time is up it is
        interrupted by an exception that is no `Exception`: `finally` clauses run.
        """
        ...
