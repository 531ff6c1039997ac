"""Events of one transaction, applied a kind at a time: few statements for many transitions.

An event waits with others of its kind as long as it makes no difference to the outcome: events of
different nodes and runs do not depend on each other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, assert_never

from openbell.history import apply_nodes, apply_runs, apply_schedules
from openbell.history.apply import STANDS_ALONE, apply_event
from openbell.history.durable import StepEvent, as_durable
from openbell.history.entries import Entry, entry
from openbell.history.queries import Statements
from openbell.model import events as ev
from openbell.model.bodies import encode_plain, event_pipeline, event_run_id
from openbell.model.event import JsonBody
from openbell.model.history import RecordRefusedError
from openbell.sdk.values import to_us

_EVENTS_A_STATEMENT = 1000


class UnsureError(Exception):
    """One of several events is refused; which one shows when they are applied one at a time."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What many events of a kind do, and what speaks against a single one."""

    rank: int
    apply: Callable[[Statements, Sequence[Entry]], bool]
    refuse: Callable[[Statements, Any], None]


_KINDS: Mapping[type[ev.Event], _Kind] = {
    ev.RunSubmitted: _Kind(0, apply_runs.submit_runs, apply_runs.refuse_submission),
    ev.RunStarted: _Kind(1, apply_runs.start_runs, apply_runs.refuse_run_start),
    ev.AttemptStarted: _Kind(2, apply_nodes.start_attempts, apply_nodes.refuse_start),
    ev.AttemptFinished: _Kind(3, apply_nodes.finish_attempts, apply_nodes.refuse_finish),
    ev.NodeChanged: _Kind(4, apply_nodes.change_nodes, apply_nodes.refuse_node),
    ev.RunFinished: _Kind(5, apply_runs.finish_runs, apply_runs.refuse_run_end),
    ev.FireDecided: _Kind(6, apply_schedules.decide_fires, apply_schedules.refuse_fire),
}
"""Kinds that are applied together, in the order of their ranks."""


class Batch:
    """Takes in events in order; `finish` puts them into the log. The caller owns the transaction.

    With `one_by_one` each event is applied before the next is looked at, and one that is refused
    raises what is wrong with it; without, it may raise UnsureError.
    """

    def __init__(self, db: Statements, *, one_by_one: bool) -> None:
        self._db = db
        self._one_by_one = one_by_one
        self._waiting: dict[type[ev.Event], list[Entry]] = {kind: [] for kind in _KINDS}
        self._highest: dict[tuple[str, str], int] = {}
        self._entries: list[Entry] = []

    def add(self, event: ev.Event) -> None:
        """Apply `event` now, or soon with others of its kind."""
        durable = as_durable(event)
        if isinstance(durable, StepEvent):
            self._add_step(durable)
            return
        if not isinstance(durable, STANDS_ALONE):
            self.flush()
        self._entries.append(entry(apply_event(self._db, durable)))

    def _add_step(self, event: StepEvent) -> None:
        kind, waiting = _KINDS[type(event)], entry(event)
        if self._must_wait(event, kind):
            self.flush()
        self._note(event, kind)
        self._waiting[type(event)].append(waiting)
        self._entries.append(waiting)
        if self._one_by_one:
            self.flush()

    def _must_wait(self, event: StepEvent, kind: _Kind) -> bool:
        """Return whether something that comes first is applied later, or together with `event`."""
        reads, _ = _places(event)
        return any(self._highest.get(place, -1) >= kind.rank for place in reads)

    def _note(self, event: StepEvent, kind: _Kind) -> None:
        _, changes = _places(event)
        for place in changes:
            self._highest[place] = max(self._highest.get(place, -1), kind.rank)

    def flush(self) -> None:
        """Apply everything that waits."""
        self._highest.clear()
        for event_type, kind in _KINDS.items():
            entries = self._waiting[event_type]
            if entries:
                self._waiting[event_type] = []
                self._apply(kind, entries)

    def _apply(self, kind: _Kind, entries: Sequence[Entry]) -> None:
        misfit = "it does not fit what history holds"
        try:
            if kind.apply(self._db, entries):
                return
        except sqlite3.IntegrityError as error:
            misfit += f" ({error})"
        if not self._one_by_one:
            raise UnsureError
        event = entries[0].event
        kind.refuse(self._db, event)
        raise RecordRefusedError(event.name, misfit)

    def finish(self) -> list[ev.StoredEvent]:
        """Apply the rest, append all events to the log and return them as stored, in order."""
        self.flush()
        stored: list[ev.StoredEvent] = []
        for first in range(0, len(self._entries), _EVENTS_A_STATEMENT):
            stored += self._append(self._entries[first : first + _EVENTS_A_STATEMENT])
        self._entries = []
        return stored

    def _append(self, entries: Sequence[Entry]) -> list[ev.StoredEvent]:
        events = [each.event for each in entries]
        about = [(event_run_id(event), event_pipeline(event)) for event in events]
        found = [
            (to_us(each.event.at), each.event.name, *whose, each.body.decode())
            for each, whose in zip(entries, about, strict=True)
        ]
        last_id = self._db.run("append_events", {"rows": encode_plain(found)}).lastrowid
        assert last_id is not None
        return [
            ev.StoredEvent(
                id=last_id - len(entries) + 1 + index,
                at=each.event.at,
                name=each.event.name,
                run_id=whose[0],
                pipeline=whose[1],
                body=JsonBody(each.body),
            )
            for index, (each, whose) in enumerate(zip(entries, about, strict=True))
        ]


_Place: TypeAlias = tuple[str, str]


def _places(event: StepEvent) -> tuple[tuple[_Place, ...], tuple[_Place, ...]]:
    """Return what `event` depends on, and under what later events find it.

    An event of a run depends on everything of the run, one of a node on that node and the run,
    an attempt at an item on that item and the run, a fire on its schedule.
    """
    if isinstance(event, ev.FireDecided):
        schedule = (event.schedule_id, "schedule")
        return (schedule,), (schedule,)
    run, anywhere = (event.run_id, ""), (event.run_id, "*")
    match event:
        case ev.RunSubmitted() | ev.RunStarted() | ev.RunFinished():
            return (anywhere,), (run, anywhere)
        case ev.AttemptStarted() | ev.AttemptFinished() if event.item >= 0:
            item = (event.run_id, f"/{event.node}/{event.item}")
            return (run, item), (item, anywhere)
        case ev.AttemptStarted() | ev.AttemptFinished() | ev.NodeChanged():
            node = (event.run_id, f"/{event.node}")
            return (run, node), (node, anywhere)
        case _:
            assert_never(event)
