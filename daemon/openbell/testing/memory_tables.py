"""What an in-memory history holds, and how a change of it is taken back.

A new table is a field of `Tables`, or of `RunPage` if its rows belong to a run: a dict that is
changed by `Tables.put` alone. What an event does to it stands in a module of its own beside this
one (`memory_runs`, `memory_nodes`, ...), and its line in `memory_apply.APPLIED`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from openbell.model.calendars import OverlayRecord
from openbell.model.events import StoredEvent
from openbell.model.items import ApprovalRecord, ItemRecord, NodeRequest
from openbell.model.letters import DeadLetter, Decision
from openbell.model.runs import (
    AttemptRecord,
    Checkpoint,
    NodeRecord,
    QualityRecord,
    RunRecord,
    StoredLogLine,
    WorkflowRecord,
)
from openbell.model.schedules import FireRecord, ScheduleRecord

MISFIT = "it does not fit what history holds"

_K = TypeVar("_K")
_V = TypeVar("_V")
_ABSENT: Any = object()


@dataclass(slots=True)
class RunPage:
    """What belongs to one run, so that it is read and forgotten without a look at the others."""

    nodes: dict[str, NodeRecord] = field(default_factory=dict)
    attempts: dict[str, AttemptRecord] = field(default_factory=dict)
    checkpoints: dict[str, Checkpoint] = field(default_factory=dict)
    batch_counts: dict[str, int] = field(default_factory=dict)
    findings: dict[int, QualityRecord] = field(default_factory=dict)
    logs: dict[int, StoredLogLine] = field(default_factory=dict)
    log_sizes: dict[tuple[str, int, int], tuple[int, int]] = field(default_factory=dict)
    items: dict[tuple[str, int], ItemRecord] = field(default_factory=dict)
    approvals: dict[tuple[str, int], ApprovalRecord] = field(default_factory=dict)
    requests: dict[str, NodeRequest] = field(default_factory=dict)


@dataclass(slots=True)
class Tables:
    """Frozen records in dicts. Each `put` can be taken back until the next `begin`."""

    workflows: dict[str, dict[int, WorkflowRecord]] = field(default_factory=dict)
    runs: dict[str, RunRecord] = field(default_factory=dict)
    pages: dict[str, RunPage] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    attempt_runs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, Any]] = field(default_factory=dict)
    overlays: dict[str, OverlayRecord] = field(default_factory=dict)
    schedules: dict[str, ScheduleRecord] = field(default_factory=dict)
    floors: dict[str, datetime] = field(default_factory=dict)
    fires: dict[tuple[str, str], FireRecord] = field(default_factory=dict)
    pauses: dict[str, bool] = field(default_factory=dict)
    letters: dict[str, DeadLetter] = field(default_factory=dict)
    decisions: dict[tuple[str, str | None], tuple[Decision, ...]] = field(default_factory=dict)
    events: dict[int, StoredEvent] = field(default_factory=dict)
    last_id: dict[str, int] = field(default_factory=dict)
    _undo: list[tuple[dict[Any, Any], Any, Any]] = field(default_factory=list)

    def begin(self) -> None:
        """From here on `roll_back` takes back what is put."""
        self._undo.clear()

    def put(self, table: dict[_K, _V], key: _K, value: _V) -> None:
        """Set one row of a table."""
        self._undo.append((table, key, table.get(key, _ABSENT)))
        table[key] = value

    def drop(self, table: dict[_K, _V], key: _K) -> None:
        """Delete one row of a table."""
        self._undo.append((table, key, table.pop(key)))

    def roll_back(self) -> None:
        """Take back everything that was put since `begin`."""
        for table, key, before in reversed(self._undo):
            if before is _ABSENT:
                del table[key]
            else:
                table[key] = before
        self._undo.clear()

    def next_id(self, table: str) -> int:
        """Return the next id of `table`; ids are never used twice."""
        number = self.last_id.get(table, 0) + 1
        self.put(self.last_id, table, number)
        return number

    def newest_version(self, pipeline: str) -> WorkflowRecord | None:
        """Return the newest version of a definition, or None."""
        versions = self.workflows.get(pipeline)
        return versions[max(versions)] if versions else None

    def forget(self, run_id: str) -> None:
        """Drop a run and all that belongs to it, for good; its events and fires stay."""
        if self.runs.pop(run_id, None) is None:
            return
        for attempt_id in self.pages.pop(run_id).attempts:
            del self.attempt_runs[attempt_id]
