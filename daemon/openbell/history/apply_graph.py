"""What events do to items of nodes, to questions to people, and to runs that wait for others."""

from __future__ import annotations

from typing import TypeAlias, assert_never

from openbell.history.queries import Statements
from openbell.model import events as ev
from openbell.model.bodies import encode_plain
from openbell.model.history import RecordRefusedError
from openbell.model.runs import BEGUN
from openbell.sdk.values import to_us

GraphEvent: TypeAlias = (
    ev.RunHeld | ev.ApprovalAsked | ev.ApprovalAnswered | ev.ItemsListed | ev.ItemsChanged
)


def apply(db: Statements, event: GraphEvent) -> None:
    """Change the tables as `event` says."""
    match event:
        case ev.RunHeld():
            _hold(db, event)
        case ev.ApprovalAsked() | ev.ApprovalAnswered():
            _change_approval(db, event)
        case ev.ItemsListed():
            _list_items(db, event)
        case ev.ItemsChanged():
            _change_items(db, event)
        case _:
            assert_never(event)


def _hold(db: Statements, event: ev.RunHeld) -> None:
    row = {"run_id": event.run_id, "reason": event.reason}
    if db.run("hold_run", row).rowcount == 0:
        raise RecordRefusedError(event.name, f"run {event.run_id!r} is not in the queue")


def _change_approval(db: Statements, event: ev.ApprovalAsked | ev.ApprovalAnswered) -> None:
    row = {"run_id": event.run_id, "node": event.node, "item": event.item, "at_us": to_us(event.at)}
    if isinstance(event, ev.ApprovalAsked):
        row |= {
            "pipeline": event.pipeline,
            "question": event.question,
            "labels": encode_plain(event.labels),
            "deadline_at_us": None if event.deadline_at is None else to_us(event.deadline_at),
        }
        db.run("ask_approval", row)
    elif db.run("answer_approval", row | _answer(event)).rowcount == 0:
        reason = f"node {event.node!r} of run {event.run_id!r} asks nothing"
        raise RecordRefusedError(event.name, reason)


def _answer(event: ev.ApprovalAnswered) -> dict[str, str]:
    return {"label": event.label, "by": event.by, "comment": event.comment}


def _list_items(db: Statements, event: ev.ItemsListed) -> None:
    place = {"run_id": event.run_id, "node": event.node}
    rows = [
        {**place, "number": number, "item": encode_plain(item)}
        for number, item in enumerate(event.items, start=event.first)
    ]
    db.run_each("insert_item", rows)


def _change_items(db: Statements, event: ev.ItemsChanged) -> None:
    place = {"run_id": event.run_id, "node": event.node, "at_us": to_us(event.at)}
    rows = [
        {
            **place,
            "number": change.number,
            "state": change.state,
            "attempt": change.attempt,
            "outcome": change.outcome,
            "error": change.error,
            "error_kind": change.error_kind,
            "retry_at_us": None if change.retry_at is None else to_us(change.retry_at),
            "output": None if change.output is None else encode_plain(change.output),
            "is_begun": change.state in BEGUN,
            "is_final": change.state.is_final,
        }
        for change in event.changes
    ]
    db.run_each("change_item", rows)
