"""Laws of whole files: what was written comes back, and no bytes break more than their own rows."""

from __future__ import annotations

import gzip
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openbell.sdk.errors import DataError, NotFoundError
from openbell_provider_files import jsonlines

pytestmark = pytest.mark.property

Ask = Callable[..., Any]
START = datetime(2024, 3, 8, 14, 30, tzinfo=UTC)
NAMES = ("ts", "open", "high", "low", "close", "volume", "vwap", "trade_count")
COLUMNS = {name: name for name in NAMES}
price = st.floats(1e-6, 1e9, allow_nan=False)
Row = tuple[Any, ...]
rows_of_bars = st.lists(
    st.tuples(
        st.integers(0, 10**6),
        price, price, price, price,
        st.none() | st.floats(0, 1e15),
        st.none() | price,
        st.none() | st.integers(0, 2**53 - 1),
    ),
    min_size=1, max_size=40, unique_by=lambda row: row[0],
)  # fmt: skip
relaxed = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def written(kind: str, rows: list[Row]) -> bytes:
    """The bytes of a file of `kind` with these rows."""
    texts = [
        (
            (START + timedelta(seconds=row[0])).isoformat(),
            *("" if v is None else repr(v) for v in row[1:]),
        )
        for row in rows
    ]
    if kind in {"csv", "tsv"}:
        mark = "," if kind == "csv" else "\t"
        return "\n".join(mark.join(cells) for cells in [NAMES, *texts]).encode()
    if kind == "jsonl":
        objects = [
            dict(zip(NAMES, (text[0], *row[1:]), strict=True))
            for text, row in zip(texts, rows, strict=True)
        ]
        return "\n".join(json.dumps(one) for one in objects).encode() + b"\n"
    stamps = pa.array(
        [START + timedelta(seconds=row[0]) for row in rows], pa.timestamp("ns", "UTC")
    )
    kinds = [pa.float64()] * 6 + [pa.int64()]
    arrays = [stamps, *(pa.array([row[i + 1] for row in rows], kinds[i]) for i in range(7))]
    table = pa.table(dict(zip(NAMES, arrays, strict=True)))
    sink = pa.BufferOutputStream()
    if kind == "parquet":
        pq.write_table(table, sink, row_group_size=7)
    elif kind == "feather":
        pyarrow.feather.write_feather(table, sink)
    else:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=5)
    return bytes(sink.getvalue())


def packed(how: str, path: Path, content: bytes) -> Path:
    """Write `content` at `path`, packed, and return where."""
    if how == "zip":
        with zipfile.ZipFile(
            path.with_name(path.name + ".zip"), "w", zipfile.ZIP_DEFLATED
        ) as archive:
            archive.writestr(path.name, content)
        return path.with_name(path.name + ".zip")
    if how == "gz":
        path = path.with_name(path.name + ".gz")
        path.write_bytes(gzip.compress(content))
    elif how == "zst":
        path = path.with_name(path.name + ".zst")
        path.write_bytes(bytes(pa.Codec("zstd").compress(content, asbytes=True)))
    else:
        path.write_bytes(content)
    return path


@relaxed
@given(
    rows=rows_of_bars,
    kind=st.sampled_from(["csv", "tsv", "jsonl", "parquet", "feather", "arrow"]),
    how=st.sampled_from(["none", "zip", "gz", "zst"]),
    batch_rows=st.integers(1, 50),
)
def test_bars_come_back_from_any_format_and_compression(
    *, folder: Path, ask: Ask, rows: list[Row], kind: str, how: str, batch_rows: int
) -> None:
    path = packed(how, folder / f"A.{kind}", written(kind, rows))
    given_settings = {"root": str(folder), "path": path.name, "columns": COLUMNS}
    answer = ask(given_settings, "1s", ["A"], batch_rows=batch_rows)
    expected = [(START + timedelta(seconds=row[0]), *row[1:]) for row in rows]
    got = [tuple(row[name] for name in NAMES) for row in answer.rows]
    assert answer.rejected == []
    assert sorted(got) == sorted(expected)
    assert all(len(batch) <= batch_rows for page in answer.pages for batch in page.batches)
    for page, following in zip(answer.pages, answer.pages[1:], strict=False):
        rest = ask(given_settings, "1s", ["A"], batch_rows=batch_rows, cursor=page.cursor)
        assert rest.pages[0].cursor == following.cursor


