"""The lake as a backend: tables in folders, made on first use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from threading import RLock

import pyarrow as pa

from openbell.sdk.backends import ReadFilter, Staged, StageRequest, TableStats
from openbell.sdk.errors import FatalError, NotFoundError
from openbell.sdk.schemas import TableSpec
from openbell.sdk.values import Receipt, from_us, to_us
from openbell_storage_lake.evolve import ensure_table
from openbell_storage_lake.files import INTERNAL, folder_lock, translated
from openbell_storage_lake.fold import Folder
from openbell_storage_lake.read import read_rows
from openbell_storage_lake.recall import Recall
from openbell_storage_lake.settings import LakeSettings
from openbell_storage_lake.sweep import forget_superseded, sweep_strays
from openbell_storage_lake.table import LakeTable

_THREADS = 2


class LakeBackend:
    """Delta tables in two levels below one folder (see the plugin's README)."""

    def __init__(self, settings: LakeSettings) -> None:
        self._settings = settings
        self._root = Path(settings.uri)
        self._recall = Recall(settings.cache_mb << 20)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="lake")
        self._readers = ThreadPoolExecutor(_THREADS, thread_name_prefix="lake-read")
        self._tables: dict[str, LakeTable] = {}
        self._ensured: dict[str, TableSpec] = {}
        self._lock = RLock()

    def ensure(self, table: TableSpec) -> None:
        """Create the table, or evolve it: new nullable columns are added, types widened."""
        with self._lock:
            if self._ensured.get(table.dataset) == table:
                return
            root = self._folder(table.dataset)
            with translated(root):
                ensure_table(table, root, lambda: self._open(table.dataset))
            self._ensured[table.dataset] = table

    def stage(self, request: StageRequest, batches: Iterable[pa.RecordBatch]) -> Staged:
        """Write the rows that are news where no reader looks."""
        self.ensure(request.table)
        rows = list(batches)
        with translated(self._root):
            return self._table(request.table.dataset).stage(request, rows)

    def commit(self, staged: Staged) -> Receipt:
        """Make the rows visible, all or none, durably; committing twice equals once."""
        with translated(self._root):
            return self._table(staged.request.table.dataset).commit(staged)

    def abort(self, staged: Staged) -> None:
        """Forget what was staged."""
        with translated(self._root):
            self._table(staged.request.table.dataset).abort(staged)

    def maintain(self, dataset: str) -> int:
        """Fold L0, merge short runs, publish, and clean; 0 when another process is at it."""
        table = self._table(dataset)
        with (
            translated(self._root),
            folder_lock(table.root / INTERNAL / "fold.lock", wait=False) as is_ours,
        ):
            if not is_ours:
                return 0
            table.publish()
            table.check_log()
            row_count = Folder(table).fold()
            table.log.tidy()
            forget_superseded(table)
            sweep_strays(table)
            return row_count

    def read(
        self, dataset: str, rows: ReadFilter, *, as_of: datetime | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield matching rows sorted by series and time; text columns are dictionary-encoded."""
        table = self._table(dataset)
        with translated(self._root):
            with table.lock:
                if as_of is None:
                    entries = table.live()
                else:
                    then = table.manifest.at(to_us(as_of))
                    if then is None:
                        raise NotFoundError(
                            f"dataset {dataset} as of {as_of.isoformat()} is not kept any more; "
                            "keep.superseded_days says how long"
                        )
                    entries = list(then.files.values())
                layout = table.layout
            yield from read_rows(
                layout,
                table.scanner,
                entries,
                rows,
                slice_rows=self._settings.fold.slice_rows,
                pool=self._readers,
            )

    def stats(self, dataset: str) -> TableStats:
        """Return the table in numbers; `pending_row_count` may revise rows of the base."""
        table = self._table(dataset)
        with translated(self._root), table.lock:
            entries = table.live()
            meta = table.manifest.meta()
        waiting = [entry for entry in entries if entry.level == 0]
        return TableStats(
            dataset=dataset,
            row_count=meta.row_count,
            size_bytes=sum(entry.size_bytes for entry in entries),
            file_count=len(entries),
            version=meta.version,
            first_ts=from_us(min(e.min_ts for e in entries)) if entries else None,
            last_ts=from_us(max(e.max_ts for e in entries)) if entries else None,
            pending_row_count=sum(entry.row_count for entry in waiting),
            pending_file_count=len(waiting),
        )

    def datasets(self) -> Sequence[str]:
        """Return the names of the tables that are there, sorted."""
        with translated(self._root):
            if not self._root.exists():
                return []
            folders = [path for path in self._root.iterdir() if path.is_dir()]
            return sorted(
                path.name for path in folders if (path / INTERNAL / "manifest.sqlite").exists()
            )

    def close(self) -> None:
        """Release files, connections and threads."""
        with self._lock:
            for table in self._tables.values():
                table.close()
            self._tables.clear()
            self._ensured.clear()
            self._pool.shutdown()
            self._readers.shutdown()

    def _folder(self, dataset: str) -> Path:
        if not dataset or "/" in dataset or dataset[0] in "._":
            raise FatalError(f"{dataset!r} cannot be the name of a folder of the lake")
        return self._root / dataset

    def _table(self, dataset: str) -> LakeTable:
        with self._lock:
            if dataset in self._tables:
                return self._tables[dataset]
            root = self._folder(dataset)
            if not (root / INTERNAL / "manifest.sqlite").exists():
                raise NotFoundError(
                    f"the lake at {self._root} has no dataset {dataset}; it has "
                    f"{', '.join(self.datasets()) or 'none'}"
                )
            with translated(root):
                return self._open(dataset)

    def _open(self, dataset: str) -> LakeTable:
        if dataset not in self._tables:
            root = self._folder(dataset)
            self._tables[dataset] = LakeTable(
                root, self._settings, recall=self._recall, pool=self._pool
            )
        return self._tables[dataset]
