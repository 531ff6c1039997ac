"""What a run needs of other pipelines before it begins: their runs, and their datasets."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from openbell.model.events import DecisionNoted, RunHeld
from openbell.model.history import RecordRefusedError
from openbell.model.pipelines import Pipeline
from openbell.model.runs import RunRecord, RunState
from openbell.supervisor.deadline import deadline
from openbell.supervisor.runs.committed import committed_keys, is_committed, reason_to_look
from openbell.supervisor.services import Services
from openbell.supervisor.signals import Key, succeeded_key

GAVE_UP = "needs_unmet"
"""Reason of a run whose needs were not met before its deadline."""


def has_needs(pipeline: Pipeline, run: RunRecord) -> bool:
    """Return whether a run waits for other pipelines: it is about a session and did not begin."""
    asks = bool(pipeline.after or pipeline.needs_dataset)
    return asks and run.session is not None and run.state is RunState.QUEUED


async def until_met(services: Services, pipeline: Pipeline, run: RunRecord) -> str:
    """Return nothing once all that a run needs is there, or what was missing at its deadline.

    Why it waits is on record. It looks again whenever something is recorded that could matter.
    """
    keys: list[Key] = [succeeded_key(name, run.session) for name in pipeline.after]
    keys += [key for name in pipeline.needs_dataset for key in committed_keys(name)]
    told = run.reason
    limit_s = None
    if pipeline.give_up_s is not None:
        due_at = run.submitted_at + timedelta(seconds=pipeline.give_up_s)
        limit_s = max(0.0, (due_at - services.clock.now()).total_seconds())
    lacking = ""
    with services.signals.listening(*dict.fromkeys(keys)) as signal:
        async with deadline(services.clock, limit_s):
            while lacking := await _missing(services, pipeline, run):
                if lacking != told:
                    await _tell(services, run, lacking)
                    told = lacking
                await reason_to_look(services, signal)
    return lacking


async def _missing(services: Services, pipeline: Pipeline, run: RunRecord) -> str:
    """Return what a run still waits for, or nothing."""
    session = str(run.session)
    for name in pipeline.after:
        if not await services.history.has_succeeded(name, session):
            return f"waits for a successful run of {name!r} for session {session}"
    for name in pipeline.needs_dataset:
        dataset = services.deployment.datasets.get(name)
        if dataset is None:
            return f"waits for dataset {name!r}, which is not configured"
        if not await is_committed(services, dataset, date.fromisoformat(session)):
            return f"waits for session {session} of dataset {name!r}"
    return ""


async def _tell(services: Services, run: RunRecord, reason: str) -> None:
    about: dict[str, Any] = {
        "at": services.clock.now(),
        "run_id": run.run_id,
        "pipeline": run.pipeline,
    }
    held = RunHeld(**about, reason=reason)
    noted = DecisionNoted(**about, what="held", reason=f"it {reason}")
    try:
        await services.journal.insist(held, noted)
    except RecordRefusedError:
        return  # it ended meanwhile, and whoever ended it tells this task to stop
