"""Events as plain JSON, and the bound on what a node may log: shared by every history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from openbell.model.events import Event
from openbell.model.runs import LOG_LINE_BYTES, MAX_ITEM_LOG_BYTES, MAX_LOG_BYTES, LogLine
from openbell.sdk.values import Receipt


def encode_event(event: Event) -> bytes:
    """Return `event` as one JSON object of its fields; instants are RFC 3339 in UTC."""
    return msgspec.json.encode(event, enc_hook=_plain)


def decode_body(raw: bytes | str) -> Mapping[str, Any]:
    """Return the JSON object in `raw` as plain values."""
    body: dict[str, Any] = msgspec.json.decode(raw)
    return body


def encode_plain(value: object) -> str:
    """Return `value` (JSON values, dataclasses, mappings) as JSON text."""
    return msgspec.json.encode(value, enc_hook=_plain).decode()


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no place in an event: use plain JSON values")


def event_run_id(event: Event) -> str | None:
    """Return the run that `event` is about, or None."""
    run_id: str | None = getattr(event, "run_id", None)
    return run_id


def event_pipeline(event: Event) -> str | None:
    """Return the pipeline that `event` is about, or None."""
    pipeline: str | None = getattr(event, "pipeline", None)
    return pipeline


def log_limit_bytes(item: int) -> int:
    """Return how many bytes of log text are kept of one attempt, at an item or (-1) at a node."""
    return MAX_LOG_BYTES if item < 0 else MAX_ITEM_LOG_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLines:
    """What of some log lines is kept; `size_bytes` counts against the attempt's bound."""

    lines: tuple[LogLine, ...]
    size_bytes: int
    dropped_count: int


def keep_lines(
    lines: Sequence[LogLine], *, used_bytes: int, limit_bytes: int = MAX_LOG_BYTES
) -> KeptLines:
    """Return what of `lines` fits after `used_bytes`; whole lines, from the first on.

    Where the bound is reached a line says so, once an attempt: from then on lines are only counted.
    """
    kept: list[LogLine] = []
    size_bytes = 0
    for index, line in enumerate(lines):
        line_bytes = len(line.text.encode()) + LOG_LINE_BYTES
        if used_bytes + size_bytes + line_bytes > limit_bytes:
            if used_bytes <= limit_bytes:
                kept.append(_truncated(line, limit_bytes))
                size_bytes = limit_bytes + 1 - used_bytes
            return KeptLines(
                lines=tuple(kept), size_bytes=size_bytes, dropped_count=len(lines) - index
            )
        kept.append(line)
        size_bytes += line_bytes
    return KeptLines(lines=tuple(kept), size_bytes=size_bytes, dropped_count=0)


def _truncated(line: LogLine, limit_bytes: int) -> LogLine:
    text = f"truncated: this attempt logged more than {limit_bytes} bytes; later lines are not kept"
    return replace(line, stream="log", level="warning", text=text)


def lineage_row(*, run_id: str, pipeline: str, node: str, receipt: Receipt) -> dict[str, Any]:
    """Return one commit as `History.lineage` gives it."""
    return {
        "key": receipt.key,
        "run_id": run_id,
        "pipeline": pipeline,
        "node": node,
        "dataset": receipt.dataset,
        "start_at": receipt.interval.start,
        "end_at": receipt.interval.end,
        "rows": receipt.row_count,
        "rows_written": receipt.written_count,
        "rows_unchanged": receipt.unchanged_count,
        "size_bytes": receipt.size_bytes,
        "digest": receipt.digest,
        "version": receipt.version,
        "committed_at": receipt.committed_at,
    }
