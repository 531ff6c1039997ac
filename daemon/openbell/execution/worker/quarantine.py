"""Rows that are held back, on disk: one JSON Lines file per run, node and chunk.

Named by meaning and put in place by a rename, so that a chunk that is handled twice holds its rows
once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from openbell.sdk.operators import QuarantinedRow

MAX_RAW_CHARS = 2000


def hold(folder: Path, name: str, rows: Iterable[QuarantinedRow]) -> int:
    """Write `rows` to `folder/name.jsonl` durably, replacing it; return how many there were."""
    held = 0
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f".{name}.{os.getpid()}"
    try:
        with scratch.open("w", encoding="utf-8") as lines:
            for row in rows:
                record = asdict(row) | {"raw": row.raw[:MAX_RAW_CHARS]}
                lines.write(json.dumps(record, separators=(",", ":")) + "\n")
                held += 1
            lines.flush()
            os.fsync(lines.fileno())
        if held:
            scratch.replace(folder / f"{name}.jsonl")
            _sync(folder)
    finally:
        scratch.unlink(missing_ok=True)
    return held


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
