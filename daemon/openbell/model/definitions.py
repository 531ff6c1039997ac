"""Pipelines as plain JSON values, as history keeps their versions, and what tells them apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from openbell.model.pipelines import Node, Pipeline, Rehearsal, RetryPolicy
from openbell.model.schedules import MissedRule, ScheduleUse


def definition(pipeline: Pipeline) -> dict[str, Any]:
    """Return `pipeline` as plain JSON values, in a stable order and without secrets."""
    return {
        "name": pipeline.name,
        "mode": pipeline.mode,
        "job": pipeline.job,
        "params": dict(pipeline.params),
        "schedule": [schedule_document(use) for use in pipeline.schedule],
        "overlap": pipeline.overlap,
        "timeout_s": pipeline.timeout_s,
        "start": pipeline.start.isoformat() if pipeline.start else None,
        "end": pipeline.end.isoformat() if pipeline.end else None,
        "max_active_runs": pipeline.max_active_runs,
        "priority": pipeline.priority,
        "after": list(pipeline.after),
        "needs_dataset": dict(pipeline.needs_dataset),
        "give_up_s": pipeline.give_up_s,
        "expected_s": pipeline.expected_s,
        "rehearsal": {name: asdict(node) for name, node in pipeline.rehearsal.items()},
        "nodes": [_node_document(node) for node in pipeline.nodes],
    }


def _node_document(node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "op": node.op,
        "needs": {name: list(outcomes) for name, outcomes in node.needs.items()},
        "settings": dict(node.settings),
        "retry": {**asdict(node.retry), "on": list(node.retry.on)},
        "timeout_s": node.timeout_s,
        "trigger": node.trigger,
        "pool": node.pool,
        "for_each": node.for_each,
        "max_parallel": node.max_parallel,
    }


def schedule_document(use: ScheduleUse) -> dict[str, Any]:
    """Return a schedule as plain JSON values."""
    return {
        "expression": use.expression,
        "dst_missing": use.dst_missing,
        "dst_duplicate": use.dst_duplicate,
        "active_from": use.active_from.isoformat() if use.active_from else None,
        "active_until": use.active_until.isoformat() if use.active_until else None,
        "jitter_s": use.jitter_s,
        "on_missed": asdict(use.on_missed),
        "params": dict(use.params),
    }


def from_schedule_document(document: Mapping[str, Any]) -> ScheduleUse:
    """Return the schedule that `schedule_document` wrote; the two are inverses."""
    instants = {
        key: datetime.fromisoformat(document[key]) if document[key] else None
        for key in ("active_from", "active_until")
    }
    on_missed = MissedRule(**document["on_missed"])
    return ScheduleUse(**{**document, **instants, "on_missed": on_missed})


def from_definition(document: Mapping[str, Any]) -> Pipeline:
    """Return the pipeline that `definition` wrote; the two are inverses.

    What an earlier version of openbell did not write yet has its default.
    """
    start, end = document["start"], document["end"]
    written = {
        key: document[key]
        for key in ("overlap", "priority", "needs_dataset", "give_up_s", "expected_s")
        if key in document
    }
    return Pipeline(
        name=document["name"],
        nodes=tuple(_node(raw) for raw in document["nodes"]),
        mode=document["mode"],
        job=document["job"],
        params=document["params"],
        schedule=tuple(_schedule(raw) for raw in document["schedule"]),
        timeout_s=document["timeout_s"],
        start=date.fromisoformat(start) if start else None,
        end=date.fromisoformat(end) if end else None,
        max_active_runs=document["max_active_runs"],
        after=tuple(document.get("after", ())),
        rehearsal={name: Rehearsal(**node) for name, node in document.get("rehearsal", {}).items()},
        **written,
    )


def _schedule(raw: str | Mapping[str, Any]) -> ScheduleUse:
    return ScheduleUse(expression=raw) if isinstance(raw, str) else from_schedule_document(raw)


def _node(raw: Mapping[str, Any]) -> Node:
    retry = dict(raw["retry"])
    if "on" in retry:
        retry["on"] = tuple(retry["on"])
    written = {
        key: raw[key] for key in ("trigger", "pool", "for_each", "max_parallel") if key in raw
    }
    return Node(
        name=raw["name"],
        op=raw["op"],
        needs={name: tuple(outcomes) for name, outcomes in raw["needs"].items()},
        settings=raw["settings"],
        retry=RetryPolicy(**retry),
        timeout_s=raw["timeout_s"],
        **written,
    )


def fingerprint(pipeline: Pipeline) -> str:
    """Return a digest of what `pipeline` means; equal definitions have equal fingerprints."""
    text = json.dumps(definition(pipeline), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
