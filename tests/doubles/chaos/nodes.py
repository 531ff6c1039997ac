"""What the nodes of a storm do. Copied beside its configuration; each call writes down that it was."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import Any

import pyarrow as pa

from openbell.sdk import RetryableError, TaskContext, TaskResult


def _note(context: TaskContext, what: str, edition: str) -> None:
    """Add a line to the witness, whole or not at all."""
    line = {
        "what": what,
        "edition": edition,
        "run": context.run_id,
        "node": context.node,
        "item": context.item_number,
        "attempt": context.attempt,
        "pid": os.getpid(),
        "at": time.time_ns(),
    }
    target = os.open(Path(context.folder) / "witness.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(target, json.dumps(line).encode() + b"\n")
    finally:
        os.close(target)


def work(
    context: TaskContext, how: str, edition: str, *, seconds: float = 0.0, share: float = 0.0
) -> Any:
    """Take `seconds` and end as told; `share` is how many of its attempts go wrong."""
    _note(context, "begin", edition)
    is_unlucky = random.Random(f"{context.run_id}{context.node}{context.attempt}").random() < share
    time.sleep(seconds)
    if is_unlucky and how == "vanish":
        os._exit(17)
    if is_unlucky and how == "raise":
        raise RetryableError("as it was told")
    _note(context, "end", edition)
    return {"node": context.node}


def listed(context: TaskContext, count: int, edition: str) -> TaskResult:
    """Return items for a fan-out."""
    _note(context, "begin", edition)
    _note(context, "end", edition)
    return TaskResult(value=list(range(count)))


def rows(context: TaskContext, count: int, edition: str) -> pa.Table:
    """Return rows, which go through a file to the nodes after it."""
    _note(context, "begin", edition)
    _note(context, "end", edition)
    return pa.table({"n": list(range(count))})