@relaxed
@given(
    rows=rows_of_bars,
    odd=st.lists(
        st.tuples(
            st.integers(0, 40),
            st.sampled_from(
                ["", "  ", "{", "[]", "{}", '{"ts": 5}', '{"ts": null, "open": "1"}',
                 '{"ts": "2024-03-08T15:00:00Z", "open": "1", "high": 1e400, "low": 1, "close": 1}',
                 '{"ts": "2024-03-08T15:00:00Z", "open": true, "high": 1, "low": 1, "close": 1}',
                 '{"ts": "2024-03-08T15:00:00Z", "open": "1", "high": 2, "low": NaN, "close": 1}'],
            ),
        ),
        max_size=3,
    ),
    batch_rows=st.integers(1, 50),
)  # fmt: skip
def test_json_lines_give_the_same_rows_by_either_parser(
    *, folder: Path, ask: Ask, rows: list[Row], odd: list[tuple[int, str]], batch_rows: int
) -> None:
    lines = written("jsonl", rows).decode().splitlines()
    for place, text in odd:
        lines.insert(place, text)
    (folder / "A.jsonl").write_text("\n".join(lines))
    files = {"root": str(folder), "path": "A.jsonl", "columns": COLUMNS}
    quick = ask(files, "1s", ["A"], batch_rows=batch_rows)
    with mock.patch.object(jsonlines, "_by_arrow", return_value=None):
        slow = ask(files, "1s", ["A"], batch_rows=batch_rows)
    assert quick.rows == slow.rows
    assert quick.rejected == slow.rejected


@relaxed
@given(
    content=st.binary(max_size=300)
    | st.text('0123456789.,"-:T\n\r ', max_size=300).map(str.encode),
    kind=st.sampled_from(["csv", "tsv", "jsonl", "parquet", "arrow"]),
    how=st.sampled_from(["none", "zip", "gz", "zst"]),
    is_packed=st.booleans(),
    header=st.booleans(),
)
def test_arbitrary_bytes_raise_nothing_but_listed_errors(
    *, folder: Path, ask: Ask, content: bytes, kind: str, how: str, is_packed: bool, header: bool
) -> None:
    path = packed(how if is_packed else "none", folder / "A.bin", content)
    columns: dict[str, Any] = {"ts": 1, "open": 2, "high": 2, "low": 2, "close": 2, "volume": 3}
    if kind == "jsonl":
        columns = dict.fromkeys(columns, "x")
    with suppress(DataError, NotFoundError):
        ask(
            {
                "root": str(folder), "path": path.name, "format": kind, "compression": how,
                "columns": columns, "header": header or kind not in {"csv", "tsv"},
            },
            "1s",
            ["A"],
        )  # fmt: skip


@relaxed
@given(
    kind=st.sampled_from(["parquet", "arrow", "feather", "zip", "gz", "zst"]),
    place=st.floats(0, 1, exclude_max=True),
    value=st.integers(0, 255),
    cut=st.booleans(),
)
def test_a_damaged_file_raises_nothing_but_listed_errors(
    *, folder: Path, ask: Ask, kind: str, place: float, value: int, cut: bool
) -> None:
    rows: list[Row] = [(n, 1.0, 2.0, 0.5, 1.5, 100.0, None, n) for n in range(50)]
    is_archive = kind in {"zip", "gz", "zst"}
    path = packed(
        kind if is_archive else "none",
        folder / ("A.csv" if is_archive else f"A.{kind}"),
        written("csv" if is_archive else kind, rows),
    )
    content = bytearray(path.read_bytes())
    at = int(place * len(content))
    content[at] = value
    path.write_bytes(content[:at] if cut else content)
    with suppress(DataError, NotFoundError):
        ask({"root": str(folder), "path": path.name, "columns": COLUMNS}, "1s", ["A"])


@relaxed
@given(
    place=st.floats(0, 1, exclude_max=True),
    value=st.integers(0, 255),
    kind=st.sampled_from(["csv", "tsv", "jsonl"]),
)
def test_one_damaged_byte_costs_no_row_but_its_own(
    *, folder: Path, ask: Ask, place: float, value: int, kind: str
) -> None:
    rows: list[Row] = [(n, 1.5, 2.5, 0.5, 1.25, 100.0, None, n) for n in range(30)]
    content = bytearray(written(kind, rows))
    first = content.index(b"\n") + 1 if kind != "jsonl" else 0
    at = first + int(place * (len(content) - first))
    line = content.count(b"\n", first, at)
    touched = {line, line + 1} if content[at : at + 1] == b"\n" else {line}
    content[at] = value
    (folder / f"A.{kind}").write_bytes(content)
    answer = ask({"root": str(folder), "path": f"A.{kind}", "columns": COLUMNS}, "1s", ["A"])
    got = {row["ts"] for row in answer.rows}
    kept = {START + timedelta(seconds=n) for n in range(30) if n not in touched}
    assert kept <= got, answer.rejected
