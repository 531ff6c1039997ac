"""What events do to the definitions and runs of an in-memory history."""

from __future__ import annotations

from openbell.model import events as ev
from openbell.model.bodies import decode_body, encode_plain
from openbell.model.history import DuplicateSubmissionError, RecordRefusedError
from openbell.model.quick import changed
from openbell.model.runs import (
    IllegalStepError,
    NodeRecord,
    NodeState,
    RunRecord,
    RunState,
    WorkflowRecord,
    step_run,
)
from openbell.testing.memory_tables import MISFIT, RunPage, Tables


def define(tables: Tables, event: ev.WorkflowDefined) -> None:
    """Keep a version of a definition, or put it back in force."""
    newest = tables.newest_version(event.pipeline)
    if newest and (newest.version, newest.fingerprint) == (event.version, event.fingerprint):
        tables.put(tables.workflows[event.pipeline], event.version, changed(newest, active=True))
        return
    if newest and event.version <= newest.version:
        reason = f"pipeline {event.pipeline!r} already has version {newest.version}"
        raise RecordRefusedError(event.name, reason)
    if newest is None:
        tables.put(tables.workflows, event.pipeline, {})
    _retire_all(tables, event.pipeline)
    record = WorkflowRecord(
        name=event.pipeline,
        version=event.version,
        fingerprint=event.fingerprint,
        definition=decode_body(encode_plain(event.definition)),
        created_at=event.at,
        active=True,
    )
    tables.put(tables.workflows[event.pipeline], event.version, record)


def retire(tables: Tables, event: ev.WorkflowRetired) -> None:
    """Take a definition out of force."""
    if event.pipeline not in tables.workflows:
        raise RecordRefusedError(event.name, f"pipeline {event.pipeline!r} was never defined")
    _retire_all(tables, event.pipeline)


def _retire_all(tables: Tables, pipeline: str) -> None:
    versions = tables.workflows[pipeline]
    for version, known in versions.items():
        if known.active:
            tables.put(versions, version, changed(known, active=False))


def submit(tables: Tables, event: ev.RunSubmitted) -> None:
    """Accept a run."""
    if event.idempotency_key in tables.keys:
        raise DuplicateSubmissionError(tables.keys[event.idempotency_key or ""])
    if event.workflow_version not in tables.workflows.get(event.pipeline, ()):
        version = f"version {event.workflow_version} of pipeline {event.pipeline!r}"
        raise RecordRefusedError(event.name, f"{version} was never defined")
    nodes = {
        node: NodeRecord(run_id=event.run_id, node=node, op=op, state=NodeState.PENDING)
        for node, op in event.nodes
    }
    if event.run_id in tables.runs or len(nodes) < len(event.nodes):
        raise RecordRefusedError(event.name, MISFIT)
    if event.idempotency_key is not None:
        tables.put(tables.keys, event.idempotency_key, event.run_id)
    tables.put(tables.runs, event.run_id, _queued(event))
    tables.put(tables.pages, event.run_id, RunPage(nodes))


def _queued(event: ev.RunSubmitted) -> RunRecord:
    return RunRecord(
        run_id=event.run_id,
        job_id=event.job_id,
        pipeline=event.pipeline,
        workflow_version=event.workflow_version,
        mode=event.mode,
        state=RunState.QUEUED,
        params=decode_body(encode_plain(event.params)) if event.params else {},
        submitted_at=event.at,
        session=event.session,
        retry_of=event.retry_of,
        origin=event.origin,
        dry_run=event.dry_run,
        trace_id=event.trace_id,
        calendar=event.calendar,
        fire=event.fire,
        due_at=event.due_at,
        priority=event.priority,
        parent_run_id=event.parent_run_id,
    )


def change_run(
    tables: Tables, event: ev.RunStarted | ev.RunFinished | ev.RunCancelRequested
) -> None:
    """Move a run along its life cycle."""
    run = tables.runs.get(event.run_id)
    if run is None:
        raise RecordRefusedError(event.name, f"run {event.run_id!r} is unknown")
    match event:
        case ev.RunStarted():
            state = step_run(run.state, RunState.RUNNING)
            run = changed(run, state=state, started_at=event.at, reason="")
        case ev.RunFinished():
            if not event.state.is_final:
                raise IllegalStepError("a run that ends", run.state, event.state)
            state = step_run(run.state, event.state)
            run = changed(
                run, state=state, finished_at=event.at, reason=event.reason, error=event.error
            )
        case ev.RunCancelRequested():
            if run.state.is_final:
                raise IllegalStepError("a run", run.state, RunState.CANCELLED)
            run = changed(run, cancel_requested=True)
    tables.put(tables.runs, event.run_id, run)
