"""Rows that are held back, on disk: one JSON Lines file per run, node and chunk.

Named by meaning and put in place by a rename, so that a chunk that is handled twice holds its rows
once.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable
from dataclasses import asdict
from pathlib import Path

from openbell.sdk.operators import QuarantinedRow

MAX_RAW_CHARS = 2000
MASK = "[redacted]"
SHORTEST_SECRET = 4
"""Shorter ones would shred every row."""


def hold(
    folder: Path, name: str, rows: Iterable[QuarantinedRow], *, secrets: Collection[str] = ()
) -> int:
    """Write `rows` to `folder/name.jsonl` durably, replacing it; return how many there were.

    Where one of `secrets` stands in them, `[redacted]` is written: the name of a file, a raw row.
    """
    hidden = _pattern(secrets)
    held = 0
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f".{name}.{os.getpid()}"
    try:
        with scratch.open("w", encoding="utf-8") as lines:
            for row in rows:
                record = asdict(row)
                if hidden is not None:
                    record |= {
                        key: hidden.sub(MASK, text)
                        for key, text in record.items()
                        if isinstance(text, str)
                    }
                record["raw"] = record["raw"][:MAX_RAW_CHARS]
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


def _pattern(secrets: Collection[str]) -> re.Pattern[str] | None:
    """Return what finds any of `secrets`, as they are and inside JSON, the longest first."""
    forms = {
        form
        for secret in secrets
        if len(secret) >= SHORTEST_SECRET
        for form in (secret, json.dumps(secret)[1:-1])
    }
    return (
        re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))))
        if forms
        else None
    )


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
