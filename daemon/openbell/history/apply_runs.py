"""What events do to definitions, submitted work and runs."""

from __future__ import annotations

from typing import Any, assert_never

from openbell.history.queries import Statements
from openbell.model import events as ev
from openbell.model.bodies import encode_plain
from openbell.model.history import DuplicateSubmissionError, RecordRefusedError
from openbell.model.runs import IllegalStepError, RunState, step_run
from openbell.sdk.values import to_us


def change_workflow(db: Statements, event: ev.WorkflowDefined | ev.WorkflowRetired) -> None:
    """Keep a version of a definition, put it back in force, or take it out of force."""
    newest = db.first("newest_workflow", {"pipeline": event.pipeline})
    at = {"pipeline": event.pipeline, "at_us": to_us(event.at)}
    match event:
        case ev.WorkflowRetired():
            if newest is None:
                raise RecordRefusedError(
                    event.name, f"pipeline {event.pipeline!r} was never defined"
                )
            db.run("retire_workflow", at)
        case ev.WorkflowDefined():
            if newest is not None and (newest[1], newest[2]) == (event.version, event.fingerprint):
                db.run("revive_workflow", {"pipeline": event.pipeline, "version": event.version})
            elif newest is not None and event.version <= newest[1]:
                reason = f"pipeline {event.pipeline!r} already has version {newest[1]}"
                raise RecordRefusedError(event.name, reason)
            else:
                db.run("retire_workflow", at)
                _keep_definition(db, event)
        case _:
            assert_never(event)


def _keep_definition(db: Statements, event: ev.WorkflowDefined) -> None:
    place = {"pipeline": event.pipeline, "version": event.version}
    db.run(
        "insert_workflow",
        {
            **place,
            "fingerprint": event.fingerprint,
            "job": event.definition.get("job"),
            "mode": event.definition.get("mode", ""),
            "definition": encode_plain(event.definition),
            "at_us": to_us(event.at),
        },
    )
    for node in event.definition.get("nodes", ()):
        for needed, outcomes in node.get("needs", {}).items():
            edge = {"node": node["name"], "needs_node": needed, "outcomes": encode_plain(outcomes)}
            db.run("insert_dependency", {**place, **edge})


def change_run(
    db: Statements,
    event: ev.RunSubmitted | ev.RunStarted | ev.RunFinished | ev.RunCancelRequested,
) -> None:
    """Accept a run, or move it along its life cycle."""
    match event:
        case ev.RunSubmitted():
            _submit(db, event)
        case ev.RunStarted():
            step_run(_run_state(db, event), RunState.RUNNING)
            _move(db, event, RunState.RUNNING)
            db.run(
                "start_run",
                {"run_id": event.run_id, "state": RunState.RUNNING, "at_us": to_us(event.at)},
            )
        case ev.RunFinished():
            state = _run_state(db, event)
            if not event.state.is_final:
                raise IllegalStepError("a run that ends", state, event.state)
            step_run(state, event.state)
            _move(db, event, event.state)
            _finish(db, event)
        case ev.RunCancelRequested():
            state = _run_state(db, event)
            if state.is_final:
                raise IllegalStepError("a run", state, RunState.CANCELLED)
            db.run("request_cancel", {"run_id": event.run_id})
        case _:
            assert_never(event)


def _run_state(
    db: Statements, event: ev.RunStarted | ev.RunFinished | ev.RunCancelRequested
) -> RunState:
    """Return where the event's run stands; raises RecordRefusedError for an unknown run."""
    row = db.first("run_state", {"run_id": event.run_id})
    if row is None:
        raise RecordRefusedError(event.name, f"run {event.run_id!r} is unknown")
    return RunState(row[0])


def _submit(db: Statements, event: ev.RunSubmitted) -> None:
    if event.idempotency_key is not None:
        known = db.first("run_of_key", {"idempotency_key": event.idempotency_key})
        if known is not None:
            raise DuplicateSubmissionError(known[0])
    version = {"pipeline": event.pipeline, "version": event.workflow_version}
    if db.first("workflow_version", version) is None:
        reason = (
            f"version {event.workflow_version} of pipeline {event.pipeline!r} was never defined"
        )
        raise RecordRefusedError(event.name, reason)
    row: dict[str, Any] = {
        "run_id": event.run_id,
        "job_id": event.job_id,
        "pipeline": event.pipeline,
        "workflow_version": event.workflow_version,
        "mode": event.mode,
        "params": encode_plain(event.params),
        "origin": event.origin,
        "session": event.session,
        "retry_of": event.retry_of,
        "idempotency_key": event.idempotency_key,
        "dry_run": event.dry_run,
        "trace_id": event.trace_id,
        "calendar": event.calendar,
        "fire": event.fire,
        "due_at_us": None if event.due_at is None else to_us(event.due_at),
        "priority": event.priority,
        "parent_run_id": event.parent_run_id,
        "at_us": to_us(event.at),
    }
    db.run("upsert_job", row)
    db.run("insert_run", row)
    nodes = [
        {"run_id": event.run_id, "node": node, "position": position, "op": op}
        for position, (node, op) in enumerate(event.nodes)
    ]
    db.run_each("insert_node", nodes)


def _move(db: Statements, event: ev.RunStarted | ev.RunFinished, state: RunState) -> None:
    finished_at_us = to_us(event.at) if state.is_final else None
    db.run("move_job", {"run_id": event.run_id, "state": state, "finished_at_us": finished_at_us})


def _finish(db: Statements, event: ev.RunFinished) -> None:
    row = {
        "run_id": event.run_id,
        "state": event.state,
        "at_us": to_us(event.at),
        "duration_s": event.duration_s,
        "reason": event.reason,
        "error": event.error,
        "provider": event.provider,
    }
    db.run("finish_run", row)
    db.run("insert_run_metrics", row)
