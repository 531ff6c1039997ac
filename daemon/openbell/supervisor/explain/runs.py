"""Why a run did not run, or how it ended. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from openbell.model.explanations import Sentence
from openbell.model.letters import LetterState
from openbell.model.runs import NodeState, RunState
from openbell.supervisor.explain.facts import RunFacts
from openbell.supervisor.explain.nodes import explain_node

_SHOWN = 8
_OPEN = (NodeState.RETRYING, NodeState.QUEUED, NodeState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFacts:
    """How the pipeline of a run stands: `ahead` are runs that begin before it, by id."""

    state: str
    reason: str = ""
    daemon: str = "running"
    active: Sequence[str] = ()
    ahead: Sequence[str] = ()


def explain_run(facts: RunFacts, queue: QueueFacts | None) -> list[Sentence]:
    """Return why a run stands where it stands; without `queue` nothing is known of the present."""
    run = facts.run
    match run.state:
        case RunState.QUEUED:
            told = _queued(facts, queue)
        case RunState.RUNNING:
            told = _running(facts, queue)
        case RunState.SUCCESS:
            told = [_say("success", "it succeeded", facts), *_dealt_with(facts)]
        case RunState.FAILED:
            told = _failed(facts)
        case RunState.CANCELLED:
            why = f" ({run.reason})" if run.reason not in {"", "cancelled"} else ""
            told = [_say("cancelled", f"it was cancelled{why}", facts)]
    return [*_paused(facts), *told, *_unrun(facts), _submitted(facts)]


def _say(what: str, text: str, facts: RunFacts, **ids: str) -> Sentence:
    run = facts.run
    at = {"queued": run.submitted_at, "running": run.started_at}.get(run.state, run.finished_at)
    return Sentence(what=what, text=text, at=at, ids={"run": run.run_id, **ids})


def _paused(facts: RunFacts) -> list[Sentence]:
    run = facts.run
    if not run.paused or run.state.is_final:
        return []
    text = f"somebody paused it: nothing of it begins; `mdp resume {run.run_id}` lets it go on"
    return [_say("paused", text, facts)]


def _queued(facts: RunFacts, queue: QueueFacts | None) -> list[Sentence]:
    run = facts.run
    told: list[Sentence] = []
    if run.cancel_requested:
        told.append(_say("cancel_requested", "somebody asked for its end", facts))
    if queue is not None:
        told += _standing(facts, queue)
    if run.reason:
        told.append(_say("held", f"it {run.reason}", facts))
        give_up_s = facts.pipeline.give_up_s if facts.pipeline else None
        if give_up_s is not None:
            text = f"it gives up {give_up_s:g} s after it was submitted"
            told.append(_say("gives_up", text, facts))
    elif queue is not None and queue.state == "active":
        told.append(_in_line(facts, queue))
    return told or [_say("queued", "it is in the queue; no daemon works on it now", facts)]


def _standing(facts: RunFacts, queue: QueueFacts) -> list[Sentence]:
    """Return what keeps a whole pipeline, or everything, from beginning anything."""
    told: list[Sentence] = []
    if queue.daemon != "running":
        text = (
            f"the daemon is {queue.daemon}: it begins nothing more, and goes on at its next start"
        )
        told.append(_say(queue.daemon, text, facts))
    if queue.state != "active":
        name = facts.run.pipeline
        reason = f": {queue.reason}" if queue.reason else ""
        hint = f"; `mdp resume {name}` lets it go on" if queue.state in {"paused", "parked"} else ""
        text = f"pipeline {name!r} is {queue.state}{reason}{hint}"
        told.append(_say(queue.state, text, facts, pipeline=name))
    return told


def _in_line(facts: RunFacts, queue: QueueFacts) -> Sentence:
    if facts.run.run_id in queue.active:
        text = "it is being taken up: what it knows by itself, like its session, is looked up"
        return _say("taken_up", text, facts)
    most = facts.pipeline.max_active_runs if facts.pipeline else 1
    if not queue.active:
        return _say("queued", "it begins at once", facts)
    going = ", ".join(queue.active[:3])
    limit = f"at most {most} of its pipeline at once (max_active_runs)"
    text = f"it is number {len(queue.ahead) + 1} in the queue: {limit}, and {going} is going on"
    return _say("max_active_runs", text, facts, active=queue.active[0])


def _running(facts: RunFacts, queue: QueueFacts | None) -> list[Sentence]:
    told: list[Sentence] = []
    if queue is not None and queue.daemon != "running":
        told.append(_say(queue.daemon, f"the daemon is {queue.daemon}: it goes on later", facts))
    for state in _OPEN:
        for name, node in facts.nodes.items():
            if node.state is state and len(told) < _SHOWN:
                first = explain_node(facts, name)[0]
                text = f"node {name!r}: {first.text}"
                told.append(Sentence(what=first.what, text=text, at=first.at, ids=first.ids))
    return told or [_say("running", "it is running", facts)]


def _failed(facts: RunFacts) -> list[Sentence]:
    run = facts.run
    told: list[Sentence] = []
    failed = [node for node in facts.nodes.values() if node.state is NodeState.FAILED]
    if run.reason or not failed:
        why = f" ({run.reason})" if run.reason else ""
        told.append(_say("failed", f"it failed{why}: {run.error}", facts))
    for node in failed[:_SHOWN]:
        reasons = explain_node(facts, node.node)
        text = f"node {node.node!r}: {reasons[0].text}"
        told.append(Sentence(what="failed", text=text, at=reasons[0].at, ids=reasons[0].ids))
        told += [each for each in reasons[1:] if each.what != "letter"]
    waiting = [each for each in facts.letters if each.state is LetterState.WAITING]
    if waiting:
        count = "1 dead letter waits" if len(waiting) == 1 else f"{len(waiting)} dead letters wait"
        text = f"{count}: `mdp dlq replay {waiting[0].letter_id}` goes on from what failed"
        told.append(_say("letter", text, facts, letter=waiting[0].letter_id))
    replayed = next((each.replayed_by for each in facts.letters if each.replayed_by), None)
    if replayed:
        told.append(_say("replayed", f"run {replayed} does it again", facts, replayed_by=replayed))
    return told


def _dealt_with(facts: RunFacts) -> list[Sentence]:
    """Return which nodes of a run that succeeded did not."""
    told: list[Sentence] = []
    for name, node in facts.nodes.items():
        if node.state in {NodeState.FAILED, NodeState.CANCELLED} and len(told) < _SHOWN:
            first = explain_node(facts, name)[0]
            text = f"node {name!r}, which others dealt with: {first.text}"
            told.append(Sentence(what="dealt_with", text=text, at=first.at, ids=first.ids))
    return told


def _unrun(facts: RunFacts) -> list[Sentence]:
    """Return why nodes of an ended run did not run."""
    if not facts.run.state.is_final:
        return []
    without = [
        name
        for name, node in facts.nodes.items()
        if node.state in {NodeState.SKIPPED, NodeState.UPSTREAM_FAILED}
    ]
    told = []
    for name in without[:_SHOWN]:
        first = explain_node(facts, name)[0]
        text = f"node {name!r}: {first.text}"
        told.append(Sentence(what=first.what, text=text, at=first.at, ids=first.ids))
    if len(without) > _SHOWN:
        told.append(_say("more", f"{len(without) - _SHOWN} more nodes did not run", facts))
    return told


def _submitted(facts: RunFacts) -> Sentence:
    run = facts.run
    words = [f"it was submitted by {run.origin or 'nobody known'}"]
    ids = {"run": run.run_id}
    if run.fire:
        words.append(f"for fire {run.fire}")
        ids["fire"] = run.fire
    if run.session:
        words.append(f"for session {run.session}")
    if run.retry_of:
        words.append(f"as a retry of run {run.retry_of}")
        ids["retry_of"] = run.retry_of
    return Sentence(what="submitted", text=" ".join(words), at=run.submitted_at, ids=ids)
