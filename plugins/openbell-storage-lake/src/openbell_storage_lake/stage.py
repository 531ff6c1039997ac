"""Staging: rows become files that nobody sees yet, and only the rows that are news."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from openbell.sdk.backends import StageRequest
from openbell.sdk.values import to_us
from openbell_storage_lake.blocks import Index, stamped, take, times
from openbell_storage_lake.compare import Comparison, Incoming
from openbell_storage_lake.encode import ParquetFile
from openbell_storage_lake.files import L0, fsync_path, make_folder, new_name, remove
from openbell_storage_lake.keys import KeySpace, order_last_wins
from openbell_storage_lake.layout import PERIOD, TableLayout, periods_of
from openbell_storage_lake.settings import FoldSettings
from openbell_storage_lake.snapshot import FileEntry

_PARALLEL_ROWS = 262_144


@dataclass(frozen=True, slots=True)
class Ticket:
    """The handle of a stage: what was compared with which state, and the files that came of it.

    `memo` is the rows of the one small file, to be remembered when it is committed.
    """

    incoming: Incoming | None
    seq: int
    spec_version: int
    entries: tuple[FileEntry, ...]
    digest: str
    given_count: int
    written_count: int = 0
    new_count: int = 0
    memo: pa.RecordBatch | None = None


def sort_incoming(
    layout: TableLayout, block: pa.RecordBatch, *, pool: Executor | None = None
) -> Incoming | None:
    """Return the rows in key order, the last of each key; None for no rows."""
    if not block.num_rows:
        return None
    space = KeySpace(layout, [block])
    keys = space.numbers(block)
    order = order_last_wins(keys)
    if order is not None:
        block, keys = take(block, order, pool=pool), keys[order]
    return Incoming(layout, block, space, keys)


class Stager:
    """Writes the files of one table."""

    def __init__(
        self, root: Path, pool: Executor, *, fold: FoldSettings, compression_level: int
    ) -> None:
        self._root = root
        self._pool = pool
        self._fold = fold
        self._level = compression_level

    def write(
        self, request: StageRequest, incoming: Incoming, found: Comparison
    ) -> tuple[tuple[FileEntry, ...], pa.RecordBatch | None]:
        """Return the durable files that hold the news, and the rows if there is one small file."""
        layout = incoming.layout
        rows = None if found.news.all() else np.flatnonzero(found.news)
        block = stamped(
            layout,
            take(incoming.block, rows),
            ingested_us=to_us(request.ingested_at),
            run_id=request.run_id,
        )
        names, codes = periods_of(layout.kind, times(block.column(layout.time)))
        parts = [(names[0], block)] if codes is None else _split(block, names, codes)
        enough = block.num_rows >= self._fold.base_rows * len(parts)
        if enough and not found.known.any():
            return self._to_base(layout, parts), None
        entry = self._to_l0(layout, parts)
        return (entry,), block if len(parts) == 1 else None

    def new_file(self, layout: TableLayout, folder: str, *, is_chunk: bool = False) -> ParquetFile:
        """Return a file to be written in `folder` of the table.

        A chunk is one of several runs of its period. A series is short in it, so its row groups
        are, too; whoever reads one series decodes less.
        """
        group_rows = self._fold.group_rows
        make_folder(self._root / folder)
        relative = f"{folder}/{new_name()}"
        return ParquetFile(
            layout,
            self._root,
            relative,
            compression_level=self._level,
            group_rows=max(1, group_rows // 4) if is_chunk else group_rows,
        )

    def sync(self, entries: Sequence[FileEntry]) -> None:
        """Return once the folders that name these files are on the disk."""
        for folder in {(self._root / entry.path).parent for entry in entries}:
            fsync_path(folder)

    def discard(self, entries: Sequence[FileEntry]) -> None:
        """Delete files that were never committed."""
        for entry in entries:
            remove(self._root / entry.path)

    def _to_l0(self, layout: TableLayout, parts: Sequence[tuple[str, pa.RecordBatch]]) -> FileEntry:
        file = self.new_file(layout, L0)
        try:
            for period, block in parts:
                file.write(block, period)
            entry = file.finish()
            self.sync([entry])
        except BaseException:
            file.discard()
            raise
        return entry

    def _to_base(
        self, layout: TableLayout, parts: Sequence[tuple[str, pa.RecordBatch]]
    ) -> tuple[FileEntry, ...]:
        halves = [(period, half) for period, block in parts for half in _halves(layout, block)]
        files = [self.new_file(layout, f"{PERIOD}={period}", is_chunk=True) for period, _ in halves]

        def encode(number: int) -> FileEntry:
            period, block = halves[number]
            files[number].write(block, period)
            return files[number].finish()

        futures = [self._pool.submit(encode, number) for number in range(len(halves))]
        try:
            entries = tuple(future.result() for future in futures)
            self.sync(entries)
        except BaseException:
            for future in futures:
                future.cancel()
            for future in futures:
                if not future.cancelled():
                    future.exception()
            for file in files:
                file.discard()
            raise
        return entries


def _split(
    block: pa.RecordBatch, names: list[str], codes: Index
) -> list[tuple[str, pa.RecordBatch]]:
    return [
        (name, take(block, np.flatnonzero(codes == number))) for number, name in enumerate(names)
    ]


def _halves(layout: TableLayout, block: pa.RecordBatch) -> list[pa.RecordBatch]:
    """Cut a long block between two series, so that two processors can encode it."""
    if block.num_rows < _PARALLEL_ROWS:
        return [block]
    codes = block.column(layout.series).indices.to_numpy(zero_copy_only=False)
    middle = len(codes) // 2
    changes = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    if not len(changes):
        return [block]
    cut = int(changes[np.argmin(np.abs(changes - middle))])
    return [block.slice(0, cut), block.slice(cut)]
