"""What events do to schedules, their fires, and pauses of pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, assert_never

from openbell.history.entries import Entry, rows
from openbell.history.queries import Statements
from openbell.model import events as ev
from openbell.model.bodies import encode_plain
from openbell.model.definitions import schedule_document
from openbell.model.history import DuplicateFireError, RecordRefusedError
from openbell.sdk.values import to_us

ScheduleEvent: TypeAlias = (
    ev.ScheduleAdded
    | ev.ScheduleRemoved
    | ev.SchedulePaused
    | ev.ScheduleAdvanced
    | ev.FireTakenBack
    | ev.PipelinePaused
)


def apply(db: Statements, event: ScheduleEvent) -> None:
    """Change the tables as `event` says."""
    match event:
        case ev.ScheduleAdded():
            _add(db, event)
        case ev.ScheduleAdvanced():
            row = {"schedule_id": event.schedule_id, "until_us": to_us(event.until)}
            query = "pass_over" if event.passed_over else "advance_schedule"
            _expect_one(event, db.run(query, row).rowcount)
        case ev.FireTakenBack():
            _take_back(db, event)
        case ev.ScheduleRemoved():
            row = {"schedule_id": event.schedule_id, "by": event.by, "at_us": to_us(event.at)}
            _expect_one(event, db.run("remove_schedule", row).rowcount)
        case ev.SchedulePaused():
            paused = {"schedule_id": event.schedule_id, "paused": int(event.paused)}
            _expect_one(event, db.run("pause_schedule", paused).rowcount)
        case ev.PipelinePaused():
            pause = {"pipeline": event.pipeline, "by": event.by, "at_us": to_us(event.at)}
            db.run("pause_pipeline" if event.paused else "resume_pipeline", pause)
        case _:
            assert_never(event)


def _take_back(db: Statements, event: ev.FireTakenBack) -> None:
    fire = {"pipeline": event.pipeline, "identity": event.identity, "run_id": event.run_id}
    if db.run("take_back_fire", fire).rowcount == 0:
        raise RecordRefusedError(event.name, f"run {event.run_id!r} does not wait for its fire")
    row = {"schedule_id": event.schedule_id, "until_us": to_us(event.until)}
    db.run("advance_schedule", row)


def _expect_one(
    event: ev.ScheduleAdvanced | ev.ScheduleRemoved | ev.SchedulePaused, changed: int
) -> None:
    if changed == 0:
        reason = f"no schedule {event.schedule_id!r} is in force"
        raise RecordRefusedError(event.name, reason)


def _add(db: Statements, event: ev.ScheduleAdded) -> None:
    row = {
        "schedule_id": event.schedule_id,
        "pipeline": event.pipeline,
        "key": event.key,
        "document": encode_plain(schedule_document(event.use)),
        "origin": event.origin,
        "by": event.by,
        "at_us": to_us(event.at),
    }
    known = db.first("schedule_of_key", row)
    if known is None:
        db.run("insert_schedule", row)
    elif known[0] != event.schedule_id:
        raise RecordRefusedError(event.name, f"{known[0]} of {event.pipeline!r} means the same")
    else:
        db.run("change_schedule" if known[1] is None else "revive_schedule", row)


def decide_fires(db: Statements, entries: Sequence[Entry]) -> bool:
    """Keep what became of fires of several schedules; return whether none was decided before."""
    decided = db.run("insert_fires", {"rows": rows(entries, "due_at")}).rowcount
    advancing = [
        each
        for each in entries
        if isinstance(each.event, ev.FireDecided) and each.event.until is not None
    ]
    if advancing:
        db.run("advance_schedules", {"rows": rows(advancing, "until")})
    return decided == len(entries)


def refuse_fire(_: Statements, event: ev.FireDecided) -> None:
    """Raise what speaks against `event`: nothing but that it was decided, or is too old."""
    raise DuplicateFireError(event.pipeline, event.identity)
