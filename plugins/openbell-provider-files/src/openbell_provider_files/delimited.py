"""CSV and TSV: rows by Arrow's parser, odd ones by Python's, each with its line number."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as arrow_csv

from openbell.sdk.errors import MalformedError
from openbell_provider_files.blocks import Block, text_blocks
from openbell_provider_files.layout import Layout, resolve
from openbell_provider_files.opening import OpenFile
from openbell_provider_files.raw import BrokenRow, RawRows
from openbell_provider_files.settings import FilesSettings

_SAMPLE_ROWS = 200
_MAX_JOINED_LINES = 20


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a file's rows look like."""

    width: int
    layout: Layout
    delimiter: str


class DelimitedReader:
    """Reads one CSV or TSV file."""

    def __init__(self, file: OpenFile, settings: FilesSettings) -> None:
        self._file = file
        self._settings = settings
        self._delimiter = settings.delimiter or ("\t" if file.kind == "tsv" else ",")

    def stretches(self, start_row: int, batch_rows: int) -> Iterator[RawRows]:
        """Yield the rows from `start_row` on; the header is no row."""
        settings = self._settings
        shape: _Shape | None = None
        header_rows = 0
        for block in text_blocks(
            self._file.stream, encoding=settings.encoding, quotes=True, source=self._file.source
        ):
            first = int(np.searchsorted(block.lines, settings.skip_lines, side="right"))
            if shape is None:
                if first == len(block.lines):
                    header_rows += first
                    continue
                header_rows += first + settings.header
                shape = self._shape(block, first)
                first += settings.header
            begin = max(first, start_row + header_rows - block.first_row)
            for start in range(begin, len(block.starts), batch_rows):
                stop = min(start + batch_rows, len(block.starts))
                next_row = block.first_row + stop - header_rows
                yield self._rows(block, shape, slice(start, stop), next_row=next_row)
        if shape is None and settings.header:
            raise MalformedError(
                f"{self._file.source}: has no header line; set header: false if it needs none"
            )

    def _shape(self, block: Block, first: int) -> _Shape:
        sample = range(first, min(first + _SAMPLE_ROWS, len(block.starts)))
        names = None
        if self._settings.header:
            names = self._split(block.text(first))
            width = len(names)
        else:
            counts = Counter(len(self._split(block.text(index))) for index in sample)
            width = counts.most_common(1)[0][0]
        layout = resolve(self._settings.mapping, names=names, width=width, source=self._file.source)
        return _Shape(width, layout, self._delimiter)

    def _split(self, text: str) -> Sequence[str]:
        return _fields(text.replace("\n", " "), self._delimiter, strict=False)

    def _rows(self, block: Block, shape: _Shape, rows: slice, *, next_row: int) -> RawRows:
        parsed = None if block.has_stray_quote else _by_arrow(block, shape, rows)
        if parsed is None:
            parsed = _by_python(block, shape, rows)
        return RawRows(
            columns={
                field: [parsed.columns[index] for index in indexes]
                for field, indexes in shape.layout.items()
            },
            lines=parsed.lines,
            raw_text=parsed.raw_text,
            next_row=next_row,
            broken=parsed.broken,
        )


@dataclass(frozen=True, slots=True)
class _Parsed:
    """Rows that were split into columns (by index), and those that could not be."""

    columns: dict[int, pa.Array]
    lines: npt.NDArray[np.int64]
    raw_text: Callable[[int], str]
    broken: list[BrokenRow]


