"""Why a node did not run, or how it ended. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from openbell.execution.chains import is_open
from openbell.execution.retry import error_class, is_retried
from openbell.model.explanations import Sentence
from openbell.model.letters import LetterState
from openbell.model.pipelines import Node
from openbell.model.runs import NodeRecord, NodeState
from openbell.supervisor.explain.at_work import at_work
from openbell.supervisor.explain.facts import RunFacts
from openbell.supervisor.runs.requested import MARKED

_BROKEN = frozenset({NodeState.FAILED, NodeState.CANCELLED, NodeState.UPSTREAM_FAILED})


@dataclass(frozen=True, slots=True)
class Edge:
    """A needed node, and what its end means for the one that needs it."""

    name: str
    text: str
    is_over: bool
    is_open: bool = False
    has_failed: bool = False


def edges(facts: RunFacts, name: str) -> list[Edge]:
    """Return the edges into a node, in the definition's order."""
    definition = facts.definition(name)
    needs = definition.needs if definition else {}
    found = []
    for needed, outcomes in needs.items():
        record = facts.nodes.get(needed)
        if record is None:
            continue
        found.append(_edge(record, outcomes))
    return found


def _edge(record: NodeRecord, outcomes: Sequence[str]) -> Edge:
    name, state = record.node, record.state
    if not state.is_final:
        return Edge(name, f"{name!r} is {state}", is_over=False)
    if state in _BROKEN:
        return Edge(name, f"{name!r} is {state}", is_over=True, has_failed=True)
    if state is NodeState.SKIPPED:
        return Edge(name, f"{name!r} was skipped", is_over=True)
    outcome = record.outcome or "success"
    if is_open(outcomes, outcome):
        return Edge(name, f"{name!r} ended with {outcome!r}", is_over=True, is_open=True)
    wanted = " or ".join(map(repr, outcomes)) or "'success'"
    text = f"{name!r} ended with {outcome!r}, and this edge is open for {wanted} alone"
    return Edge(name, text, is_over=True)


def explain_node(facts: RunFacts, name: str) -> list[Sentence]:
    """Return why a node stands where it stands, the most important first."""
    record = facts.nodes[name]
    told = _TELL[record.state](facts, record)
    if record.reason:
        told.append(_say("note", f"it is on record: {record.reason}", facts, record))
    return told


def _say(
    what: str, text: str, facts: RunFacts, record: NodeRecord, *, at: datetime | None = None
) -> Sentence:
    return Sentence(what=what, text=text, at=at, ids={"run": facts.run.run_id, "node": record.node})


def _pending(facts: RunFacts, record: NodeRecord) -> list[Sentence]:
    if facts.run.started_at is None:
        return [_say("run_queued", "its run has not begun", facts, record)]
    open_edges = [edge.text for edge in edges(facts, record.node) if not edge.is_over]
    if not open_edges and facts.run.paused:
        text = f"its run is paused; `mdp resume {facts.run.run_id}` lets it go on"
        return [_say("paused", text, facts, record)]
    if not open_edges:
        return [_say("begins", "what it needs has ended: it begins at once", facts, record)]
    return [_say("waits_for_nodes", f"it waits: {_listed(open_edges)}", facts, record)]


def _queued(facts: RunFacts, record: NodeRecord) -> list[Sentence]:
    for turn in facts.turns:
        if (turn.run_id, turn.node) == (facts.run.run_id, record.node):
            text = (
                f"it waits for its turn since {turn.waited_s:.0f} s, at place {turn.position} with "
                f"priority {turn.priority}: {turn.reason or 'its turn comes next'}"
            )
            return [_say("waits_for_turn", text, facts, record)]
    return [_say("waits_for_turn", "it is ready and waits for a worker", facts, record)]


def _running(facts: RunFacts, record: NodeRecord) -> list[Sentence]:
    return [_say("running", at_work(facts, record), facts, record, at=record.started_at)]


