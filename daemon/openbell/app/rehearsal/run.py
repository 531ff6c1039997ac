"""From a configuration to a report: the one call that the command line makes."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import anyio

from openbell.app.rehearsal.calendar_notes import notes
from openbell.app.rehearsal.report import Report
from openbell.app.rehearsal.stage import Span, Stage, calendars_of, tables
from openbell.model.pipelines import Deployment
from openbell.plugin_host import Registry
from openbell.sdk.errors import OpenbellError
from openbell.testing.clock import ManualClock

_YOUNG = 50_000


class NothingToRehearseError(OpenbellError):
    """No pipeline of the configuration has a schedule."""

    def __init__(self) -> None:
        super().__init__("no pipeline has a schedule: nothing would happen")


def rehearsed(
    deployment: Deployment,
    registry: Registry,
    span: Span,
    *,
    seed: int,
    env: Mapping[str, str],
) -> Report:
    """Play `span` and return what happened. No loop may run in this thread.

    Raises NothingToRehearseError, and FatalError for a calendar that cannot be built.
    """
    if not any(pipeline.schedule for pipeline in deployment.pipelines.values()):
        raise NothingToRehearseError
    clock = ManualClock(span.start)
    store = anyio.run(partial(tables, deployment, span, clock=clock, env=env))
    stage = Stage(deployment, registry, store, seed=seed)
    with seldom_collected():
        digest = stage.run(span)
    known = [store.sessions(name) for name in sorted(calendars_of(deployment))]
    return Report(
        span=span,
        profile=deployment.profile,
        seed=seed,
        digest=digest,
        watcher=stage.watcher,
        waits=stage.waits,
        calendars=[notes(table, span.first, span.last) for table in known if table is not None],
    )


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Look for cycles seldom: a rehearsal makes and drops millions of small objects."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
