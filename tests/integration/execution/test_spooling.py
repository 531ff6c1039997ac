"""The rows that a chain keeps for other units: each exactly once, whatever is killed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from doubles.calls import calls_in
from doubles.worker_nodes import chain_task
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openbell.execution.protocol import ChunkDone, Done
from openbell.execution.worker.chain_spool import ChunkSpool
from openbell.execution.worker.outputs import Output, items
from openbell.execution.worker.replay import ReplaySource, fitted
from openbell.sdk import (
    Chunk,
    DataError,
    FatalError,
    Interval,
    NotFoundError,
    SchemaChangedError,
    StageRequest,
)
from openbell.sdk.arrow import chunk_schema
from openbell.sdk.schemas import BARS_OHLCV
from openbell.testing import START, FakeBackend, FakeNodeContext, FakePlace, bars, dataset_context

pytestmark = pytest.mark.integration

SCHEMA = chunk_schema(BARS_OHLCV)


def chunk(number: int, *, count: int = 2, bad: bool = False) -> Chunk:
    day = bars(count=100, start=START).slice(number * 2, count)
    mask = np.array([True] + [False] * (count - 1)) if bad else None
    return Chunk(batch=day, number=number, cursor=str(number), bad=mask)


def spool(path: Path, first_chunk: int = 0, before: Path | None = None) -> ChunkSpool:
    return ChunkSpool("n", path, SCHEMA, first_chunk=first_chunk, before=before)


def stored(path: Path) -> list[Any]:
    with pa.memory_map(str(path)) as file:
        times: list[Any] = pa.ipc.open_stream(file).read_all().column("ts").to_pylist()
    return times


def expected(numbers: Iterator[int] | range) -> list[Any]:
    return [ts for n in numbers for ts in chunk(n).batch.column("ts").to_pylist()]


def test_rows_are_there_at_the_end_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "run" / "n.arrow"
    at = spool(path)
    at.add(chunk(0))
    at.settle(0)
    at.settle(1)
    assert not path.exists()
    at.add(chunk(2, bad=True))
    assert at.finish() == {"kind": "spool", "path": str(path), "rows": 3}
    at.close()
    assert stored(path) == [*expected(range(1)), expected(range(2, 3))[1]]
    assert [p.name for p in path.parent.iterdir()] == ["n.arrow"]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lives=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 400)), max_size=5)
)
def test_however_often_it_is_torn_each_chunk_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, lives: list[tuple[int, int, int]]
) -> None:
    """Each life settles chunks, writes more that it does not settle, and loses its last bytes."""
    path = tmp_path_factory.mktemp("spool") / "n.arrow"
    part = path.with_name("n.arrow.part")
    settled = 0
    for done, more, lost_bytes in lives:
        at = spool(path, settled)
        for _ in range(done):
            at.add(chunk(settled))
            at.settle(settled)
            settled += 1
        safe_bytes = part.stat().st_size
        for ahead in range(more):
            at.add(chunk(settled + ahead))
        at.close()
        torn_bytes = max(safe_bytes, part.stat().st_size - lost_bytes)
        with part.open("r+b") as file:
            file.truncate(torn_bytes)
    at = spool(path, settled)
    at.add(chunk(settled))
    at.settle(settled)
    at.finish()
    assert stored(path) == expected(range(settled + 1))


def test_an_end_that_was_not_heard_of_is_gone_on_from(tmp_path: Path) -> None:
    path = tmp_path / "n.arrow"
    at = spool(path)
    for number in range(3):
        at.add(chunk(number))
        at.settle(number)
    at.finish()
    again = spool(path, 2)
    again.add(chunk(2))
    assert again.finish()["rows"] == 6
    assert stored(path) == expected(range(3))


def test_a_run_that_is_tried_again_takes_over_the_rows(tmp_path: Path) -> None:
    old, new = tmp_path / "old" / "n.arrow", tmp_path / "new" / "n.arrow"
    at = spool(old)
    at.add(chunk(0))
    at.settle(0)
    at.close()
    again = spool(new, 1, before=old)
    again.add(chunk(1))
    again.finish()
    assert stored(new) == expected(range(2))
    with pytest.raises(FatalError, match="before chunk 5 are no longer there"):
        spool(tmp_path / "other" / "n.arrow", 5, before=tmp_path / "gone.arrow")


async def test_a_chain_keeps_what_others_need_and_another_streams_it(tmp_path: Path) -> None:
    path = tmp_path / "spool" / "run_1" / "source.arrow"
    async with calls_in(tmp_path) as at:
        first = await at.run(chain_task(tmp_path, spool={"source": str(path)}))
        assert isinstance(first, Done)
        assert first.outputs == {"source": {"kind": "spool", "path": str(path), "rows": 3}}
        at.heard.clear()
        task = chain_task(tmp_path)
        (_, sink) = task.nodes
        second = await at.run(
            chain_task(tmp_path, nodes=(sink,), reads_node="source", reads=first.outputs["source"])
        )
        assert isinstance(second, Done)
        assert second.ends.keys() == {"sink"}
        told = [message for message in at.heard if isinstance(message, ChunkDone)]
        assert [(m.next_chunk, m.cursor, list(m.totals)) for m in told] == [(1, "3", ["sink"])]


def output(reference: dict[str, Any], tmp_path: Path, place: FakePlace | None = None) -> Output:
    return Output(
        "up",
        reference,
        backend=lambda _: FakeBackend(place or FakePlace()),
        scratch=lambda name: str(tmp_path / name),
    )


def replayed(made: Output, **world: Any) -> list[Chunk]:
    source = ReplaySource(made)
    dataset = dataset_context(batch_rows=2)
    source.open(FakeNodeContext(**{"dataset": dataset, **world}))
    return list(source.produce())


def test_an_output_is_cut_into_chunks_and_gone_on_with(tmp_path: Path) -> None:
    at = spool(tmp_path / "n.arrow")
    at.add(chunk(0, count=5))
    made = output(at.finish(), tmp_path)
    whole = replayed(made)
    assert [(c.number, c.cursor, c.batch.num_rows) for c in whole] == [
        (0, "2", 2),
        (1, "4", 2),
        (2, "5", 1),
    ]
    assert whole[0].batch.schema.equals(SCHEMA)
    (left,) = replayed(made, cursor="4", first_chunk=2)
    assert (left.number, left.batch.to_pylist()) == (2, whole[2].batch.to_pylist())
    assert replayed(made, is_asked_to_stop=True) == []


def test_rows_are_fitted_to_the_dataset_or_refused(tmp_path: Path) -> None:
    dataset = dataset_context()
    plain = pa.RecordBatch.from_pylist(
        [{"symbol": "A", "ts": START, "open": 1, "high": 2, "low": 1, "close": 2, "run_id": "r"}]
    )
    (row,) = fitted(plain, dataset, "up").to_pylist()
    assert (row["provider"], row["interval"], row["vwap"]) == ("fake", "1min", None)
    with pytest.raises(SchemaChangedError, match=r"does not know \['extra'\] and needs \['symbol'"):
        fitted(pa.record_batch({"extra": [1]}), dataset, "up")
    wrong = plain.set_column(2, "open", pa.array(["x"]))
    with pytest.raises(SchemaChangedError, match=r"column 'open' .* has type string"):
        fitted(wrong, dataset, "up")
    null = plain.set_column(2, "open", pa.array([None], pa.float64()))
    with pytest.raises(SchemaChangedError, match="1 nulls"):
        fitted(null, dataset, "up")


def test_outputs_that_are_no_rows_or_gone_say_so(tmp_path: Path) -> None:
    assert output({}, tmp_path).kind == "nothing"
    assert output({"kind": "value", "value": 3}, tmp_path).value() == 3
    with pytest.raises(DataError, match="made no rows but a value of type int"):
        output({"kind": "value", "value": 3}, tmp_path).open()
    with pytest.raises(DataError, match="made no rows but nothing"):
        output({}, tmp_path).table()
    with pytest.raises(DataError, match="is no table"):
        output({"kind": "value", "value": [{"a": 1}, {"a": "x"}]}, tmp_path).open()
    gone = {"kind": "spool", "path": str(tmp_path / "gone"), "rows": 1}
    with pytest.raises(DataError, match="made rows and no value"):
        output(gone, tmp_path).value()
    with pytest.raises(NotFoundError, match="no longer there"):
        output(gone, tmp_path).open()
    (tmp_path / "gone").write_bytes(b"no arrow")
    with pytest.raises(DataError, match="cannot be read"):
        output(gone, tmp_path).open()


def test_what_is_stored_is_read_through_its_backend(tmp_path: Path) -> None:
    reference = {
        "kind": "dataset",
        "dataset": "bars",
        "storage": "primary",
        "schema": "bars_ohlcv",
        "start": "2026-01-05T14:30:00+00:00",
        "end": "2026-01-05T14:32:00+00:00",
    }
    place = FakePlace()
    with pytest.raises(NotFoundError):
        output(reference, tmp_path, place).open()
    backend = FakeBackend(place)
    table = dataset_context(dataset="bars").table
    backend.ensure(table)
    empty = output(reference, tmp_path, place).open()
    assert (empty.schema.names[0], empty.read_all().num_rows) == ("provider", 0)
    request = StageRequest(
        table=table,
        interval=Interval(START, START + timedelta(hours=1)),
        key="k",
        run_id="run_0",
        ingested_at=START,
    )
    backend.commit(backend.stage(request, [bars(count=10, start=START)]))
    made = output({**reference, "start": START.isoformat(), "end": ""}, tmp_path, place)
    assert made.open().read_all().num_rows == 10
    assert made.table().num_rows == made.table().num_rows == 10
    assert (tmp_path / "input-up.arrow").exists()
    assert sum(c.batch.num_rows for c in replayed(made)) == 10


def test_items_of_a_fan_out_come_from_lists_and_rows(tmp_path: Path) -> None:
    assert items({"kind": "value", "value": [1, "a"]}, 2) == [1, "a"]
    at = spool(tmp_path / "n.arrow")
    at.add(chunk(0))
    made = at.finish()
    assert [item["symbol"] for item in items(made, 10)] == ["AAPL", "AAPL"]
    with pytest.raises(DataError, match="at most 1 can"):
        items(made, 1)
    with pytest.raises(DataError, match="at most 1 can"):
        items({"kind": "value", "value": [1, 2]}, 1)
    with pytest.raises(DataError, match="is no list"):
        items({"kind": "value", "value": 3}, 1)
