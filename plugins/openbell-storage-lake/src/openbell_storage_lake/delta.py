"""The Delta log of a table: it follows the manifest, so that other tools can read the base.

What the log shows is the manifest's state `seq`, stated in the log itself as the transaction
version of application `openbell`. So publishing again after a crash adds nothing twice.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, Field, Schema
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import (
    AddAction,
    CommitProperties,
    PostCommitHookProperties,
    RemoveAction,
    Transaction,
)

from openbell.sdk.errors import FatalError, RetryableError
from openbell.sdk.values import Receipt
from openbell_storage_lake.files import fsync_path
from openbell_storage_lake.layout import PERIOD, TableLayout
from openbell_storage_lake.snapshot import FileEntry

APP_ID = "openbell"
_LOG = "_delta_log"
_CHECKPOINT_EVERY = 50
_NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


def is_delta(root: Path) -> bool:
    """Return whether `root` has a Delta log with something in it."""
    log = root / _LOG
    return log.is_dir() and any(log.glob("*.json"))


class DeltaLog:
    """The log of the table in folder `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._table: DeltaTable | None = None

    def create(self, layout: TableLayout) -> None:
        """Make an empty Delta table, durably."""
        DeltaTable.create(
            self._root,
            schema=Schema.from_arrow(layout.delta_schema),
            partition_by=[PERIOD],
            name=layout.spec.dataset,
            description=f"{layout.schema.name}, one row a {', '.join(layout.spec.keys)}",
        )
        self._sync(0)

    def _open(self) -> DeltaTable:
        try:
            if self._table is None:
                self._table = DeltaTable(self._root)
            else:
                self._table.update_incremental()
        except TableNotFoundError as error:
            raise FatalError(
                f"{self._root} is no Delta table: its {_LOG} folder is missing or empty; restore "
                "it, or point the storage's uri at another folder"
            ) from error
        except DeltaError as error:
            self._table = None
            raise RetryableError(f"the Delta log of {self._root} failed: {error}") from error
        return self._table

    def shown_seq(self) -> int:
        """Return the manifest's state that the log shows."""
        return int(self._open().transaction_version(APP_ID) or 0)

    def publish(
        self,
        layout: TableLayout,
        *,
        seq: int,
        at_us: int,
        added: Sequence[FileEntry],
        removed: Sequence[FileEntry],
        receipts: Sequence[Receipt],
        replace: bool = False,
    ) -> None:
        """Commit one version that shows state `seq`; with `replace` it has the files `added` only.

        The log entry is on the disk afterwards.
        """
        table = self._open()
        actions: list[AddAction | RemoveAction] = [_add(entry, at_us) for entry in added]
        if not replace:
            actions += [_remove(entry, at_us) for entry in removed]
        info = {"seq": seq, "receipts": [_receipt(receipt) for receipt in receipts]}
        try:
            table.create_write_transaction(
                actions,
                "overwrite" if replace else "append",
                Schema.from_arrow(layout.delta_schema),
                partition_by=[PERIOD],
                commit_properties=CommitProperties(
                    custom_metadata={"openbell": json.dumps(info)},
                    app_transactions=[Transaction(APP_ID, seq)],
                ),
                post_commithook_properties=_NO_HOOKS,
            )
        except DeltaError as error:
            self._table = None
            raise RetryableError(f"the Delta log of {self._root} failed: {error}") from error
        self._sync(self._open().version())

    def add_columns(self, layout: TableLayout) -> bool:
        """Add the columns of `layout` that the log does not know; return whether types differ."""
        table = self._open()
        known = {field.name: field.type for field in table.schema().fields}
        wanted = Schema.from_arrow(layout.delta_schema).fields
        missing = [Field(f.name, f.type, nullable=True) for f in wanted if f.name not in known]
        if missing:
            table.alter.add_columns(missing, post_commithook_properties=_NO_HOOKS)
            self._sync(self._open().version())
        return any(known.get(f.name, f.type) != f.type for f in wanted)

    def files(self) -> list[str]:
        """Return the paths of the files in the newest version, relative to the table."""
        return sorted(pa.table(self._open().get_add_actions()).column("path").to_pylist())

    def tidy(self) -> None:
        """Write a checkpoint when many log entries came since the last one."""
        table = self._open()
        version = table.version()
        if version - self._last_checkpoint() < _CHECKPOINT_EVERY:
            return
        table.create_checkpoint()
        for path in (self._root / _LOG).glob(f"{version:020d}.checkpoint*"):
            fsync_path(path)
        fsync_path(self._root / _LOG / "_last_checkpoint")
        fsync_path(self._root / _LOG)

    def _last_checkpoint(self) -> int:
        path = self._root / _LOG / "_last_checkpoint"
        if not path.exists():
            return 0
        return int(json.loads(path.read_text(encoding="utf-8"))["version"])

    def _sync(self, version: int) -> None:
        entry = self._root / _LOG / f"{version:020d}.json"
        if entry.exists():
            fsync_path(entry)
        fsync_path(self._root / _LOG)


def _add(entry: FileEntry, at_us: int) -> AddAction:
    return AddAction(
        path=entry.path,
        size=entry.size_bytes,
        partition_values={PERIOD: entry.period},
        modification_time=at_us // 1000,
        data_change=True,
        stats=entry.stats,
    )


def _remove(entry: FileEntry, at_us: int) -> RemoveAction:
    return RemoveAction(
        path=entry.path,
        data_change=True,
        deletion_timestamp=at_us // 1000,
        size=entry.size_bytes,
        partition_values={PERIOD: entry.period},
    )


def _receipt(receipt: Receipt) -> dict[str, Any]:
    return {
        "key": receipt.key,
        "version": receipt.version,
        "rows": receipt.row_count,
        "written": receipt.written_count,
        "unchanged": receipt.unchanged_count,
        "digest": receipt.digest,
        "committed_at": receipt.committed_at.isoformat(),
    }
