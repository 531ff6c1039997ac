"""What a node that is running does or waits for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from openbell.config.fields import seconds
from openbell.config.substitution import fill_params
from openbell.model.pipelines import Node
from openbell.model.runs import NodeRecord, NodeState
from openbell.supervisor.answers.wait import thing
from openbell.supervisor.explain.facts import RunFacts

_FINAL = tuple(state for state in NodeState if state.is_final)


def at_work(facts: RunFacts, record: NodeRecord) -> str:
    """Return what a node does, in a sentence."""
    node = facts.definition(record.node)
    if node is None:
        return _plainly(record)
    if node.for_each is not None:
        return _items(facts, record)
    match node.op:
        case "approve":
            return _asks(facts, record)
        case "wait":
            return _waits(facts, record, node)
        case "pipeline":
            return _follows(facts, record)
        case _:
            return _plainly(record)


def _plainly(record: NodeRecord) -> str:
    return f"it is running, attempt {max(1, record.attempts)}"


def _items(facts: RunFacts, record: NodeRecord) -> str:
    counts = facts.items.get(record.node, {})
    ended = sum(counts.get(state, 0) for state in _FINAL)
    text = f"{ended} of its {sum(counts.values())} items have ended"
    failed = counts.get(NodeState.FAILED, 0)
    return f"{text}, {failed} of them failed" if failed else text


def _asks(facts: RunFacts, record: NodeRecord) -> str:
    asked = next((each for each in facts.approvals if each.node == record.node), None)
    if asked is None:
        return _plainly(record)
    answers = ", ".join(asked.labels)
    return (
        f"it asks people {asked.question!r}: `mdp approve {asked.run_id} {asked.node} LABEL` "
        f"answers ({answers}){_until(asked.deadline_at)}"
    )


def _waits(facts: RunFacts, record: NodeRecord, node: Node) -> str:
    settings = _filled(facts, node)
    limit, due_at = settings.get("deadline"), None
    if limit is not None and record.started_at is not None:
        with suppress(ValueError):
            due_at = record.started_at + timedelta(seconds=seconds(limit))
    return f"it waits for {thing(settings)}{_until(due_at)}"


def _filled(facts: RunFacts, node: Node) -> Mapping[str, Any]:
    """Return a node's settings with the run's parameters, as they are written where one lacks."""
    declared = facts.pipeline.params if facts.pipeline else {}
    try:
        filled: Mapping[str, Any] = fill_params(
            dict(node.settings), {**declared, **facts.run.params}
        )
    except KeyError:
        return node.settings
    return filled


def _follows(facts: RunFacts, record: NodeRecord) -> str:
    run = facts.children.get(record.node)
    if run is None:
        return _plainly(record)
    return f"it follows run {run.run_id} of {run.pipeline!r}, which is {run.state}"


def _until(at: datetime | None) -> str:
    return "" if at is None else f"; it gives up at {at:%Y-%m-%d %H:%M:%S} UTC"
