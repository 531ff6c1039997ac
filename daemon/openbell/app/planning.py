"""What a run would do, from a configuration and what a state directory knows; no daemon is needed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import anyio

from openbell.app.calendars import HISTORY_NAME
from openbell.config.plugins import Registry
from openbell.config.substitution import fill_params
from openbell.execution.chains import complete, units
from openbell.execution.plan import Expected, critical_path, skips, unit_plans
from openbell.history.connections import Readers
from openbell.history.readers import Answers
from openbell.model.control import Submission, UnknownPipelineError
from openbell.model.pipelines import Deployment, Node, Pipeline
from openbell.sdk.errors import FatalError
from openbell.supervisor.answers.branch import fits
from openbell.supervisor.intake import run_params


@asynccontextmanager
async def _answers(state_dir: Path) -> AsyncIterator[Answers | None]:
    """Yield what a state directory's history knows, None when there is none."""
    database = state_dir / HISTORY_NAME
    if not await anyio.Path(database).exists():
        yield None
        return
    readers = Readers(database, count=1)
    async with readers.opened():
        yield Answers(readers)


async def planned(
    deployment: Deployment, registry: Registry, submission: Submission, state_dir: Path
) -> dict[str, Any]:
    """Return order, levels, units, critical path, skips, needs and pools of a run, as plain values.

    Raises UnknownPipelineError, SettingsError for wrong parameters and GraphError.
    """
    found = deployment.pipelines.get(submission.pipeline)
    if found is None:
        raise UnknownPipelineError(submission.pipeline, list(deployment.pipelines))
    pipeline = complete(found)
    params = run_params(submission, pipeline)
    cut = units(pipeline, {name: str(spec.role) for name, spec in registry.operators.items()})
    async with _answers(state_dir) as answers:
        took = {} if answers is None else await answers.node_durations(pipeline.name)
        needs = await _needs(deployment, pipeline, submission, answers)
        notes = await _notes(pipeline, submission, answers)
    plans = unit_plans(cut, {node.name: _expected(pipeline, node, took) for node in pipeline.nodes})
    path, total_s = critical_path(plans)
    nodes = [node for unit in cut for node in unit.nodes]
    label = submission.session.isoformat() if submission.session else None
    known = {**params, **({"session": label} if label else {})}
    return {
        "pipeline": pipeline.name,
        "params": params,
        "session": label,
        "order": [node.name for node in nodes],
        "levels": [
            [plan.name for plan in plans if plan.level == level]
            for level in range(1 + max((plan.level for plan in plans), default=-1))
        ],
        "units": [{**asdict(plan), "is_critical": plan.name in path} for plan in plans],
        "critical_path": {
            "units": list(path),
            "seconds": round(total_s, 3),
            "unknown": [p.name for p in plans if p.name in path and p.seconds is None],
        },
        "skips": [
            asdict(skip)
            for skip in skips(nodes, {node.name: _outcome(node, known) for node in nodes})
        ],
        "needs": needs,
        "pools": {
            name: deployment.pools.get(name) for name in sorted({p for u in plans for p in u.pools})
        },
        "notes": notes,
    }


def _expected(pipeline: Pipeline, node: Node, took: Mapping[str, Sequence[float]]) -> Expected:
    if took.get(node.name):
        return Expected(round(median(took[node.name]), 3), "history")
    rehearsal = pipeline.rehearsal.get(node.name)
    if rehearsal is not None and rehearsal.duration_s:
        return Expected(rehearsal.duration_s, "rehearsal")
    if pipeline.expected_s is not None:
        return Expected(round(pipeline.expected_s / len(pipeline.nodes), 3), "expected")
    return Expected(None, "unknown")


def _outcome(node: Node, params: Mapping[str, object]) -> str | None:
    """Return the outcome of a node that is known before it runs, None for any other."""
    if node.for_each is not None or node.op not in {"noop", "branch"}:
        return None
    try:
        settings = fill_params(node.settings, params)
        if node.op == "noop":
            return str(settings.get("outcome") or "success")
        if settings.get("of") is not None:
            return None
        cases: Mapping[str, object] = settings.get("cases") or {}
        given = settings.get("value")
        labels = (label for label, case in cases.items() if fits(given, case))
        return next(labels, str(settings.get("otherwise")) if cases else str(given))
    except (KeyError, FatalError):
        return None


async def _needs(
    deployment: Deployment, pipeline: Pipeline, submission: Submission, answers: Answers | None
) -> list[dict[str, Any]]:
    """Return what the run waits for of other pipelines, and whether that is there now."""
    wanted: list[tuple[str, str, tuple[str, ...]]] = [
        ("pipeline", name, (name,)) for name in pipeline.after
    ]
    for dataset in pipeline.needs_dataset:
        writers = [other.name for other in deployment.pipelines.values() if _writes(other, dataset)]
        wanted.append(("dataset", dataset, tuple(writers)))
    session = submission.session
    found = []
    for kind, name, makers in wanted:
        met: bool | None = None
        why = "a run without a session waits for nothing"
        if session is not None and answers is None:
            why = "there is no history that could tell"
        elif session is not None and answers is not None:
            done = [m for m in makers if await answers.has_succeeded(m, session.isoformat())]
            met = bool(done)
            why = f"{', '.join(done or makers) or 'no pipeline'} of session {session}: "
            why += "succeeded" if done else "no successful run"
        found.append({"kind": kind, "name": name, "met": met, "why": why})
    return found


def _writes(pipeline: Pipeline, dataset: str) -> bool:
    return any(node.op == "write" for node in pipeline.nodes) and any(
        node.settings.get("dataset") == dataset for node in pipeline.nodes
    )


async def _notes(pipeline: Pipeline, submission: Submission, answers: Answers | None) -> list[str]:
    notes = []
    session = submission.session
    if session is not None and answers is not None:
        has_run = await answers.has_succeeded(pipeline.name, session.isoformat())
        notes += [f"a run of session {session} succeeded already"] if has_run else []
    if any(node.op == "write" for node in pipeline.nodes):
        notes.append(
            "rows that are stored already are not written again; how many those are "
            "cannot be known before they are fetched"
        )
    return notes
