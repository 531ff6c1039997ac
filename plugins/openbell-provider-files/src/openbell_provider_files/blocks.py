"""Text files as blocks of whole lines, with every record's place and line number."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openbell.sdk.errors import MalformedError
from openbell_provider_files.opening import Bounded

Ints = npt.NDArray[np.int64]
BLOCK_BYTES = 8 << 20
MAX_LINE_BYTES = 16 << 20
_MAX_QUOTED_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some records: record i is `data[starts[i]:ends[i]]` and begins in line `lines[i]` (from 1).

    Blank lines are no records. `first_row` records come before it in the file. Where quotes do
    not pair up, `has_stray_quote` is True and each line stands for itself.
    """

    data: bytes
    starts: Ints
    ends: Ints
    lines: Ints
    first_row: int
    has_stray_quote: bool

    def text(self, index: int) -> str:
        """Return record `index` as it stands in the file."""
        return self.data[self.starts[index] : self.ends[index]].decode(errors="replace")


def text_blocks(stream: Bounded, *, encoding: str, quotes: bool, source: str) -> Iterator[Block]:
    """Yield the blocks of a text file as UTF-8 in which line feeds end the lines.

    With `quotes`, a line end between two `"` belongs to the record. Raises MalformedError for a
    line of more than `MAX_LINE_BYTES`.
    """
    tail, line, row = b"", 1, 0
    for chunk in _chunks(stream, encoding):
        data = tail + chunk
        cut, stray = _cut(data, quotes=quotes)
        if cut == 0:
            if len(data) > MAX_LINE_BYTES:
                raise MalformedError(
                    f"{source}:{line}: a line of more than {MAX_LINE_BYTES:,} bytes; "
                    "is this a text file? Correct `format:` or `compression:`"
                )
            tail = data
            continue
        block = _block(data[:cut], (line, row), quotes=quotes and not stray)
        tail = data[cut:]
        line += data.count(b"\n", 0, cut)
        row += len(block.starts)
        yield block
    if tail:
        yield _block(tail, (line, row), quotes=quotes)


def _cut(data: bytes, *, quotes: bool) -> tuple[int, bool]:
    """Return how many bytes hold whole records, and whether quotes had to be ignored."""
    last = data.rfind(b"\n") + 1
    if not quotes or b'"' not in data:
        return last, False
    content = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(content == 10)
    even = ends[np.searchsorted(np.flatnonzero(content == 34), ends) % 2 == 0]
    cut = int(even[-1]) + 1 if len(even) else 0
    if len(data) - cut > _MAX_QUOTED_BYTES and last > cut:
        return last, True
    return cut, False


def _block(data: bytes, place: tuple[int, int], *, quotes: bool) -> Block:
    data = _valid_utf8(data)
    content = np.frombuffer(data, dtype=np.uint8)
    line_ends = np.flatnonzero(content == 10)
    ends, stray = line_ends, b'"' in data and not quotes
    if quotes and b'"' in data:
        marks = np.flatnonzero(content == 34)
        stray = len(marks) % 2 == 1
        if not stray:
            ends = line_ends[np.searchsorted(marks, line_ends) % 2 == 0]
    if not len(ends) or ends[-1] != len(data) - 1:
        ends = np.append(ends, len(data))
    starts = np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1] + 1])
    lines = place[0] + np.searchsorted(line_ends, starts)
    full = ends > starts
    return Block(
        data=data,
        starts=starts[full],
        ends=ends[full],
        lines=lines[full].astype(np.int64),
        first_row=place[1],
        has_stray_quote=stray,
    )


def _valid_utf8(data: bytes) -> bytes:
    if data.isascii():
        return data
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode(errors="replace").encode()
    return data


def _chunks(stream: Bounded, encoding: str) -> Iterator[bytes]:
    """Yield the file as UTF-8 (or what claims to be), without a mark, a line feed after each line."""
    first = stream.read(BLOCK_BYTES)
    if first.startswith(codecs.BOM_UTF8):
        first, encoding = first[3:], "utf-8"
    elif first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)("replace")
    held = b""
    chunk = first
    while chunk:
        following = stream.read(BLOCK_BYTES)
        if decoder is not None:
            chunk = decoder.decode(chunk, final=not following).encode(errors="replace")
        chunk = held + chunk
        held = b"\r" if following and chunk.endswith(b"\r") else b""
        chunk = chunk[: len(chunk) - len(held)]
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if not following and not chunk.endswith(b"\n"):
            chunk += b"\n"
        if chunk:
            yield chunk
        chunk = following