def _by_arrow(block: Block, shape: _Shape, rows: slice) -> _Parsed | None:
    """Return the good records' indexes, their columns and the broken ones; None if unsure."""
    bad_rows: list[tuple[int, int]] = []

    def note(row: arrow_csv.InvalidRow) -> str:
        bad_rows.append((row.number - 1, row.actual_columns))
        return "skip"

    content = memoryview(block.data)[block.starts[rows.start] : block.ends[rows.stop - 1]]
    names = [str(index) for index in range(shape.width)]
    used = sorted({index for indexes in shape.layout.values() for index in indexes})
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(pa.py_buffer(content)),
            read_options=arrow_csv.ReadOptions(
                use_threads=False, column_names=names, block_size=len(content) + 1
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=shape.delimiter, newlines_in_values=True, invalid_row_handler=note
            ),
            convert_options=arrow_csv.ConvertOptions(
                check_utf8=False,
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=[str(index) for index in used],
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None
    row_count = rows.stop - rows.start
    if table.num_rows + len(bad_rows) != row_count or _runs_away(block, shape, rows, bad_rows):
        return None
    is_good = np.ones(row_count, dtype=bool)
    is_good[[number for number, _ in bad_rows]] = False
    good = np.flatnonzero(is_good) + rows.start
    broken = []
    for number, count in bad_rows:
        index = rows.start + number
        broken += _wrong_width(int(block.lines[index]), block.text(index), count, shape.width)
    return _Parsed(
        columns={index: table.column(str(index)).combine_chunks() for index in used},
        lines=block.lines[good],
        raw_text=lambda index: block.text(int(good[index])),
        broken=broken,
    )


def _runs_away(
    block: Block, shape: _Shape, rows: slice, bad_rows: Sequence[tuple[int, int]]
) -> bool:
    """Return whether a stray quote may have swallowed lines that are rows."""
    first, last = block.starts[rows.start], block.ends[rows.stop - 1]
    if block.data.find(b'"', first, last) < 0:
        return False
    broken = {rows.start + number for number, _ in bad_rows}
    for index in range(rows.start, rows.stop):
        if block.data.find(b"\n", block.starts[index], block.ends[index]) < 0:
            continue
        following = block.text(index).split("\n")[1:]
        if index in broken or len(following) >= _MAX_JOINED_LINES:
            return True
        if any(_looks_like_a_row(line, shape) for line in following):
            return True
    return False


def _looks_like_a_row(line: str, shape: _Shape) -> bool:
    return len(_fields(line, shape.delimiter, strict=False)) == shape.width


def _by_python(block: Block, shape: _Shape, rows: slice) -> _Parsed:
    """Split line by line, so that a stray quote costs no row but its own."""
    used = sorted({index for indexes in shape.layout.values() for index in indexes})
    cells: dict[int, list[str]] = {index: [] for index in used}
    lines: list[int] = []
    texts: list[str] = []
    broken: list[BrokenRow] = []
    todo = [
        (int(block.lines[index]) + number, text)
        for index in range(rows.start, rows.stop)
        for number, text in enumerate(block.text(index).split("\n"))
    ]
    at = 0
    while at < len(todo):
        line, first = todo[at]
        text, fields, count = _record(
            [text for _, text in todo[at : at + _MAX_JOINED_LINES]], shape
        )
        if fields is None:
            found = len(_fields(first, shape.delimiter, strict=False))
            broken += _wrong_width(line, first, found, shape.width)
        else:
            lines.append(line)
            texts.append(text)
            for index in used:
                cells[index].append(fields[index])
        at += count
    return _Parsed(
        columns={index: pa.array(column, pa.string()) for index, column in cells.items()},
        lines=np.array(lines, dtype=np.int64),
        raw_text=lambda index: texts[index],
        broken=broken,
    )


def _record(texts: Sequence[str], shape: _Shape) -> tuple[str, Sequence[str] | None, int]:
    """Return the record that begins with the first line, its fields, and how many lines it has."""
    joined = ""
    for count, text in enumerate(texts, start=1):
        if count > 1 and _looks_like_a_row(text, shape):
            break
        joined = text if count == 1 else f"{joined}\n{text}"
        if count == 1 or joined.count('"') % 2 == 0:
            fields = _fields(joined, shape.delimiter, strict=True)
            if len(fields) == shape.width:
                return joined, fields, count
            if joined.count('"') % 2 == 0:
                break
    return texts[0], None, 1


def _fields(text: str, delimiter: str, *, strict: bool) -> Sequence[str]:
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=strict), [])
    except csv.Error:
        return ()


def _wrong_width(line: int, raw: str, count: int, width: int) -> list[BrokenRow]:
    """Return the broken row, none for a line of blanks."""
    if not raw.strip():
        return []
    if raw.count('"') % 2 == 1:
        return [BrokenRow(line, raw, "has a quote that is opened and not closed")]
    return [BrokenRow(line, raw, f"has {count} columns instead of {width}")]
