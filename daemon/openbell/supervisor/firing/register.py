"""Which schedules are in force: those of the definitions, and those made by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from openbell.model.definitions import from_schedule_document, schedule_document
from openbell.model.events import Event, ScheduleAdded, ScheduleRemoved
from openbell.model.ids import RandomBits, sortable_id
from openbell.model.schedules import ScheduleRecord, ScheduleUse
from openbell.schedule.errors import ScheduleError
from openbell.schedule.tables import CalendarNames
from openbell.schedule.uses import parsed
from openbell.sdk.values import to_us
from openbell.supervisor.definitions import Definitions

BY_CONFIG = "config"


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is to be recorded, and every schedule in force after that, by id."""

    events: tuple[Event, ...]
    records: Mapping[str, ScheduleRecord]


def key_of(use: ScheduleUse, names: CalendarNames) -> str:
    """Return what a schedule means, whatever stands beside it; raises ScheduleError."""
    return parsed(use, names).fingerprint


class Register:
    """Every schedule that there ever was, removed ones too: the same meaning keeps its id."""

    def __init__(self, records: Iterable[ScheduleRecord], random_bits: RandomBits) -> None:
        self._by_key = {(record.pipeline, record.key): record for record in records}
        self._random_bits = random_bits

    def keep(self, record: ScheduleRecord) -> None:
        """Remember how a schedule stands."""
        self._by_key[record.pipeline, record.key] = record

    def of_key(self, pipeline: str, key: str) -> ScheduleRecord | None:
        """Return the pipeline's schedule of this meaning, removed or not."""
        return self._by_key.get((pipeline, key))

    def added(
        self, pipeline: str, key: str, use: ScheduleUse, *, at: datetime, by: str
    ) -> tuple[ScheduleRecord, ScheduleAdded]:
        """Return a schedule as it stands once it is added, and the event that adds it.

        One that is in force already stays as it is, but for its policies.
        """
        origin = "config" if by == BY_CONFIG else "api"
        kept = from_schedule_document(schedule_document(use))
        known = self.of_key(pipeline, key)
        if known is None:
            record = ScheduleRecord(
                schedule_id=sortable_id("sch", to_us(at), self._random_bits),
                pipeline=pipeline,
                key=key,
                use=kept,
                origin="config" if by == BY_CONFIG else "api",
                added_at=at,
                added_by=by,
                decided_until=at,
                passed_until=at,
            )
        elif known.removed_at is None:
            record = replace(known, use=kept, origin="config" if by == BY_CONFIG else "api")
        else:
            record = replace(
                known,
                use=kept,
                origin="config" if by == BY_CONFIG else "api",
                added_at=at,
                added_by=by,
                removed_at=None,
                removed_by="",
                paused=False,
                decided_until=max(known.decided_until, at),
                passed_until=max(known.passed_until, at),
            )
        event = ScheduleAdded(
            at=at,
            schedule_id=record.schedule_id,
            pipeline=pipeline,
            key=key,
            use=use,
            origin="config" if origin == "config" else "api",
            by=by,
        )
        return record, event

    def compare(
        self,
        definitions: Definitions,
        names: CalendarNames,
        in_force: Mapping[str, ScheduleRecord],
        now: datetime,
    ) -> Changes:
        """Return what changes when these definitions are in force.

        The schedules of a pipeline that is refused for now stay as they are.
        """
        events: list[Event] = []
        records = dict(in_force)
        wanted: set[str] = set()
        for pipeline in definitions.pipelines.values():
            for use in pipeline.schedule:
                try:
                    key = key_of(use, names)
                except ScheduleError:
                    wanted.update(s.schedule_id for s in in_force.values() if _is_of(s, use))
                    continue
                known = self.of_key(pipeline.name, key)
                if known is not None and _is_same(in_force.get(known.schedule_id), use):
                    wanted.add(known.schedule_id)
                    continue
                record, event = self.added(pipeline.name, key, use, at=now, by=BY_CONFIG)
                current = in_force.get(record.schedule_id)
                if current is not None:
                    record = replace(current, use=record.use, origin="config")
                events.append(event)
                records[record.schedule_id] = record
                wanted.add(record.schedule_id)
        for record in in_force.values():
            is_ours = record.origin == "config" and record.pipeline not in definitions.refused
            if is_ours and record.schedule_id not in wanted:
                events.append(_removed(record, now))
                del records[record.schedule_id]
                self.keep(replace(record, removed_at=now))
        for record in records.values():
            self.keep(record)
        return Changes(events=tuple(events), records=records)


def _is_same(record: ScheduleRecord | None, use: ScheduleUse) -> bool:
    if record is None or record.origin != "config":
        return False
    return schedule_document(record.use) == schedule_document(use)


def _is_of(record: ScheduleRecord, use: ScheduleUse) -> bool:
    return record.use.expression == use.expression


def _removed(record: ScheduleRecord, now: datetime) -> ScheduleRemoved:
    return ScheduleRemoved(
        at=now, schedule_id=record.schedule_id, pipeline=record.pipeline, by=BY_CONFIG
    )
