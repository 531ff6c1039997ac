"""Folding: L0 becomes base files, all periods at once, and short runs of base files become one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from openbell_storage_lake.encode import ParquetFile
from openbell_storage_lake.layout import PERIOD, TableLayout
from openbell_storage_lake.manifest import placed
from openbell_storage_lake.merge import (
    Bounds,
    Piece,
    merged,
    pieces_of,
    reading_cost,
    series_slices,
    time_slices,
)
from openbell_storage_lake.snapshot import FileEntry
from openbell_storage_lake.table import LakeTable, now_us


@dataclass(frozen=True, slots=True)
class PeriodPlan:
    """What is merged in one period: pieces of L0 files, and base files that they touch."""

    period: str
    pieces: tuple[Piece, ...]
    base: tuple[FileEntry, ...]


def plan(entries: Sequence[FileEntry], *, max_runs: int) -> list[PeriodPlan]:
    """Return which periods have something to fold, and with which base files."""
    small = [entry for entry in entries if entry.level == 0]
    base: dict[str, list[FileEntry]] = defaultdict(list)
    for entry in entries:
        if entry.level == 1:
            base[entry.period].append(entry)
    periods = {group.period for entry in small for group in entry.groups}
    plans = []
    for period in sorted(periods | set(base)):
        pieces = pieces_of(small, period)
        touched = [entry for entry in base[period] if _touches(entry, pieces)]
        runs = _runs([e for e in base[period] if e not in touched]) + bool(pieces)
        if runs > max_runs:
            touched = base[period]
        if pieces or len(touched) > 1:
            plans.append(PeriodPlan(period, (*pieces_of(touched), *pieces), tuple(touched)))
    return plans


def _touches(entry: FileEntry, pieces: Sequence[Piece]) -> bool:
    return any(
        group.min_ts <= entry.max_ts
        and group.max_ts >= entry.min_ts
        and group.min_series <= entry.max_series
        and group.max_series >= entry.min_series
        for piece in pieces
        for group in (piece.entry.groups[number] for number in piece.groups)
    )


def _runs(entries: Sequence[FileEntry]) -> int:
    """Return how many of the files may hold the same series, at most."""
    edges = [(e.min_series, 0, 1) for e in entries] + [(e.max_series, 1, -1) for e in entries]
    depth = most = 0
    for _, _, step in sorted(edges):
        depth += step
        most = max(most, depth)
    return most


class Folder:
    """Folds one table. The caller holds the fold lock, so base files leave by this hand only."""

    def __init__(self, table: LakeTable) -> None:
        self._table = table
        self._fold = table.settings.fold

    def fold(self) -> int:
        """Fold all of L0 and merge what has too many runs; return how many rows were written."""
        table = self._table
        with table.lock:
            snapshot = table.manifest.snapshot()
            entries, seq, layout = list(snapshot.files.values()), snapshot.seq, table.layout
        plans = plan(entries, max_runs=self._fold.max_runs)
        if not plans:
            return 0
        written: list[FileEntry] = []
        futures = [table.pool.submit(self._merge, layout, one) for one in plans]
        try:
            for future in futures:
                written += future.result()
            table.stager.sync(written)
            gone = [e for e in entries if e.level == 0]
            gone += [entry for one in plans for entry in one.base]
            self._enter(written, gone, seq)
        except BaseException:
            for future in futures:
                future.cancel()
            for future in futures:
                if not future.cancelled() and future.exception() is None:
                    table.stager.discard(future.result())
            raise
        table.publish()
        return sum(entry.row_count for entry in written)

    def _enter(self, written: Sequence[FileEntry], gone: Sequence[FileEntry], seq: int) -> None:
        table = self._table
        with table.lock, table.manifest.writing() as transaction:
            new_seq, _ = transaction.next_seq(now_us())
            if not transaction.supersede(gone, new_seq):
                raise AssertionError("a file was folded twice although the fold lock is held")
            transaction.add(
                placed(entry, added_seq=new_seq, content_seq=seq, folded=True) for entry in written
            )

    def _merge(self, layout: TableLayout, one: PeriodPlan) -> list[FileEntry]:
        """Write the merged files of one period; nothing stays behind after an error."""
        table, pieces = self._table, one.pieces
        by_series = series_slices(layout, table.scanner, pieces, self._fold.slice_rows)
        by_time = time_slices(pieces, self._fold.slice_rows)
        in_time = reading_cost(pieces, by_time) < reading_cost(pieces, by_series)
        files: list[ParquetFile] = []
        entries: list[FileEntry] = []
        try:
            for bounds in by_time if in_time else by_series:
                self._append(layout, one, bounds, files)
                if files and (in_time or files[-1].row_count >= self._fold.file_rows):
                    self._finish(files, entries)
            self._finish(files, entries)
        except BaseException:
            for file in files:
                file.discard()
            table.stager.discard(entries)
            raise
        return entries

    def _append(
        self, layout: TableLayout, one: PeriodPlan, bounds: Bounds, files: list[ParquetFile]
    ) -> None:
        table = self._table
        block = merged(layout, table.scanner, one.pieces, bounds, columns=layout.names)
        if block is None:
            return
        if not files:
            files.append(table.stager.new_file(layout, f"{PERIOD}={one.period}"))
        files[-1].write(block, one.period)

    @staticmethod
    def _finish(files: list[ParquetFile], entries: list[FileEntry]) -> None:
        if files:
            entries.append(files[-1].finish())
            files.pop()
