"""What a task sees of the process it runs in, without the process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from openbell.sdk.backends import Backend
from openbell.sdk.errors import DataError, NotFoundError
from openbell.sdk.tasks import InputKind, TaskInput
from openbell.testing.requests import START


class FakeTaskInput:
    """What a node made, given by a test: a table, or a plain value (None: nothing)."""

    def __init__(self, node: str, made: object) -> None:
        self.node = node
        self._table = made if isinstance(made, pa.Table) else None
        self._value = None if self._table is not None else made
        is_nothing = self._table is None and made is None
        self.kind: InputKind = (
            "rows" if self._table is not None else "nothing" if is_nothing else "value"
        )
        self.row_count: int | None = None if self._table is None else self._table.num_rows

    def open(self) -> pa.RecordBatchReader:
        """Return a reader over the table."""
        return self.table().to_reader()

    def table(self) -> pa.Table:
        """Return the table."""
        if self._table is None:
            raise DataError(f"node {self.node!r} made no rows")
        return self._table

    def value(self) -> Any:  # noqa: ANN401 - plain JSON
        """Return the value."""
        if self._table is not None:
            raise DataError(f"node {self.node!r} made rows and no value; read them with open()")
        return self._value


@dataclass(kw_only=True)
class FakeTaskContext:
    """A `TaskContext` for tests. `made` is what the nodes that this one needs made, by name.

    Time stands at `at` and goes on by what the task rests. `lines` is what it logged. `is_asked` is
    whether it is asked to stop.
    """

    run_id: str = "run_1"
    pipeline: str = "test"
    node: str = "node"
    attempt: int = 1
    item: Any = None
    item_number: int = -1
    params: Mapping[str, Any] = field(default_factory=dict)
    settings: Any = None
    environment: Mapping[str, str] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)
    dry_run: bool = False
    memory_bytes: int = 1024 * 1024 * 1024
    folder: str = ""
    backends: Mapping[str, Backend] = field(default_factory=dict)
    scratch_folder: Path | None = None
    at: datetime = START + timedelta(days=30)
    lines: list[tuple[str, str]] = field(default_factory=list)
    rows_passed: int = 0
    is_asked: bool = False
    inputs: Mapping[str, TaskInput] = field(init=False)

    def __post_init__(self) -> None:
        self.inputs = {name: FakeTaskInput(name, made) for name, made in self.made.items()}

    def now(self) -> datetime:
        """Return where time stands."""
        return self.at

    def backend(self, name: str) -> Backend:
        """Return the backend that the test gave."""
        if name not in self.backends:
            raise NotFoundError(f"the test gives no backend {name!r}")
        return self.backends[name]

    def scratch(self, name: str) -> str:
        """Return a path in the test's `scratch_folder`."""
        if self.scratch_folder is None:
            raise ValueError("give the context a scratch_folder, such as tmp_path")
        folder = self.scratch_folder / f"attempt-{self.attempt}"
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder / name)

    def progress(self, *, rows: int, total_rows: int | None = None) -> None:
        """Add up the rows."""
        del total_rows
        self.rows_passed += rows

    def log(self, message: str, *, level: str = "INFO") -> None:
        """Keep the line."""
        self.lines.append((level, message))

    def is_stopping(self) -> bool:
        """Return whether the test asks the task to end."""
        return self.is_asked

    def rest(self, delay_s: float) -> bool:
        """Let time go on; never wait."""
        self.at += timedelta(seconds=delay_s)
        return not self.is_asked
