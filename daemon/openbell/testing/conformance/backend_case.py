"""What the suite of backends needs from a plugin, and its short words for staging and reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from openbell.sdk.backends import Backend, ReadFilter, Staged, StageRequest
from openbell.sdk.schemas import BARS_OHLCV, TableSpec
from openbell.sdk.values import Interval, Receipt
from openbell.testing.requests import START

T0 = datetime(2026, 1, 6, tzinfo=UTC)
"""When the first rows of a case are ingested."""

TABLE = TableSpec(dataset="bars", schema=BARS_OHLCV, bar_interval="1min")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendCase:
    """A place that is empty at the start of a test; `open` gives another instance on it."""

    open: Callable[[], Backend]

    @contextmanager
    def opened(self, table: TableSpec = TABLE) -> Iterator[Backend]:
        """Yield an instance that has `table`; it is closed at the end."""
        backend = self.open()
        try:
            backend.ensure(table)
            yield backend
        finally:
            backend.close()


class BackendSuite:
    """The fixtures that the parts of the suite share."""

    @pytest.fixture
    def backend_case(self) -> BackendCase:
        """Return the backend under test; override this."""
        raise NotImplementedError("override the fixture backend_case")

    @pytest.fixture
    def store(self, backend_case: BackendCase) -> Iterator[Backend]:
        """Yield an instance with an empty table called `bars`."""
        with backend_case.opened() as backend:
            yield backend


def stage(
    backend: Backend,
    batches: Sequence[pa.RecordBatch],
    *,
    key: str,
    at: datetime = T0,
    run_id: str = "run_1",
    table: TableSpec = TABLE,
) -> Staged:
    """Stage `batches` as one commit of half a year from the start of test data."""
    interval = Interval(START, START + timedelta(days=180))
    request = StageRequest(table=table, interval=interval, key=key, run_id=run_id, ingested_at=at)
    return backend.stage(request, batches)


def put(
    backend: Backend,
    batches: Sequence[pa.RecordBatch],
    *,
    key: str,
    at: datetime = T0,
    run_id: str = "run_1",
    table: TableSpec = TABLE,
) -> Receipt:
    """Stage `batches` and commit them."""
    return backend.commit(stage(backend, batches, key=key, at=at, run_id=run_id, table=table))


def read(
    backend: Backend,
    *,
    dataset: str = "bars",
    as_of: datetime | None = None,
    **rows: Any,  # noqa: ANN401 - the fields of ReadFilter
) -> list[dict[str, Any]]:
    """Return the matching rows as dicts."""
    batches = backend.read(dataset, ReadFilter(**rows), as_of=as_of)
    return [row for batch in batches for row in batch.to_pylist()]
