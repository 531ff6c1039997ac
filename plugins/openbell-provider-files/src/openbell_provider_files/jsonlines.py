"""JSON lines: one object a line, by Arrow's parser where every line is plain, else by Python's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as arrow_json

from openbell_provider_files.blocks import Block, text_blocks
from openbell_provider_files.layout import Layout, resolve
from openbell_provider_files.opening import OpenFile
from openbell_provider_files.raw import BrokenRow, RawRows
from openbell_provider_files.settings import FilesSettings

_SAMPLE_ROWS = 100
_Known = tuple[list[str], Layout]


class _Digits(str):
    """A number of a JSON file as it was written."""

    __slots__ = ()


class JsonLinesReader:
    """Reads one file of JSON lines."""

    def __init__(self, file: OpenFile, settings: FilesSettings) -> None:
        self._file = file
        self._settings = settings
        self._keeps_floats = settings.price_scale == settings.volume_scale == 1.0

    def stretches(self, start_row: int, batch_rows: int) -> Iterator[RawRows]:
        """Yield the rows from `start_row` on."""
        known: _Known | None = None
        for block in text_blocks(
            self._file.stream,
            encoding=self._settings.encoding,
            quotes=False,
            source=self._file.source,
        ):
            known = known or self._layout(block)
            begin = max(0, start_row - block.first_row)
            for start in range(begin, len(block.starts), batch_rows):
                rows = range(start, min(start + batch_rows, len(block.starts)))
                quick = _by_arrow(block, known, rows) if self._keeps_floats and known else None
                yield quick or _by_python(block, known, rows)

    def _layout(self, block: Block) -> _Known | None:
        names: dict[str, None] = {}
        for index in range(min(_SAMPLE_ROWS, len(block.starts))):
            row = _object(block.text(index))
            if isinstance(row, dict):
                names.update(dict.fromkeys(row))
        if not names:
            return None
        keys = list(names)
        layout = resolve(
            self._settings.mapping, names=keys, width=len(keys), source=self._file.source
        )
        return keys, layout


def _object(text: str) -> dict[str, Any] | str:
    """Return the object of a line, numbers as text, or why it is none."""
    try:
        row = json.loads(text, parse_float=_Digits, parse_int=_Digits, parse_constant=_Digits)
    except (ValueError, RecursionError) as error:
        return f"is not JSON: {str(error)[:100]}"
    return row if isinstance(row, dict) else "is not a JSON object"


def _by_arrow(block: Block, known: _Known, rows: range) -> RawRows | None:
    """Read plain rows: strings and numbers, each field of one type; None where they are not."""
    keys, layout = known
    first = _object(block.text(rows.start))
    if isinstance(first, str):
        return None
    used = {keys[index]: field for field, indexes in layout.items() for index in indexes}
    kinds = [(key, _kind(first.get(key), field)) for key, field in used.items()]
    content = memoryview(block.data)[block.starts[rows.start] : block.ends[rows.stop - 1]]
    try:
        table = arrow_json.read_json(
            pa.BufferReader(pa.py_buffer(content)),
            read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(content) + 1),
            parse_options=arrow_json.ParseOptions(
                explicit_schema=pa.schema(kinds), unexpected_field_behavior="ignore"
            ),
        )
    except pa.ArrowException:
        return None
    if table.num_rows != len(rows):
        return None
    return RawRows(
        columns={
            field: [table.column(keys[index]).combine_chunks() for index in indexes]
            for field, indexes in layout.items()
        },
        lines=block.lines[rows.start : rows.stop],
        raw_text=lambda index: block.text(rows.start + index),
        next_row=block.first_row + rows.stop,
    )


def _kind(value: Any, field: str) -> pa.DataType:  # noqa: ANN401 - a JSON value can be anything
    """Return the type to expect of a field that begins with `value`."""
    if isinstance(value, str) and not isinstance(value, _Digits):
        return pa.string()
    return pa.int64() if field in {"ts", "date", "time", "symbol"} else pa.float64()


def _by_python(block: Block, known: _Known | None, rows: range) -> RawRows:
    """Read line by line; numbers keep the digits they were written with."""
    good: list[int] = []
    objects: list[dict[str, Any]] = []
    broken: list[BrokenRow] = []
    for index in rows:
        text = block.text(index)
        if not text.strip():
            continue
        row = _object(text)
        if isinstance(row, dict) and known is not None:
            good.append(index)
            objects.append(row)
        else:
            why = row if isinstance(row, str) else "has none of the mapped names"
            broken.append(BrokenRow(int(block.lines[index]), text, why))
    keys, layout = known or ([], {})
    columns = {
        field: [
            pa.array([_cell(row.get(keys[i])) for row in objects], pa.string()) for i in indexes
        ]
        for field, indexes in layout.items()
    }
    return RawRows(
        columns=columns,
        lines=block.lines[np.array(good, dtype=np.int64)],
        raw_text=lambda index: block.text(good[index]),
        next_row=block.first_row + rows.stop,
        broken=broken,
    )


def _cell(value: Any) -> str | None:  # noqa: ANN401 - a JSON value can be anything
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode(errors="replace").decode()  # lone surrogates are no text
