"""Nodes for workers to run: small chains, and what can go wrong in them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from openbell.execution.protocol import ChainTask, DatasetTask, Factory, NodeTask
from openbell.sdk import (
    Chunk,
    Emission,
    Finding,
    NodeOutcome,
    QuotaExhaustedError,
    SessionTable,
    Severity,
    to_us,
)
from openbell.sdk.settings import PluginSettings
from openbell.testing.batches import bars
from openbell.testing.requests import START


class How(PluginSettings):
    """What a node is to do."""

    do: str = ""
    path: str = ""
    chunks: int = 3


class Node:
    """A node that does as its settings say."""

    def __init__(self, settings: How) -> None:
        self.how = settings
        self.rows = 0

    def open(self, context: Any) -> None:
        self.context = context
        self.number = context.first_chunk
        if self.how.do == "fail_open":
            raise ValueError("cannot open")

    def produce(self) -> Iterator[Chunk]:
        for _ in range(self.how.chunks):
            if self.context.is_stopping():
                return
            self.rows += 1
            yield Chunk(batch=bars(count=1), number=self.number, cursor=f"c{self.number}")
            self.number += 1
            self.between()

    def between(self) -> None:
        match self.how.do:
            case "quota":
                raise QuotaExhaustedError("used up", reset_at=self.context.now() + timedelta(0, 90))
            case "wait_for_budget":
                self.context.pace("p")
            case "wait_until":
                self.context.wait_until(datetime(2100, 1, 1, tzinfo=UTC))
            case "sleep":
                time.sleep(60)
            case "late_talk":
                threading.Thread(target=late_talk, daemon=True).start()
            case "fork_and_die":
                fork_and_die(self.how.path)
            case "report":
                found = Finding(
                    rule="r",
                    severity=Severity.WARN,
                    message="m",
                    row_count=np.int64(3),  # type: ignore[arg-type]
                    metric=np.float64(0.5),
                )
                self.context.report(0, "warn", (found,))
            case "progress":
                self.context.progress(rows=1, total_rows=3)
            case _:
                pass

    def process(self, chunk: Chunk) -> Iterable[Emission]:
        if self.how.do == "fail_sink":
            time.sleep(0.2)
            raise ValueError("disk of the sink")
        yield Emission(outcome="success", chunk=chunk)
        if self.how.do == "fail_after":
            raise ValueError("after emitting")

    def finish(self) -> Iterable[Emission]:
        if self.how.do == "fail_finish":
            raise ValueError("cannot finish")
        return ()

    def outcome(self) -> NodeOutcome:
        if self.how.do == "fail_outcome":
            raise ValueError("no numbers")
        return NodeOutcome(outcome="success", rows_in=self.rows, rows_out=self.rows)

    def is_holding(self) -> bool:
        return False

    def close(self) -> None:
        if self.how.do == "fail_close":
            raise ValueError("cannot close")


def late_talk() -> None:
    for _ in range(40):
        time.sleep(0.02)
        print("late")
        sys.stdout.flush()


def fork_and_die(path: str) -> None:
    child = os.fork()
    if child == 0:
        os.setsid()
        time.sleep(30)
        os._exit(0)
    Path(path).write_text(str(child))
    os.kill(os.getpid(), signal.SIGKILL)


def silence() -> None:
    subprocess.run(["true"], check=True)


def chain_task(
    tmp_path: Path, *, source: str = "", sink: str = "", chunks: Any = 3, **changes: Any
) -> ChainTask:
    """Return source -> sink."""
    end = START + timedelta(hours=1)

    def node(name: str, do: str, needs: dict[str, tuple[str, ...]]) -> NodeTask:
        maker = Factory(
            name=name,
            factory="doubles.worker_nodes:Node",
            model="doubles.worker_nodes:How",
            settings={"do": do, "path": str(tmp_path / "child"), "chunks": chunks},
        )
        return NodeTask(name=name, op=name, maker=maker, needs=needs)

    made: dict[str, Any] = {
        "attempt_id": "a",
        "run_id": "r",
        "pipeline": "p",
        "attempt": 1,
        "nodes": (node("source", source, {}), node("sink", sink, {"source": ()})),
        "dataset": DatasetTask(
            dataset="bars",
            provider="p",
            schema="bars_ohlcv",
            keys=("symbol", "ts"),
            symbols=("AAPL",),
            bar_interval="1min",
            batch_rows=10,
            start_us=to_us(START),
            end_us=to_us(end),
            sessions=SessionTable(calendar="x"),
        ),
        "providers": {},
        "backends": {},
        "cursor": None,
        "first_chunk": 0,
        "live": False,
        "dry_run": False,
        "now_us": to_us(end),
        "quarantine_dir": str(tmp_path / "quarantine"),
        "spool_dir": str(tmp_path / "spool"),
    }
    return ChainTask(**{**made, **changes})
