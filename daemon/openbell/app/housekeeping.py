"""What a daemon does for itself now and then: look at calendars, prune history, back it up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from anyio import CapacityLimiter, to_thread

from openbell.app.assembly import Running
from openbell.execution.orphans import clean_spool, spooled_runs
from openbell.model.history import RunFilter
from openbell.sdk.errors import RetryableError
from openbell.supervisor.dispatch import Dispatcher
from openbell.supervisor.upkeep import fold, tables

_EVERY_S = 3600.0


async def keep_house(whole: Running, failed: Callable[[RetryableError], None]) -> None:
    """Look at calendars, prune history, fold what live jobs write: hourly; back up daily; for ever.

    `failed` hears why one of them could not be done this time; it is tried again an hour later.
    """
    while True:
        for task in (_look, _prune, _forget_outputs, _fold, _back_up):
            try:
                await task(whole)
            except RetryableError as error:
                failed(error)
        await whole.clock.sleep(_EVERY_S)


async def _look(whole: Running) -> None:
    datasets = whole.engine.deployment.datasets.values()
    await whole.calendars.look(dataset.calendar for dataset in datasets)


async def _prune(whole: Running) -> None:
    options = whole.engine.deployment.daemon
    await whole.history.prune(
        before=whole.clock.now() - timedelta(days=options.history_keep_days),
        keep_runs=options.history_keep_runs,
    )


async def _forget_outputs(whole: Running) -> None:
    """Delete what nodes of runs made that ended long ago, or that history does not know.

    A retry takes over what the run before it made: runs of one submission go together.
    """
    state_dir = whole.services.state_dir
    keep = timedelta(days=whole.engine.deployment.daemon.output_keep_days)
    since = whole.clock.now() - keep
    past = set()
    for run_id in spooled_runs(state_dir):
        run = await whole.history.run(run_id)
        if run is None or not await _is_worked_on(whole, run.job_id, since):
            past.add(run_id)
    clean = partial(clean_spool, state_dir, is_kept=lambda run_id: run_id not in past)
    await to_thread.run_sync(clean, limiter=CapacityLimiter(1))


async def _is_worked_on(whole: Running, job_id: str, since: datetime) -> bool:
    """Return whether the newest runs of a submission are open, or ended after an instant."""
    runs = await whole.history.runs(RunFilter(job_id=job_id))
    return any(run.finished_at is None or run.finished_at > since for run in runs)


async def _fold(whole: Running) -> None:
    deployment = whole.engine.deployment
    dispatch = Dispatcher(whole.services, deployment)
    written: set[tuple[str, str]] = set()
    for status in whole.engine.pipelines():
        pipeline = deployment.pipelines.get(status.name)
        if pipeline is not None and pipeline.mode == "live" and status.active_runs:
            written |= tables(pipeline)
    for storage, dataset in sorted(written):
        await fold(whole.services.executor, dispatch, storage, dataset)


async def _back_up(whole: Running) -> None:
    """Copy the history once a day; a copy is checked, and so is what an unclean stop left."""
    await whole.history.backup_if_due(now=whole.clock.now())
    await whole.history.check_if_unsure()