def _retrying(facts: RunFacts, record: NodeRecord) -> list[Sentence]:
    definition = facts.definition(record.node)
    most = f" of {definition.retry.max_attempts}" if definition else ""
    text = (
        f"attempt {record.attempts}{most} failed ({record.error_kind or 'error'}): {record.error}"
    )
    told = [_say("retrying", text, facts, record)]
    if record.retry_at is not None:
        text = f"it is tried again at {_instant(record.retry_at)}"
        told.insert(0, _say("retry_at", text, facts, record, at=record.retry_at))
    return told


def _success(facts: RunFacts, record: NodeRecord) -> list[Sentence]:
    outcome = f" with {record.outcome!r}" if record.outcome not in {None, "success"} else ""
    return [_say("success", f"it succeeded{outcome}", facts, record, at=record.finished_at)]


def _failed(facts: RunFacts, record: NodeRecord) -> list[Sentence]:
    kind = record.error_kind or "error"
    told = [
        _say("failed", f"it failed ({kind}): {record.error}", facts, record, at=record.finished_at)
    ]
    definition = facts.definition(record.node)
    if definition is not None and record.error_kind != MARKED:
        told.append(_say(*_why_not_again(record, definition), facts, record))
    for letter in facts.letters:
        if letter.node == record.node and letter.state is LetterState.WAITING:
            text = f"`mdp dlq replay {letter.letter_id}` does it again"
            ids = {"letter": letter.letter_id, "run": facts.run.run_id, "node": record.node}
            told.append(Sentence(what="letter", text=text, at=letter.created_at, ids=ids))
            break
    return told


def _why_not_again(record: NodeRecord, definition: Node) -> tuple[str, str]:
    policy = definition.retry
    if definition.for_each is not None and record.error_kind == "items":
        return "items_failed", "items of it used up their attempts or failed for good"
    kind = record.error_kind or "error"
    if record.attempts >= policy.max_attempts:
        most = policy.max_attempts
        allowed = "1 was allowed" if most == 1 else f"{most} were allowed"
        return "attempts_used_up", f"its attempts are used up: {allowed}"
    if error_class(kind, is_retryable=True) is None:
        return "not_retried", "what failed like this is never tried again"
    if kind == "timeout" and is_retried(policy, kind, is_retryable=True):
        return "not_retried", "its deadline has passed, and that does not come back"
    if is_retried(policy, kind, is_retryable=True):
        return "not_retried", "who raised it says that trying again cannot help"
    return "not_retried", f"its policy tries again after {', '.join(policy.on)} alone"


def _skipped(facts: RunFacts, record: NodeRecord) -> list[Sentence]:
    reasons = [edge.text for edge in edges(facts, record.node) if not edge.is_open]
    return [_by_rule("skipped", "it was skipped", reasons, facts=facts, record=record)]


def _upstream_failed(facts: RunFacts, record: NodeRecord) -> list[Sentence]:
    reasons = [edge.text for edge in edges(facts, record.node) if edge.has_failed]
    return [_by_rule("upstream_failed", "it did not run", reasons, facts=facts, record=record)]


def _by_rule(
    what: str, words: str, reasons: Sequence[str], *, facts: RunFacts, record: NodeRecord
) -> Sentence:
    """Return what its trigger rule made of the nodes that it needs."""
    definition = facts.definition(record.node)
    trigger = definition.trigger if definition else "all_success"
    because = _listed(reasons or [edge.text for edge in edges(facts, record.node)])
    text = f"{words}: {because or 'no rows came its way'} (trigger {trigger})"
    return _say(what, text, facts, record, at=record.finished_at)


def _cancelled(facts: RunFacts, record: NodeRecord) -> list[Sentence]:
    why = f" ({record.error_kind})" if record.error_kind not in {"", "cancelled", None} else ""
    return [_say("cancelled", f"it was cancelled{why}", facts, record, at=record.finished_at)]


def _listed(words: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(words[:most])
    return shown if len(words) <= most else f"{shown} and {len(words) - most} more"


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


_TELL = {
    NodeState.PENDING: _pending,
    NodeState.QUEUED: _queued,
    NodeState.RUNNING: _running,
    NodeState.RETRYING: _retrying,
    NodeState.SUCCESS: _success,
    NodeState.FAILED: _failed,
    NodeState.SKIPPED: _skipped,
    NodeState.UPSTREAM_FAILED: _upstream_failed,
    NodeState.CANCELLED: _cancelled,
}
