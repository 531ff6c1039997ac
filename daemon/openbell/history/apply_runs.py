"""What events do to definitions, submitted work and runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from openbell.history.entries import Entry, rows
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


def submit_runs(db: Statements, entries: Sequence[Entry]) -> bool:
    """Accept runs. What is wrong with one of them breaks a constraint."""
    row = {"rows": rows(entries, "due_at")}
    db.run("upsert_jobs", row)
    db.run("insert_runs", row)
    db.run("insert_nodes", row)
    return True


def refuse_submission(db: Statements, event: ev.RunSubmitted) -> None:
    """Raise what speaks against `event`, if anything does."""
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


def start_runs(db: Statements, entries: Sequence[Entry]) -> bool:
    """Take runs out of the queue; return whether all of them were there."""
    row = {"rows": rows(entries)}
    started = db.run("start_runs", row).rowcount
    db.run("move_jobs", row)
    return started == len(entries)


def refuse_run_start(db: Statements, event: ev.RunStarted) -> None:
    """Raise what speaks against `event`, if anything does."""
    step_run(_run_state(db, event), RunState.RUNNING)


def finish_runs(db: Statements, entries: Sequence[Entry]) -> bool:
    """End runs and keep their numbers; return whether all of them were open."""
    ends = [each.event.state for each in entries if isinstance(each.event, ev.RunFinished)]
    if not all(state.is_final for state in ends):
        return False
    row = {"rows": rows(entries)}
    if db.run("finish_runs", row).rowcount != len(entries):
        return False
    db.run("move_jobs", row)
    db.run("insert_run_metrics", row)
    return True


def refuse_run_end(db: Statements, event: ev.RunFinished) -> None:
    """Raise what speaks against `event`, if anything does."""
    state = _run_state(db, event)
    if not event.state.is_final:
        raise IllegalStepError("a run that ends", state, event.state)
    step_run(state, event.state)


def request_cancel(db: Statements, event: ev.RunCancelRequested) -> None:
    """Note that an open run is to end."""
    state = _run_state(db, event)
    if state.is_final:
        raise IllegalStepError("a run", state, RunState.CANCELLED)
    db.run("request_cancel", {"run_id": event.run_id})


def _run_state(
    db: Statements, event: ev.RunStarted | ev.RunFinished | ev.RunCancelRequested
) -> RunState:
    """Return where the event's run stands; raises RecordRefusedError for an unknown run."""
    row = db.first("run_state", {"run_id": event.run_id})
    if row is None:
        raise RecordRefusedError(event.name, f"run {event.run_id!r} is unknown")
    return RunState(row[0])
