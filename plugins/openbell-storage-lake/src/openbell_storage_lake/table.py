"""One table of the lake: its manifest, its Delta log, and how a commit becomes visible."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from threading import RLock

import numpy as np
import pyarrow as pa

from openbell.sdk.backends import Staged, StageRequest
from openbell.sdk.errors import FatalError, RetryableError
from openbell.sdk.schemas import TableSpec
from openbell.sdk.values import Receipt, from_us, to_us
from openbell_storage_lake.blocks import digest, from_batches, to_block
from openbell_storage_lake.compare import Memory, compare
from openbell_storage_lake.delta import DeltaLog
from openbell_storage_lake.files import INTERNAL, folder_lock
from openbell_storage_lake.layout import PERIOD, TableLayout, dump_spec, load_spec
from openbell_storage_lake.manifest import Manifest, Transaction, placed
from openbell_storage_lake.recall import Recall
from openbell_storage_lake.scan import Scanner
from openbell_storage_lake.settings import LakeSettings
from openbell_storage_lake.snapshot import FileEntry
from openbell_storage_lake.stage import Stager, Ticket, sort_incoming

_INLINE_ROWS = 20_000
_RECEIPTS_SHOWN = 100


def now_us() -> int:
    """Return the wall clock: when readers saw what, and how old superseded files are."""
    return time.time_ns() // 1000


class LakeTable:
    """An open table. One lock: threads of one process take turns, processes use the manifest."""

    def __init__(
        self, root: Path, settings: LakeSettings, *, recall: Recall, pool: Executor
    ) -> None:
        self.root = root
        self.settings = settings
        self.pool = pool
        self.lock = RLock()
        self.manifest = Manifest(
            root / INTERNAL / "manifest.sqlite", busy_timeout_s=settings.busy_timeout_s
        )
        self.log = DeltaLog(root)
        self.scanner = Scanner(root)
        self.stager = Stager(
            root,
            pool,
            fold=settings.fold,
            compression_level=settings.compression_level,
        )
        self._memory = Memory(self.scanner, recall)
        self._layout: tuple[int, TableLayout] | None = None

    def close(self) -> None:
        """Close the manifest."""
        with self.lock:
            self.manifest.close()

    @property
    def layout(self) -> TableLayout:
        """The table's columns as they are now."""
        return self._current()[1]

    def _current(self) -> tuple[int, TableLayout]:
        meta = self.manifest.meta()
        if self._layout is None or self._layout[0] != meta.spec_version:
            layout = TableLayout(load_spec(meta.spec), meta.kind)  # type: ignore[arg-type] # written by create
            self._layout = (meta.spec_version, layout)
        return self._layout

    def stage(self, request: StageRequest, batches: Iterable[pa.RecordBatch]) -> Staged:
        """Write what is new among `batches` where no reader looks."""
        with self.lock:
            version, layout = self._current()
            done = self.manifest.receipt(request.key, request.table.dataset)
            if done is not None:
                return _staged(request, None, done.written_count, done)
            block = from_batches(layout, batches)
            ticket = self._write(request, self._sorted(layout, version, block))
            return _staged(request, ticket, ticket.written_count, None)

    def _sorted(self, layout: TableLayout, version: int, block: pa.RecordBatch) -> Ticket:
        """Return the rows in key order, not compared yet, with the digest of how they came."""
        if block.num_rows > _INLINE_ROWS:
            proof = self.pool.submit(digest, block)
            incoming = sort_incoming(layout, block, pool=self.pool)
            summary = proof.result()
        else:
            incoming, summary = sort_incoming(layout, block), digest(block)
        count = 0 if incoming is None else len(incoming.keys)
        return Ticket(incoming, 0, version, (), summary, count)

    def _write(self, request: StageRequest, ticket: Ticket) -> Ticket:
        """Compare with the table as it is now, and write the news."""
        incoming = ticket.incoming
        snapshot = self.manifest.snapshot()
        if incoming is None:
            return ticket
        entries = snapshot.overlapping(*incoming.box)
        ingested_us = to_us(request.ingested_at)
        found = compare(incoming, self._memory, entries, ingested_us=ingested_us, pool=self.pool)
        files: tuple[FileEntry, ...] = ()
        memo = None
        if found.news.any():
            files, memo = self.stager.write(request, incoming, found)
        return replace(
            ticket,
            seq=snapshot.seq,
            entries=files,
            written_count=int(np.count_nonzero(found.news)),
            new_count=int(np.count_nonzero(found.news & ~found.known)),
            memo=memo,
        )

    def commit(self, staged: Staged) -> Receipt:
        """Make a stage's files part of the table, or return the receipt of its key."""
        request, ticket = staged.request, staged.token
        with self.lock:
            if staged.receipt is not None:
                return staged.receipt
            assert isinstance(ticket, Ticket)
            with self.manifest.writing() as transaction:
                done = self.manifest.receipt(request.key, request.table.dataset)
                if done is None:
                    ticket, receipt = self._enter(transaction, request, ticket)
            if done is not None:
                return done
            if ticket.memo is not None:
                self._memory.remember(self.layout, ticket.entries[0], ticket.memo)
            if any(entry.level for entry in ticket.entries):
                self._publish_soon()
            return receipt

    def _enter(
        self, transaction: Transaction, request: StageRequest, ticket: Ticket
    ) -> tuple[Ticket, Receipt]:
        """Enter a stage's files under the write lock; staged anew if others came between."""
        ticket = self._fresh(transaction, request, ticket)
        version, at_us = self.manifest.meta().version, now_us()
        if ticket.entries:
            version, at_us = transaction.next_seq(at_us)
            transaction.add(
                placed(entry, added_seq=version, content_seq=version, folded=False)
                for entry in ticket.entries
            )
            transaction.grow(ticket.new_count)
        receipt = Receipt(
            key=request.key,
            dataset=request.table.dataset,
            interval=request.interval,
            row_count=ticket.given_count,
            written_count=ticket.written_count,
            unchanged_count=ticket.given_count - ticket.written_count,
            size_bytes=sum(entry.size_bytes for entry in ticket.entries),
            digest=ticket.digest,
            version=version,
            committed_at=from_us(at_us),
        )
        transaction.keep(receipt, request.run_id)
        return ticket, receipt

    def _fresh(self, transaction: Transaction, request: StageRequest, ticket: Ticket) -> Ticket:
        """Return `ticket`, or a new one if the rows' place in the table changed since."""
        incoming = ticket.incoming
        version, layout = self._current()
        if incoming is None:
            return ticket
        if ticket.spec_version != version:
            schema = pa.schema([layout.block_schema.field(name) for name in layout.given])
            block = to_block(pa.Table.from_batches([incoming.block]), schema)
            moved = replace(ticket, incoming=sort_incoming(layout, block), spec_version=version)
        elif transaction.has_conflict(ticket.seq, incoming.box):
            moved = ticket
        else:
            return ticket
        fresh = self._write(request, moved)
        self.stager.discard(ticket.entries)
        return fresh

    def abort(self, staged: Staged) -> None:
        """Delete a stage's files unless they were committed."""
        with self.lock:
            if isinstance(staged.token, Ticket):
                known = self.manifest.paths() if staged.token.entries else set()
                self.stager.discard([e for e in staged.token.entries if e.path not in known])

    def _publish_soon(self) -> None:
        """Publish what was just committed. It stands already: a full disk only delays the log."""
        with contextlib.suppress(RetryableError, OSError, sqlite3.OperationalError):
            self.publish()

    def publish(self) -> None:
        """Bring the Delta log up to the manifest; one process at a time does it for all."""
        if not self._behind():
            return
        with folder_lock(self.root / INTERNAL / "publish.lock", wait=True):
            if not self._behind():
                return
            shown_seq = self.log.shown_seq()
            meta = self.manifest.meta()
            layout = self.layout
            widened = meta.published_spec < meta.spec_version and self.log.add_columns(layout)
            added, removed = self.manifest.base_changes(-1 if widened else shown_seq)
            if added or removed:
                self.log.publish(
                    layout,
                    seq=meta.seq,
                    at_us=now_us(),
                    added=[entry for entry in added if entry.added_seq <= meta.seq],
                    removed=removed,
                    receipts=self.manifest.receipts_since(
                        shown_seq, layout.spec.dataset, limit=_RECEIPTS_SHOWN
                    ),
                    replace=widened,
                )
            with self.manifest.writing() as transaction:
                transaction.set_published(meta.seq, meta.spec_version)

    def check_log(self) -> None:
        """Raise FatalError when somebody else wrote to the Delta table."""
        with folder_lock(self.root / INTERNAL / "publish.lock", wait=True), self.lock:
            shown = set(self.log.files())
            foreign = shown - self.manifest.paths()
            published_seq = self.manifest.meta().published_seq
            missing = {
                entry.path
                for entry in self.live()
                if entry.level == 1 and entry.added_seq <= published_seq
            } - shown
        if foreign or missing:
            raise FatalError(
                f"{self.root} was changed by another writer than openbell: {len(foreign)} files "
                f"were added and {len(missing)} removed; undo it with deltalake's "
                f"DeltaTable.restore, and let only openbell write there"
            )

    def widen(self, spec: TableSpec) -> None:
        """Rewrite the base with wider types; the caller holds the fold lock."""
        layout = TableLayout(spec, self.layout.kind)
        with self.lock:
            old = [entry for entry in self.live() if entry.level == 1]
        written = [self._rewritten(layout, entry) for entry in old]
        try:
            with self.lock, self.manifest.writing() as transaction:
                known = {entry.id for entry in old}
                late = [e for e in self.live() if e.level == 1 and e.id not in known]
                written += [self._rewritten(layout, entry) for entry in late]
                self.stager.sync(written)
                seq, _ = transaction.next_seq(now_us())
                transaction.supersede([*old, *late], seq)
                transaction.add(
                    placed(new, added_seq=seq, content_seq=was.content_seq, folded=True)
                    for new, was in zip(written, [*old, *late], strict=True)
                )
                transaction.set_spec(dump_spec(spec))
        except BaseException:
            self.stager.discard(written)
            raise

    def _rewritten(self, layout: TableLayout, entry: FileEntry) -> FileEntry:
        file = self.stager.new_file(layout, f"{PERIOD}={entry.period}")
        try:
            groups = range(len(entry.groups))
            for block in self.scanner.strides(layout, entry, groups, layout.names):
                file.write(block, entry.period)
            return file.finish()
        except BaseException:
            file.discard()
            raise

    def _behind(self) -> bool:
        meta = self.manifest.meta()
        return meta.published_seq < meta.seq or meta.published_spec < meta.spec_version

    def live(self) -> list[FileEntry]:
        """Return the files of the table as it is now."""
        with self.lock:
            return list(self.manifest.snapshot().files.values())


def _staged(
    request: StageRequest, ticket: Ticket | None, written_count: int, receipt: Receipt | None
) -> Staged:
    given = receipt.row_count if receipt is not None else ticket.given_count if ticket else 0
    return Staged(
        request=request,
        token=ticket,
        row_count=given,
        written_count=written_count,
        unchanged_count=given - written_count,
        receipt=receipt,
    )
