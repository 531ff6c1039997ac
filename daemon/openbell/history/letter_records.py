"""Rows as dead letters and decisions (pure); the order of columns is that of `queries.sql`."""

from __future__ import annotations

from openbell.history.records import Row
from openbell.model.bodies import decode_body
from openbell.model.letters import DeadLetter, Decision, LetterState
from openbell.sdk.values import from_us


def dead_letter(row: Row) -> DeadLetter:
    """Return a letter from a row of the `letter` queries."""
    return DeadLetter(
        letter_id=row[0],
        run_id=row[1],
        pipeline=row[2],
        node=row[3],
        item=row[4],
        state=LetterState(row[5]),
        error_kind=row[6],
        error=row[7],
        traceback=row[8],
        attempts=row[9],
        params=decode_body(row[10]),
        input=None if row[11] is None else decode_body(row[11]),
        created_at=from_us(row[12]),
        replayed_by=row[13],
        settled_at=None if row[14] is None else from_us(row[14]),
        settled_by=row[15],
    )


def decision(row: Row) -> Decision:
    """Return a decision from a row of the `decisions` queries."""
    return Decision(
        id=row[0],
        at=from_us(row[1]),
        pipeline=row[2],
        run_id=row[3] or None,
        node=row[4],
        what=row[5],
        reason=row[6],
    )
