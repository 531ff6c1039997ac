"""Functions for `op: python`: the good, the bad and the deadly."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from openbell.sdk import RateLimitedError, TaskContext, TaskResult


def doubled(bars: pa.Table, column: str) -> pa.Table:
    at = bars.schema.get_field_index(column)
    return bars.set_column(at, column, pc.multiply(bars.column(column), 2))


def counted(bars: pa.RecordBatchReader) -> int:
    return sum(batch.num_rows for batch in bars)


def streamed(count: int) -> Iterator[pa.RecordBatch]:
    for number in range(count):
        yield pa.record_batch({"n": [number]})


def labelled(context: TaskContext) -> TaskResult:
    context.log(f"attempt {context.attempt} of {context.node}")
    context.progress(rows=5, total_rows=10)
    return TaskResult(outcome="late", value={"item": context.item, "params": dict(context.params)})


def of(**made: Any) -> list[str]:
    return sorted(made)


def wrong(kind: str) -> object:
    return {
        "set": {1, 2},
        "object": object(),
        "rows": iter([1, 2]),
        "mixed": iter([pa.record_batch({"a": [1]}), pa.record_batch({"b": [1]})]),
        "nan": float("nan"),
        "long": "x" * 100_000,
        "both": TaskResult(rows=pa.table({"a": [1]}), value=1),
    }[kind]


def limited() -> None:
    raise RateLimitedError("too fast", retry_after_s=7.0)


def raises() -> None:
    raise KeyError("no such thing")


def leaves(code: int) -> None:
    os._exit(code)


def exits() -> None:
    sys.exit(3)


def crashes() -> None:
    ctypes.string_at(0)


def hangs(ignore_sigterm: bool = False) -> None:
    if ignore_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        try:
            time.sleep(60)
        except BaseException:
            if not ignore_sigterm:
                raise


def holds_the_lock() -> None:
    ctypes.PyDLL(None).sleep(60)


def eats(mb: int) -> int:
    return len(bytearray(mb * 1024 * 1024))


def forks() -> str:
    return "child" if os.fork() == 0 else "parent"


def leaves_a_child(path: str) -> None:
    child = subprocess.Popen(["sleep", "300"], start_new_session=True)
    Path(path).write_text(str(child.pid))


def spoils() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 600)
    os.umask(0)
    os.environ["SPOILT"] = "yes"
    os.chdir("/")


def surroundings() -> dict[str, Any]:
    umask = os.umask(0o022)
    os.umask(umask)
    return {
        "alarm": signal.getitimer(signal.ITIMER_REAL)[0] > 0,
        "umask": umask,
        "spoilt": "SPOILT" in os.environ,
        "folder": str(Path.cwd()),
        "sigterm": signal.getsignal(signal.SIGTERM) == signal.SIG_IGN,
        "traceparent": os.environ.get("TRACEPARENT"),
    }


def shouts(mb: int) -> None:
    line = b"x" * 1023 + b"\n"
    for _ in range(mb):
        os.write(1, line * 1024)


def writes(path: str, mb: int) -> None:
    with Path(path).open("wb") as file:
        file.writelines(os.urandom(1024 * 1024) for _ in range(mb))
        file.flush()
        os.fsync(file.fileno())


def waits(context: TaskContext) -> str:
    context.log("waiting")
    return "whole" if context.rest(60) else "early"
