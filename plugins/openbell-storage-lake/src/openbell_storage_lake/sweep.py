"""Cleaning: superseded files past their time, strays of dead writers, old receipts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from openbell_storage_lake.files import L0, owner_is_gone, remove
from openbell_storage_lake.layout import PERIOD
from openbell_storage_lake.table import LakeTable, now_us

_DAY_US = 86_400_000_000
_LEAST_US = 60_000_000


def forget_superseded(table: LakeTable) -> None:
    """Delete files that were superseded longer ago than the settings keep them for `as_of`.

    A minute is kept in any case, for readers that have begun.
    """
    keep = table.settings.keep
    now = now_us()
    kept_us = max(int(keep.superseded_days * _DAY_US), _LEAST_US)
    with table.lock:
        published = table.manifest.meta().published_seq
        files = table.manifest.superseded(now - kept_us, published)
        with table.manifest.writing() as transaction:
            transaction.forget(files, now - int(keep.receipts_days * _DAY_US))
    for _, path, _ in files:
        remove(table.root / path)


def sweep_strays(table: LakeTable) -> int:
    """Delete files that no commit names and whose writer cannot commit them any more.

    The order makes it safe beside writers: a file is listed, then its writer is seen to be gone,
    and only then the manifest is asked; what a dead writer committed, the manifest names by now.
    """
    stray_s = table.settings.keep.stray_hours * 3600
    gone = []
    for path in _data_files(table.root):
        try:
            age_s = time.time_ns() / 1e9 - path.stat().st_mtime
        except FileNotFoundError:
            continue
        if owner_is_gone(path.name, age_s=age_s, stray_s=stray_s):
            gone.append(path)
    if not gone:
        return 0
    with table.lock:
        known = table.manifest.paths()
    shown = set(table.log.files())
    strays = [p for p in gone if str(p.relative_to(table.root)) not in known | shown]
    for path in strays:
        remove(path)
    return len(strays)


def _data_files(root: Path) -> Iterator[Path]:
    yield from (root / L0).glob("*.parquet")
    yield from root.glob(f"{PERIOD}=*/*.parquet")
