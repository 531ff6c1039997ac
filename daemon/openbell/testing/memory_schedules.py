"""What events do to the schedules, fires and pauses of an in-memory history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from openbell.model import events as ev
from openbell.model.definitions import from_schedule_document, schedule_document
from openbell.model.history import DuplicateFireError, RecordRefusedError
from openbell.model.quick import changed
from openbell.model.runs import RunState
from openbell.model.schedules import NEWEST_FIRE, FireRecord, ScheduleRecord, fire_place
from openbell.testing.memory_tables import MISFIT, Tables


def add_schedule(tables: Tables, event: ev.ScheduleAdded) -> None:
    """Keep a schedule, or change how its fires are taken."""
    known = next((s for s in tables.schedules.values() if _is_meant(s, event)), None)
    use = from_schedule_document(schedule_document(event.use))
    if known is None:
        if event.schedule_id in tables.schedules:
            raise RecordRefusedError(event.name, MISFIT)
        record = ScheduleRecord(
            schedule_id=event.schedule_id,
            pipeline=event.pipeline,
            key=event.key,
            use=use,
            origin=event.origin,
            added_at=event.at,
            added_by=event.by,
            decided_until=event.at,
            passed_until=event.at,
        )
    elif known.schedule_id != event.schedule_id:
        reason = f"{known.schedule_id} of {event.pipeline!r} means the same"
        raise RecordRefusedError(event.name, reason)
    elif known.removed_at is None:
        record = changed(known, use=use, origin=event.origin)
    else:
        record = changed(
            known,
            use=use,
            origin=event.origin,
            added_at=event.at,
            added_by=event.by,
            removed_at=None,
            removed_by="",
            paused=False,
            decided_until=max(known.decided_until, event.at),
            passed_until=max(known.passed_until, event.at),
        )
    tables.put(tables.schedules, event.schedule_id, record)


def _is_meant(record: ScheduleRecord, event: ev.ScheduleAdded) -> bool:
    return (record.pipeline, record.key) == (event.pipeline, event.key)


def change_schedule(tables: Tables, event: ev.ScheduleRemoved | ev.SchedulePaused) -> None:
    """Note that a schedule is gone, paused, or goes on."""
    known = tables.schedules.get(event.schedule_id)
    if known is None or known.removed_at is not None:
        reason = f"no schedule {event.schedule_id!r} is in force"
        raise RecordRefusedError(event.name, reason)
    if isinstance(event, ev.ScheduleRemoved):
        record = changed(known, removed_at=event.at, removed_by=event.by)
    else:
        record = changed(known, paused=event.paused)
    tables.put(tables.schedules, event.schedule_id, record)


def decide(tables: Tables, event: ev.FireDecided) -> None:
    """Keep what became of a fire, once."""
    known = tables.schedules.get(event.schedule_id)
    floor = tables.floors.get(event.schedule_id)
    is_forgotten = floor is not None and event.due_at <= floor
    if (event.pipeline, event.identity) in tables.fires or known is None or is_forgotten:
        raise DuplicateFireError(event.pipeline, event.identity)
    record = FireRecord(
        pipeline=event.pipeline,
        identity=event.identity,
        schedule_id=event.schedule_id,
        session=event.session,
        event=event.event,
        index=event.index,
        due_at=event.due_at,
        decided_at=event.at,
        outcome=event.outcome,
        reason=event.reason,
        run_id=event.run_id,
    )
    tables.put(tables.fires, (event.pipeline, event.identity), record)
    if event.until is not None:
        advanced = changed(known, decided_until=event.until)
        tables.put(tables.schedules, event.schedule_id, advanced)


def take_back(tables: Tables, event: ev.FireTakenBack) -> None:
    """Forget what was decided about a fire whose run has not begun."""
    fire, run = tables.fires.get((event.pipeline, event.identity)), tables.runs.get(event.run_id)
    is_waiting = run is not None and run.state is RunState.QUEUED
    if fire is None or fire.run_id != event.run_id or not is_waiting:
        raise RecordRefusedError(event.name, f"run {event.run_id!r} does not wait for its fire")
    tables.drop(tables.fires, (event.pipeline, event.identity))
    known = tables.schedules[event.schedule_id]
    tables.put(tables.schedules, event.schedule_id, changed(known, decided_until=event.until))


def advance(tables: Tables, event: ev.ScheduleAdvanced) -> None:
    """Note up to when all fires of a schedule are decided."""
    known = tables.schedules.get(event.schedule_id)
    if known is None:
        reason = f"no schedule {event.schedule_id!r} is in force"
        raise RecordRefusedError(event.name, reason)
    passed = max(known.passed_until, event.until) if event.passed_over else known.passed_until
    record = changed(known, decided_until=event.until, passed_until=passed)
    tables.put(tables.schedules, event.schedule_id, record)


def pause(tables: Tables, event: ev.PipelinePaused) -> None:
    """Note that a pipeline is paused, or goes on."""
    tables.put(tables.pauses, event.pipeline, event.paused)


def newest(
    tables: Tables, pipeline: str | None, limit: int, before: str | None
) -> Sequence[FireRecord]:
    """Return decided fires, newest decision first, from a place on."""
    place = NEWEST_FIRE if before is None else fire_place(before)
    found = [
        (fire_place(fire.cursor), fire)
        for fire in tables.fires.values()
        if pipeline in {None, fire.pipeline} and fire_place(fire.cursor) < place
    ]
    found.sort(key=lambda one: one[0], reverse=True)
    return [fire for _, fire in found[:limit]]


def last(tables: Tables) -> Sequence[FireRecord]:
    """Return the newest decided fire of each schedule in force."""
    found: dict[str, FireRecord] = {}
    for fire in sorted(tables.fires.values(), key=lambda fire: fire.due_at):
        if tables.schedules[fire.schedule_id].removed_at is None:
            found[fire.schedule_id] = fire
    return list(found.values())


def ahead(tables: Tables, now: datetime) -> Sequence[tuple[str, str]]:
    """Return fires that are decided beyond what their schedules say."""
    in_force = {s.schedule_id: s for s in tables.schedules.values() if s.removed_at is None}
    return [
        (fire.schedule_id, fire.identity)
        for fire in tables.fires.values()
        if (known := in_force.get(fire.schedule_id)) and fire.due_at > min(known.decided_until, now)
    ]


def forget(tables: Tables, before: datetime) -> None:
    """Forget fires that were due before an instant, for good."""
    for place, fire in list(tables.fires.items()):
        if fire.due_at < before:
            del tables.fires[place]
            floor = tables.floors.get(fire.schedule_id, fire.due_at)
            tables.floors[fire.schedule_id] = max(floor, fire.due_at)
