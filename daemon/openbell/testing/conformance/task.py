"""What every task operator must do; the clauses are in `daemon/spec/operator.md`."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import pyarrow as pa
import pytest

from openbell.sdk.tasks import MAX_VALUE_BYTES, TaskContext, TaskOperator, TaskResult
from openbell.testing.fake_task import FakeTaskContext

_SOON_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCase:
    """A task operator and the world it works in.

    `make` returns a new operator with the same settings. `outcomes` are those of its spec; with
    `any_outcome` it may end as its settings say. `left` returns what it leaves behind in the world
    (files, rows, requests), as anything that can be compared.
    """

    make: Callable[[], TaskOperator]
    context: FakeTaskContext
    outcomes: tuple[str, ...] = ()
    any_outcome: bool = False
    left: Callable[[], object] = tuple


class TaskConformance:
    """Subclass it as `TestYourTask` and override the fixture `task_case`."""

    @pytest.fixture
    def task_case(self) -> TaskCase:
        """Return the operator under test with its world; override this."""
        raise NotImplementedError("override the fixture task_case")

    def test_it_ends_with_an_outcome_of_its_spec(self, task_case: TaskCase) -> None:
        """TASK-01."""
        result, _ = _run(task_case, task_case.context)
        assert isinstance(result, TaskResult)
        assert result.outcome
        if not task_case.any_outcome:
            assert result.outcome in {"success", *task_case.outcomes}

    def test_it_makes_rows_or_a_small_plain_value(self, task_case: TaskCase) -> None:
        """TASK-02."""
        result, rows = _run(task_case, task_case.context)
        assert result.rows is None or result.value is None
        assert len(json.dumps(result.value, allow_nan=False).encode()) <= MAX_VALUE_BYTES
        assert rows is None or isinstance(rows, pa.Table)

    def test_another_attempt_makes_the_same(self, task_case: TaskCase) -> None:
        """TASK-03."""
        first, first_rows = _run(task_case, task_case.context)
        left = task_case.left()
        again, rows = _run(task_case, replace(task_case.context, attempt=2))
        assert (again.outcome, again.value) == (first.outcome, first.value)
        assert (rows is None) == (first_rows is None)
        if rows is not None and first_rows is not None:
            assert rows.schema.equals(first_rows.schema)
            assert rows.num_rows == first_rows.num_rows
        assert task_case.left() == left

    def test_its_inputs_stay_as_they_are(self, task_case: TaskCase) -> None:
        """TASK-04."""
        before = repr(task_case.context.made)
        _run(task_case, task_case.context)
        assert repr(task_case.context.made) == before

    def test_its_numbers_add_up(self, task_case: TaskCase) -> None:
        """TASK-05."""
        result, _ = _run(task_case, task_case.context)
        tables = [made for made in task_case.context.made.values() if isinstance(made, pa.Table)]
        assert 0 <= result.rows_in <= sum(table.num_rows for table in tables)

    def test_a_dry_run_leaves_nothing_behind(self, task_case: TaskCase) -> None:
        """TASK-06."""
        before = task_case.left()
        _run(task_case, replace(task_case.context, dry_run=True))
        assert task_case.left() == before

    def test_it_ends_soon_when_it_is_asked_to(self, task_case: TaskCase) -> None:
        """TASK-07."""
        began_s = time.monotonic()
        with contextlib.suppress(Exception):  # what it raises then is its own affair
            _run(task_case, replace(task_case.context, is_asked=True))
        assert time.monotonic() - began_s < _SOON_S


def _run(case: TaskCase, context: FakeTaskContext) -> tuple[TaskResult, pa.Table | None]:
    """Run an attempt; return how it ended, and the rows that it made."""
    seen: TaskContext = context
    result = case.make().run(seen)
    return result, None if result.rows is None else _table(result.rows)


def _table(rows: pa.Table | pa.RecordBatchReader | Iterable[pa.RecordBatch]) -> pa.Table:
    if isinstance(rows, pa.Table):
        return rows
    if isinstance(rows, pa.RecordBatchReader):
        return rows.read_all()
    return pa.Table.from_batches(list(rows))
