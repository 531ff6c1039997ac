"""What a node made, read again by the nodes that need it (`daemon/spec/operators.md`).

Rows are kept as Arrow's streaming format, whole or not at all, and read through a memory map.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from openbell.sdk.arrow import table_schema
from openbell.sdk.backends import Backend, ReadFilter
from openbell.sdk.errors import DataError, FatalError, NotFoundError
from openbell.sdk.schemas import SCHEMAS
from openbell.sdk.tasks import InputKind

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def rows_output(path: Path, row_count: int) -> dict[str, Any]:
    """Return the reference to rows in a spool file."""
    return {"kind": "spool", "path": str(path), "rows": row_count}


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """Open a file that becomes `path` at the end, whole and durable, or leaves nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
        sync_folder(path.parent)
    finally:
        scratch.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_rows(
    path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], told: Callable[[int], None]
) -> int:
    """Put rows at `path`; return how many. `told` hears of each batch."""
    count = 0
    with replaced(path) as file, pa.ipc.new_stream(file, schema) as stream:
        for batch in batches:
            stream.write_batch(batch)
            count += batch.num_rows
            told(batch.num_rows)
    return count


class Output:
    """What a node made, as a task sees it (`openbell.sdk.tasks.TaskInput`)."""

    def __init__(
        self,
        node: str,
        reference: Mapping[str, Any],
        *,
        backend: Callable[[str], Backend],
        scratch: Callable[[str], str],
    ) -> None:
        self.node = node
        self._reference = reference
        self._backend = backend
        self._scratch = scratch
        self._kind = reference.get("kind", "")
        is_list = self._kind == "value" and _are_objects(reference.get("value"))
        self.kind: InputKind = (
            "rows" if self._kind in {"spool", "dataset"} else "value" if self._kind else "nothing"
        )
        self.row_count: int | None = len(reference["value"]) if is_list else reference.get("rows")
        self._copied: Path | None = None

    def open(self) -> pa.RecordBatchReader:
        """Return a reader over the rows."""
        match self._kind:
            case "spool":
                return read_rows(Path(self._reference["path"]), self.node)
            case "dataset":
                return self._stored()
            case "value" if _are_objects(self._reference["value"]):
                return _listed(self._reference["value"], self.node).to_reader()
            case _:
                raise DataError(f"node {self.node!r} made no rows but {self._words()}")

    def table(self) -> pa.Table:
        """Return the rows as a table in a memory-mapped file."""
        if self._kind != "dataset":
            return self.open().read_all()
        if self._copied is None:
            reader = self._stored()
            path = Path(self._scratch(f"input-{self.node}.arrow"))
            write_rows(path, reader.schema, reader, lambda _: None)
            self._copied = path
        return read_rows(self._copied, self.node).read_all()

    def value(self) -> Any:  # noqa: ANN401 - plain JSON
        """Return the value."""
        if self._kind in {"spool", "dataset"}:
            raise DataError(f"node {self.node!r} made rows and no value; read them with open()")
        return self._reference.get("value")

    def _words(self) -> str:
        if not self._kind:
            return "nothing"
        return f"a value of type {type(self._reference.get('value')).__name__}"

    def _stored(self) -> pa.RecordBatchReader:
        reference = self._reference
        backend = self._backend(reference["storage"])
        rows = ReadFilter(start=_instant(reference, "start"), end=_instant(reference, "end"))
        batches = iter(backend.read(reference["dataset"], rows))
        first = next(batches, None)
        if first is None:
            known = SCHEMAS.get(reference.get("schema", ""))
            schema = table_schema(known) if known is not None else pa.schema([])
            return pa.RecordBatchReader.from_batches(schema, [])
        return pa.RecordBatchReader.from_batches(first.schema, _chained(first, batches))


def _chained(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from rest


def _are_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _listed(value: list[dict[str, Any]], node: str) -> pa.Table:
    try:
        return pa.Table.from_pylist(value)
    except pa.ArrowException as error:
        raise DataError(f"the list that node {node!r} made is no table: {error}") from error


def _instant(reference: Mapping[str, Any], key: str) -> datetime | None:
    text = reference.get(key)
    return datetime.fromisoformat(text) if text else None


def read_rows(path: Path, node: str) -> pa.RecordBatchReader:
    """Return a reader over the rows in a spool file, which stays mapped while they are used.

    What the items of a node made together is a file of JSON lines, read as a short list is.
    """
    try:
        if path.suffix == ".jsonl":
            with path.open("rb") as lines:
                return _listed([json.loads(line) for line in lines], node).to_reader()
        return pa.ipc.open_stream(pa.memory_map(str(path)))
    except FileNotFoundError as error:
        raise NotFoundError(
            f"the rows that node {node!r} made are no longer there ({path}); run it again"
        ) from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"the rows that node {node!r} made cannot be read: {error}") from error


def items(reference: Mapping[str, Any], limit: int) -> list[Any]:
    """Return what a node made as a list of plain values, for a node with `for_each`.

    Rows become objects. Raises `DataError` for what is no list, or longer than `limit`.
    """
    kind = reference.get("kind")
    if kind == "value" and isinstance(reference["value"], list):
        found: list[Any] = reference["value"]
    elif kind == "spool":
        reader = read_rows(Path(reference["path"]), "?")
        count = reference["rows"]
        if count > limit:
            raise DataError(f"{count:,} items; at most {limit:,} can be fanned out")
        found = json.loads(json.dumps(reader.read_all().to_pylist(), default=str))
    else:
        raise DataError(f"an output of kind {kind!r} is no list of items")
    if len(found) > limit:
        raise DataError(f"{len(found):,} items; at most {limit:,} can be fanned out")
    return found


def batches_of(rows: object, node: str) -> tuple[pa.Schema, Iterable[pa.RecordBatch]]:
    """Return the schema and the batches of whatever rows a task returned; raises FatalError."""
    if isinstance(rows, pa.Table):
        return rows.schema, rows.to_batches()
    if isinstance(rows, pa.RecordBatch):
        return rows.schema, [rows]
    if isinstance(rows, pa.RecordBatchReader):
        return rows.schema, rows
    if isinstance(rows, Iterable) and not isinstance(rows, str | bytes | dict):
        remaining = iter(rows)
        first = next(remaining, None)
        if first is None:
            return pa.schema([]), []
        if isinstance(first, pa.RecordBatch):
            return first.schema, _same(first, remaining, node)
        raise FatalError(
            f"node {node!r} returned values of type {type(first).__name__} as rows; "
            "rows are a pyarrow Table, a RecordBatchReader or RecordBatches"
        )
    raise FatalError(
        f"node {node!r} returned a value of type {type(rows).__name__} as rows; "
        "rows are a pyarrow Table, a RecordBatchReader or RecordBatches"
    )


def _same(first: pa.RecordBatch, rest: Iterator[object], node: str) -> Iterator[pa.RecordBatch]:
    yield first
    for number, batch in enumerate(rest, start=2):
        if not isinstance(batch, pa.RecordBatch) or not batch.schema.equals(first.schema):
            found = (
                batch.schema.names if isinstance(batch, pa.RecordBatch) else type(batch).__name__
            )
            raise FatalError(
                f"batch {number} of node {node!r} is {found}, not columns "
                f"{first.schema.names} of the same types as the first batch"
            )
        yield batch
