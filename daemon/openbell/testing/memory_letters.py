"""Dead letters, decisions and open runs of an in-memory history."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from openbell.model import events as ev
from openbell.model.bodies import decode_body, encode_plain
from openbell.model.history import RecordRefusedError
from openbell.model.letters import MAX_DECISIONS, DeadLetter, Decision, LetterFilter, LetterState
from openbell.model.runs import OpenRun
from openbell.testing.memory_tables import MISFIT, Tables


def write(tables: Tables, event: ev.DeadLettered) -> None:
    """Keep work that failed for good."""
    if event.letter_id in tables.letters:
        raise RecordRefusedError(event.name, MISFIT)
    letter = DeadLetter(
        letter_id=event.letter_id,
        run_id=event.run_id,
        pipeline=event.pipeline,
        node=event.node,
        item=event.item,
        state=LetterState.WAITING,
        error_kind=event.error_kind,
        error=event.error,
        traceback=event.traceback,
        attempts=event.attempts,
        params=decode_body(encode_plain(event.params)),
        input=None if event.input is None else decode_body(encode_plain(event.input)),
        created_at=event.at,
    )
    tables.put(tables.letters, event.letter_id, letter)


def settle(tables: Tables, event: ev.LetterReplayed | ev.LetterPurged) -> None:
    """Note that a letter is replayed, or given up."""
    if event.letter_id:
        _settle_one(tables, event, event.letter_id)
    if isinstance(event, ev.LetterReplayed) and event.of_run:
        for letter in list(tables.letters.values()):
            if letter.run_id == event.of_run and letter.state is LetterState.WAITING:
                _settle_one(tables, event, letter.letter_id)


def _settle_one(tables: Tables, event: ev.LetterReplayed | ev.LetterPurged, letter_id: str) -> None:
    known = tables.letters.get(letter_id)
    if known is None or known.state is not LetterState.WAITING:
        stands = "unknown" if known is None else f"{known.state} already"
        raise RecordRefusedError(event.name, f"dead letter {letter_id!r} is {stands}")
    is_replay = isinstance(event, ev.LetterReplayed)
    settled = replace(
        known,
        state=LetterState.REPLAYED if is_replay else LetterState.PURGED,
        replayed_by=event.run_id if isinstance(event, ev.LetterReplayed) else None,
        settled_at=event.at,
        settled_by=event.by,
    )
    tables.put(tables.letters, letter_id, settled)


def note(tables: Tables, event: ev.DecisionNoted) -> None:
    """Keep why something did not run, unless that was the last thing said about it."""
    about = (event.pipeline, event.run_id)
    known = tables.decisions.get(about, ())
    last = next((each for each in reversed(known) if each.node == event.node), None)
    if last is not None and (last.what, last.reason) == (event.what, event.reason):
        return
    decision = Decision(
        id=tables.next_id("decisions"),
        at=event.at,
        pipeline=event.pipeline,
        run_id=event.run_id,
        node=event.node,
        what=event.what,
        reason=event.reason,
    )
    tables.put(tables.decisions, about, (*known, decision)[-MAX_DECISIONS:])


def letters(tables: Tables, wanted: LetterFilter) -> Sequence[DeadLetter]:
    """Return dead letters, newest first."""
    found = [
        letter
        for letter in tables.letters.values()
        if wanted.pipeline in {None, letter.pipeline}
        and wanted.state in {None, letter.state}
        and wanted.run_id in {None, letter.run_id}
        and wanted.kind in {None, letter.error_kind}
        and (wanted.since is None or letter.created_at >= wanted.since)
        and (wanted.before is None or letter.letter_id < wanted.before)
    ]
    return sorted(found, key=lambda letter: letter.letter_id, reverse=True)[: wanted.limit]


def decisions(
    tables: Tables, *, run_id: str | None, pipeline: str | None, before: int | None
) -> Sequence[Decision]:
    """Return decisions, newest first."""
    found = [
        decision
        for of_one in tables.decisions.values()
        for decision in of_one
        if run_id in {None, decision.run_id}
        and (run_id is not None or pipeline in {None, decision.pipeline})
        and (before is None or decision.id < before)
    ]
    return sorted(found, key=lambda decision: decision.id, reverse=True)


def open_runs(tables: Tables, *, pipeline: str | None, after: str) -> Sequence[OpenRun]:
    """Return runs that have not ended, oldest first."""
    found = [
        run
        for run in tables.runs.values()
        if run.finished_at is None and pipeline in {None, run.pipeline} and run.run_id > after
    ]
    return [
        OpenRun(
            run=run,
            nodes=tuple(tables.pages[run.run_id].nodes.values()),
            attempts=tuple(a for a in tables.pages[run.run_id].attempts.values() if a.item < 0),
        )
        for run in sorted(found, key=lambda run: run.run_id)
    ]


def forget(tables: Tables, before: datetime, gone: Collection[str]) -> None:
    """Forget letters settled before an instant, and decisions that are old or of runs that are gone."""
    tables.letters = {
        letter_id: letter
        for letter_id, letter in tables.letters.items()
        if letter.settled_at is None or letter.settled_at >= before
    }
    tables.decisions = {
        about: kept
        for about, of_one in tables.decisions.items()
        if (kept := tuple(each for each in of_one if each.run_id or each.at >= before))
        and about[1] not in gone
    }
