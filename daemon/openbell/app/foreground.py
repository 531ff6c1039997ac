"""A run without a daemon: the same engine, in this process, for one pipeline."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anyio

from openbell.app.assembly import Place, Running, load, running
from openbell.model.control import Submission
from openbell.model.events import (
    ApprovalAsked,
    Event,
    NodeProgressed,
    PipelineParked,
    RunHeld,
    StoredEvent,
)
from openbell.model.history import RunFilter
from openbell.model.pipelines import Deployment
from openbell.model.runs import RunRecord, RunState
from openbell.model.summary import sources, summarize
from openbell.plugin_host import Registry
from openbell.sdk.errors import FatalError, RetryableError
from openbell.service.signals import open_signals
from openbell.supervisor.intake import run_params
from openbell.supervisor.journal import Observer

_TOLD = {
    ApprovalAsked.name: (
        "node {node} of {run} asks people {question!r}: only a daemon takes answers, so it waits; interrupt "
        "this, and `mdp daemon run` goes on with it"
    ),
    RunHeld.name: "{run} {reason}",
}
"""What is told at once of a run that would seem to hang."""

Show = Callable[[NodeProgressed], None]
Said = Callable[[str], None]


async def run_in_foreground(
    place: Place,
    registry: Registry,
    submission: Submission,
    *,
    show: Show,
    say: Said,
    env: Mapping[str, str] = os.environ,
    observers: Sequence[Observer] = (),
) -> dict[str, Any]:
    """Run `submission` to its end and return its summary (see `openbell.model.summary`).

    An open run of the same pipeline and parameters, left by a process that was killed, is gone on
    with instead of a new one. The first SIGINT or SIGTERM ends the work after the batch in hand,
    to go on later: the summary's state is then `running`; a second one ends it at once.
    """
    deployment = load(place, registry, env)
    only = _with_inner(deployment, submission.pipeline)
    async with (
        running(place, registry, deployment, env=env, observers=observers, only=only) as whole,
        anyio.create_task_group() as tasks,
    ):
        with whole.engine.subscribe(capacity=100_000) as events:
            left = await _left_open(whole, submission)
            if left is None:
                run = await whole.engine.submit(submission)
            else:
                run = left
                say(f"going on with {run.run_id}, which was interrupted")
            tasks.start_soon(_stop_on_signal, whole)
            with anyio.CancelScope() as following:
                tasks.start_soon(_leave_when_drained, whole, following)
                async for event in events:
                    if isinstance(event, NodeProgressed):
                        show(event)
                    elif _is_end(event, run.run_id):
                        break
                    elif isinstance(event, StoredEvent) and event.name in _TOLD:
                        say(_TOLD[event.name].format(run=event.run_id, **event.body))
                    elif _is_parked(event, submission.pipeline):
                        raise FatalError(_parked_reason(whole, submission.pipeline))
        summary = await _summary(whole, run.run_id)
        try:
            await whole.history.backup_if_due(now=whole.clock.now())
        except RetryableError as error:
            say(f"note: {error}; it was not backed up")
        tasks.cancel_scope.cancel()
    return summary


def _with_inner(deployment: Deployment, pipeline: str) -> frozenset[str]:
    """Return a pipeline with those that it runs inside itself; all, where a parameter names one."""
    found: set[str] = set()
    left = [pipeline]
    while left:
        name = left.pop()
        known = deployment.pipelines.get(name)
        if name in found or known is None:
            continue
        found.add(name)
        left += [str(node.settings["pipeline"]) for node in known.nodes if node.op == "pipeline"]
        if any("${" in inner for inner in left):
            return frozenset(deployment.pipelines)
    return frozenset({pipeline, *found})


def _is_end(event: StoredEvent | Event, run_id: str) -> bool:
    return (
        isinstance(event, StoredEvent) and event.name == "run.finished" and event.run_id == run_id
    )


def _is_parked(event: StoredEvent | Event, pipeline: str) -> bool:
    is_parked = isinstance(event, StoredEvent) and event.name == PipelineParked.name
    return is_parked and event.pipeline == pipeline  # type: ignore[union-attr]


def _parked_reason(whole: Running, pipeline: str) -> str:
    reason = whole.engine.pipelines()[0].reason
    return f"the run of {pipeline!r} cannot go on: {reason}; the same command tries again"


async def _left_open(whole: Running, submission: Submission) -> RunRecord | None:
    """Return the open run that `submission` would repeat, or None."""
    wanted = run_params(submission, whole.engine.target(submission.pipeline).pipeline)
    session = submission.session.isoformat() if submission.session else None
    open_runs = await whole.history.runs(
        RunFilter(
            pipeline=submission.pipeline, states=(RunState.QUEUED, RunState.RUNNING), limit=100
        )
    )
    for run in open_runs:
        same = dict(run.params) == wanted and run.session == session
        if same and run.dry_run == submission.dry_run and not run.cancel_requested:
            return run
    return None


async def _stop_on_signal(whole: Running) -> None:
    with open_signals() as arrivals:
        is_second = False
        async for _ in arrivals:
            whole.engine.request_stop(fast=is_second)
            is_second = True


async def _leave_when_drained(whole: Running, following: anyio.CancelScope) -> None:
    await whole.engine.drained.wait()
    following.cancel()


async def _summary(whole: Running, run_id: str) -> dict[str, Any]:
    history = whole.history
    run = await history.run(run_id)
    assert run is not None
    workflow = await history.workflow(run.pipeline, run.workflow_version)
    names = sources(workflow.definition if workflow else None)
    checkpoints = [await history.checkpoint(run_id, name) for name in names]
    return summarize(
        run,
        await history.nodes(run_id),
        source_nodes=names,
        batches=sum(point.next_chunk for point in checkpoints if point is not None),
        now=whole.clock.now(),
    )
