from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from openbell.storage.export import write

pytestmark = pytest.mark.unit

SCHEMA = pa.schema(
    [("symbol", pa.string()), ("ts", pa.timestamp("us", tz="UTC")), ("close", pa.float64())]
)


def batch(*rows: tuple[str, int, float | None]) -> pa.RecordBatch:
    records = [
        {"symbol": symbol, "ts": datetime(2024, 1, day, 14, 30, tzinfo=UTC), "close": close}
        for symbol, day, close in rows
    ]
    return pa.RecordBatch.from_pylist(records, schema=SCHEMA)


BATCHES = [batch(("A", 2, 1.5), ("A", 3, None)), batch(('B,"x"', 2, 0.1))]


def written(form: str, batches: list[pa.RecordBatch]) -> tuple[int, bytes]:
    sink = io.BytesIO()
    row_count = write(batches, form, sink)
    assert not sink.closed
    return row_count, sink.getvalue()


def test_csv_has_one_head_and_quotes_only_what_needs_it() -> None:
    row_count, content = written("csv", BATCHES)

    assert row_count == 3
    assert content.decode().splitlines()[:2] == [
        "symbol,ts,close",
        "A,2024-01-02T14:30:00.000000Z,1.5",
    ]
    assert list(csv.reader(io.StringIO(content.decode())))[3] == [
        'B,"x"',
        "2024-01-02T14:30:00.000000Z",
        "0.1",
    ]


def test_json_is_one_list_and_jsonl_one_line_a_row() -> None:
    _, as_json = written("json", BATCHES)
    _, as_lines = written("jsonl", BATCHES)

    rows = json.loads(as_json)
    assert rows == [json.loads(line) for line in as_lines.decode().splitlines()]
    assert rows[1] == {"symbol": "A", "ts": "2024-01-03T14:30:00.000000Z", "close": None}


def test_parquet_reads_back_as_the_same_rows() -> None:
    row_count, content = written("parquet", BATCHES)

    table = pq.read_table(io.BytesIO(content))
    assert row_count == table.num_rows == 3
    assert table.schema.field("ts").type == pa.timestamp("us", tz="UTC")


@pytest.mark.parametrize(("form", "content"), [("csv", b""), ("json", b"[\n]\n"), ("jsonl", b"")])
def test_no_rows_write_nothing_but_a_valid_document(form: str, content: bytes) -> None:
    assert written(form, []) == (0, content)
