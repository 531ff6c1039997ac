"""Events of small runs, for tests of history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from openbell.model import events as ev
from openbell.model.runs import LogLine, NodeState, RunState, Totals
from openbell.sdk.values import Finding, Interval, Receipt, Severity

START = datetime(2026, 1, 2, 14, 30, tzinfo=UTC)
NODES = (("fetch", "ingest"), ("check", "gate"), ("publish", "write"))
DEFINITION: dict[str, Any] = {
    "name": "eod",
    "mode": "backfill",
    "job": "eod",
    "nodes": [
        {"name": "fetch", "op": "ingest", "needs": {}},
        {"name": "check", "op": "gate", "needs": {"fetch": []}},
        {"name": "publish", "op": "write", "needs": {"check": ["pass", "warn"]}},
    ],
}


def after(seconds: float) -> datetime:
    """Return the instant so long after the story's start."""
    return START + timedelta(seconds=seconds)


def defined(version: int = 1, *, pipeline: str = "eod", fingerprint: str | None = None) -> ev.Event:
    return ev.WorkflowDefined(
        at=START,
        pipeline=pipeline,
        version=version,
        fingerprint=fingerprint or f"print-{version}",
        definition=DEFINITION,
    )


def submitted(run_id: str = "run_1", **changes: Any) -> ev.RunSubmitted:
    values: dict[str, Any] = {
        "at": START,
        "run_id": run_id,
        "job_id": run_id.replace("run", "job"),
        "pipeline": "eod",
        "workflow_version": 1,
        "mode": "backfill",
        "nodes": NODES,
        "params": {"symbols": ["AAPL", "MSFT"]},
        "origin": "cli",
        "trace_id": "abc",
    }
    return ev.RunSubmitted(**{**values, **changes})


def started(run_id: str = "run_1", *, at_s: float = 1.0) -> ev.RunStarted:
    return ev.RunStarted(at=after(at_s), run_id=run_id, pipeline="eod")


def finished(
    run_id: str = "run_1", state: RunState = RunState.SUCCESS, *, at_s: float = 9.0
) -> ev.RunFinished:
    return ev.RunFinished(
        at=after(at_s),
        run_id=run_id,
        pipeline="eod",
        job="eod",
        state=state,
        duration_s=at_s - 1.0,
        reason="done",
        provider="synthetic_1",
    )


def node(
    name: str,
    state: NodeState,
    run_id: str = "run_1",
    **changes: Any,
) -> ev.NodeChanged:
    values: dict[str, Any] = {"at": after(2.0), "run_id": run_id, "pipeline": "eod"}
    return ev.NodeChanged(node=name, state=state, **{**values, **changes})


def _attempt_id(run_id: str, number: int, item: int) -> str:
    return f"att_{run_id}_{number}" + (f"_{item}" if item >= 0 else "")


def attempt_started(run_id: str = "run_1", number: int = 1, *, item: int = -1) -> ev.AttemptStarted:
    return ev.AttemptStarted(
        at=after(2.0),
        attempt_id=_attempt_id(run_id, number, item),
        run_id=run_id,
        pipeline="eod",
        node="fetch",
        number=number,
        item=item,
    )


def attempt_finished(
    run_id: str = "run_1", number: int = 1, state: str = "success", *, item: int = -1
) -> ev.AttemptFinished:
    return ev.AttemptFinished(
        at=after(5.0),
        attempt_id=_attempt_id(run_id, number, item),
        run_id=run_id,
        pipeline="eod",
        node="fetch",
        number=number,
        state=state,
        duration_s=3.0,
        worker_pid=77,
        cpu_s=1.5,
        peak_memory_bytes=1 << 20,
        io_read_bytes=4096,
        io_written_bytes=8192,
        item=item,
    )


def receipt(key: str = "k1", *, dataset: str = "bars", rows: int = 100) -> Receipt:
    return Receipt(
        key=key,
        dataset=dataset,
        interval=Interval(START, after(60.0)),
        row_count=rows,
        written_count=rows - 1,
        unchanged_count=1,
        size_bytes=rows * 10,
        digest=f"digest-{key}",
        version=3,
        committed_at=after(4.0),
    )


def committed(
    next_chunk: int, run_id: str = "run_1", *, rows: int = 100, key: str | None = None
) -> ev.BatchCommitted:
    done = rows * next_chunk
    return ev.BatchCommitted(
        at=after(4.0),
        run_id=run_id,
        pipeline="eod",
        node="fetch",
        next_chunk=next_chunk,
        cursor=f"cursor-{next_chunk}",
        totals={
            "fetch": Totals(rows_in=done, rows_out=done),
            "check": Totals(rows_in=done, rows_out=done, verdict="pass"),
            "publish": Totals(rows_in=done, rows_written=done - next_chunk, size_bytes=done),
        },
        receipts={"publish": receipt(key or f"{run_id}-{next_chunk}", rows=rows)},
        job="eod",
        provider="synthetic_1",
        write_duration_s=0.01,
    )


def checked(run_id: str = "run_1", chunk: int = 0) -> ev.QualityChecked:
    finding = Finding(
        rule="ohlc",
        severity=Severity.WARN,
        message="high below low",
        column="high",
        row_count=2,
        metric=0.02,
        threshold=0.0,
        examples=("AAPL 14:31",),
    )
    return ev.QualityChecked(
        at=after(3.0),
        run_id=run_id,
        pipeline="eod",
        node="check",
        chunk=chunk,
        verdict="warn",
        findings=(finding,),
    )


def logged(*texts: str, run_id: str = "run_1", attempt: int = 1, item: int = -1) -> ev.LogWritten:
    lines = tuple(
        LogLine(at=after(3.0), stream="stdout", level="info", text=text) for text in texts
    )
    return ev.LogWritten(
        at=after(3.0),
        run_id=run_id,
        pipeline="eod",
        node="fetch",
        attempt=attempt,
        lines=lines,
        item=item,
    )


def whole_run(run_id: str = "run_1") -> tuple[ev.Event, ...]:
    """Return the events of a run that ends well, from its submission on."""
    return (
        submitted(run_id),
        started(run_id),
        attempt_started(run_id),
        node("fetch", NodeState.RUNNING, run_id, attempt=1),
        logged("fetching", run_id=run_id),
        checked(run_id),
        committed(1, run_id),
        committed(2, run_id),
        attempt_finished(run_id),
        node("fetch", NodeState.SUCCESS, run_id, attempt=1, outcome="success", at=after(6.0)),
        node("check", NodeState.SUCCESS, run_id, outcome="pass", at=after(6.0)),
        node("publish", NodeState.SUCCESS, run_id, outcome="success", at=after(6.0)),
        finished(run_id),
    )
