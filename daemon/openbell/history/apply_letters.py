"""What events do to dead letters and decisions."""

from __future__ import annotations

from typing import TypeAlias, assert_never

from openbell.history.queries import Statements
from openbell.model import events as ev
from openbell.model.bodies import encode_plain
from openbell.model.history import RecordRefusedError
from openbell.model.letters import MAX_DECISIONS
from openbell.sdk.values import to_us

LetterEvent: TypeAlias = ev.DeadLettered | ev.LetterReplayed | ev.LetterPurged | ev.DecisionNoted


def apply(db: Statements, event: LetterEvent) -> None:
    """Change the tables as `event` says."""
    match event:
        case ev.DeadLettered():
            _write(db, event)
        case ev.LetterReplayed():
            _settle(db, event, run_id=event.run_id)
        case ev.LetterPurged():
            _settle(db, event, run_id=None)
        case ev.DecisionNoted():
            _note(db, event)
        case _:
            assert_never(event)


def _write(db: Statements, event: ev.DeadLettered) -> None:
    row = {
        "letter_id": event.letter_id,
        "run_id": event.run_id,
        "pipeline": event.pipeline,
        "node": event.node,
        "item": event.item,
        "error_kind": event.error_kind,
        "error": event.error,
        "traceback": event.traceback,
        "attempts": event.attempts,
        "params": encode_plain(event.params),
        "input": None if event.input is None else encode_plain(event.input),
        "at_us": to_us(event.at),
    }
    db.run("insert_letter", row)


def _settle(
    db: Statements, event: ev.LetterReplayed | ev.LetterPurged, *, run_id: str | None
) -> None:
    row = {
        "letter_id": event.letter_id,
        "run_id": run_id,
        "state": "purged" if run_id is None else "replayed",
        "by": event.by,
        "at_us": to_us(event.at),
        "of_run": event.of_run if isinstance(event, ev.LetterReplayed) else "",
    }
    is_settled = not event.letter_id or db.run("settle_letter", row).rowcount > 0
    if not is_settled:
        found = db.first("letter", row)
        stands = "unknown" if found is None else f"{found[5]} already"
        raise RecordRefusedError(event.name, f"dead letter {event.letter_id!r} is {stands}")
    if row["of_run"]:
        db.run("settle_letters_of_run", row)


def _note(db: Statements, event: ev.DecisionNoted) -> None:
    row = {
        "run_id": event.run_id or "",
        "pipeline": event.pipeline,
        "node": event.node,
        "what": event.what,
        "reason": event.reason,
        "at_us": to_us(event.at),
        "kept": MAX_DECISIONS,
    }
    if db.run("insert_decision", row).rowcount:
        db.run("delete_decisions_beyond", row)
