"""JSON lines: one object a line; numbers keep the digits they were written with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from openbell_provider_files.blocks import Block, text_blocks
from openbell_provider_files.layout import Layout, resolve
from openbell_provider_files.opening import OpenFile
from openbell_provider_files.raw import BrokenRow, RawRows
from openbell_provider_files.settings import FilesSettings

_SAMPLE_ROWS = 100


class JsonLinesReader:
    """Reads one file of JSON lines."""

    def __init__(self, file: OpenFile, settings: FilesSettings) -> None:
        self._file = file
        self._settings = settings

    def stretches(self, start_row: int, batch_rows: int) -> Iterator[RawRows]:
        """Yield the rows from `start_row` on."""
        known: tuple[list[str], Layout] | None = None
        for block in text_blocks(
            self._file.stream,
            encoding=self._settings.encoding,
            quotes=False,
            source=self._file.source,
        ):
            known = known or self._layout(block)
            begin = max(0, start_row - block.first_row)
            for start in range(begin, len(block.starts), batch_rows):
                stop = min(start + batch_rows, len(block.starts))
                yield _rows(block, known, range(start, stop))

    def _layout(self, block: Block) -> tuple[list[str], Layout] | None:
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
        row = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        return f"is not JSON: {str(error)[:100]}"
    return row if isinstance(row, dict) else "is not a JSON object"


def _rows(block: Block, known: tuple[list[str], Layout] | None, rows: range) -> RawRows:
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
