"""Fires that were decided before they are due, and how such a decision is taken back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from openbell.model.events import Event, FireTakenBack, NodeChanged, RunFinished
from openbell.model.runs import NodeState, RunRecord, RunState
from openbell.supervisor.firing.crew import Crew
from openbell.supervisor.firing.line import Line
from openbell.supervisor.services import Services

TAKEN_BACK = "taken_back"
"""Why a run ended whose fire is to be decided anew."""


async def take_back(
    services: Services,
    crew: Crew,
    lines: Iterable[Line],
    *more: Event,
    reason: str,
    only_moved: bool = False,
) -> None:
    """Let fires that are decided and not due yet be decided anew, in one transaction with `more`.

    Their runs end as cancelled. With `only_moved` it is those that the plan no longer has at their
    instant. A run that was let go meanwhile goes on, and its fire stays decided.
    """
    now = services.clock.now()
    taken: list[tuple[Line, RunRecord]] = []
    for line in lines:
        early = [run for run in line.early.values() if not (only_moved and _stands(line, run))]
        mine = [run for run in early if crew.withdraw(run)]
        for run in mine:
            del line.early[run.fire]
            line.decided.discard(run.fire)
        line.reread(now)
        taken += [(line, run) for run in mine]
    is_recorded = False
    try:
        events: list[Event] = []
        for line, run in taken:
            until = line.decided_until(frozenset())
            events.append(_back(line, run, now, until=until, reason=reason))
            events += await _ends(services, crew, run)
        if events or more:
            await services.journal.record(*events, *more)
        is_recorded = True
    finally:
        if not is_recorded:
            for line, run in taken:
                line.early[run.fire] = run
                line.decided.add(run.fire)
                await crew.enqueue(run)
    for line, run in taken:
        line.record = replace(line.record, decided_until=line.decided_until(frozenset()))
        if line.last is not None and line.last.identity == run.fire:
            line.last = None


def _stands(line: Line, run: RunRecord) -> bool:
    return run.due_at is not None and line.has(run.fire, run.due_at)


def _back(
    line: Line, run: RunRecord, at: datetime, *, until: datetime, reason: str
) -> FireTakenBack:
    return FireTakenBack(
        at=at,
        schedule_id=line.record.schedule_id,
        pipeline=run.pipeline,
        identity=run.fire,
        run_id=run.run_id,
        reason=reason,
        until=until,
    )


async def _ends(services: Services, crew: Crew, run: RunRecord) -> list[Event]:
    """Return what ends a run that has not begun."""
    now = services.clock.now()
    pipeline = crew.definitions.pipelines.get(run.pipeline)
    nodes = [
        NodeChanged(
            at=now,
            run_id=run.run_id,
            pipeline=run.pipeline,
            node=node.node,
            state=NodeState.CANCELLED,
            attempt=node.attempts,
            error_kind=TAKEN_BACK,
        )
        for node in await services.history.nodes(run.run_id)
        if not node.state.is_final
    ]
    end = RunFinished(
        at=now,
        run_id=run.run_id,
        pipeline=run.pipeline,
        job=(pipeline.job if pipeline else None) or run.pipeline,
        state=RunState.CANCELLED,
        duration_s=0.0,
        reason=TAKEN_BACK,
    )
    return [*nodes, end]
