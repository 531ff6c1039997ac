"""Sees what happens in a rehearsal: folds ended runs into the timeline and into numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from openbell.app.rehearsal.tally import Failure, Tally
from openbell.app.rehearsal.timeline import Timeline
from openbell.model import events as ev
from openbell.model.runs import NodeState, RunState

_US = timedelta(microseconds=1)
_UNREMARKABLE = frozenset({NodeState.SUCCESS, NodeState.SKIPPED})


@dataclass(slots=True)
class _Open:
    """A run that has not ended."""

    name: str
    submitted: ev.RunSubmitted
    began_at: datetime | None = None
    failures: list[dict[str, Any]] = field(default_factory=list)
    nodes: dict[str, str] = field(default_factory=dict)


class Watcher:
    """An observer of the journal. `ended` is told each run that is over and folded, and when.

    What is due at `until` or later has no part in it, although it may be decided before.
    """

    def __init__(self, ended: Callable[[str, datetime], None]) -> None:
        self.until = datetime.max.replace(tzinfo=UTC)
        self.timeline = Timeline()
        self.tallies: dict[str, Tally] = {}
        self.notes: list[dict[str, Any]] = []
        self._ended = ended
        self._open: dict[str, _Open] = {}
        self._is_over = False
        self._sees: Mapping[type[ev.Event], Callable[[Any], None]] = {
            ev.FireDecided: self._fire,
            ev.ScheduleAdvanced: self._passed_over,
            ev.RunSubmitted: self._submitted,
            ev.RunStarted: self._started,
            ev.NodeChanged: self._node,
            ev.RunFinished: self._finished,
            ev.ActorCrashed: self._note,
            ev.PipelineParked: self._note,
            ev.CalendarFailed: self._note,
            ev.CalendarHorizonNear: self._note,
        }

    def see(self, event: ev.Event) -> None:
        """Take note of an event."""
        take = self._sees.get(type(event))
        if take is not None and not self._is_over:
            take(event)

    def name_of(self, run_id: str) -> str:
        """Return what names an open run whatever its id is."""
        return self._open[run_id].name

    def tally(self, pipeline: str) -> Tally:
        """Return the numbers of a pipeline."""
        found = self.tallies.get(pipeline)
        if found is None:
            found = self.tallies[pipeline] = Tally()
        return found

    def close(self, at: datetime) -> str:
        """Add the runs that are still open, and return the timeline's digest."""
        for run in self._open.values():
            state = RunState.RUNNING if run.began_at else RunState.QUEUED
            self.timeline.add(at, {"at": at, **_run(run), "state": state})
            tally = self.tally(run.submitted.pipeline)
            tally.runs[state] = tally.runs.get(state, 0) + 1
        self._is_over = True
        return self.timeline.close()

    def _fire(self, event: ev.FireDecided) -> None:
        if event.due_at >= self.until:
            return
        tally = self.tally(event.pipeline)
        tally.fires += 1
        if event.outcome == "skipped":
            tally.skip(event.reason)
            entry = {
                "at": event.at,
                "what": "fire",
                "pipeline": event.pipeline,
                "session": event.session,
                "due_at": event.due_at,
                "fire": event.identity,
                "outcome": event.outcome,
                "reason": event.reason,
            }
            self.timeline.add(event.at, entry)

    def _passed_over(self, event: ev.ScheduleAdvanced) -> None:
        if event.passed_over:
            tally = self.tally(event.pipeline)
            tally.skipped[event.reason] = tally.skipped.get(event.reason, 0) + event.passed_over

    def _submitted(self, event: ev.RunSubmitted) -> None:
        if event.due_at is not None and event.due_at >= self.until:
            return
        if event.fire:
            name = f"{event.pipeline} {event.fire}"
        else:
            above = self._open.get(event.parent_run_id or "")
            name = f"{above.name if above else ''} > {event.pipeline} {event.session}"
        self._open[event.run_id] = _Open(name, event)
        self.tally(event.pipeline).queue.join(event.at)

    def _started(self, event: ev.RunStarted) -> None:
        run = self._open[event.run_id]
        run.began_at = event.at
        tally = self.tally(event.pipeline)
        tally.queue.leave()
        due_at = run.submitted.due_at
        if due_at is not None:
            tally.began((event.at - due_at) / _US / 1e6)

    def _node(self, event: ev.NodeChanged) -> None:
        state = event.state
        if state is NodeState.SUCCESS or not (state.is_final or state is NodeState.RETRYING):
            return
        run = self._open[event.run_id]
        if event.error_kind and state in {NodeState.FAILED, NodeState.RETRYING}:
            failure = {"at": event.at, "node": event.node, "error": event.error_kind}
            run.failures.append(failure)
        if state is not NodeState.RETRYING and state not in _UNREMARKABLE:
            run.nodes[event.node] = state

    def _finished(self, event: ev.RunFinished) -> None:
        run = self._open.pop(event.run_id)
        tally = self.tally(event.pipeline)
        if run.began_at is None:
            tally.queue.leave()
        entry = {"at": event.at, **_run(run), "state": event.state}
        if event.reason:
            entry["reason"] = event.reason
        self.timeline.add(event.at, entry)
        retries = len(run.failures) - sum(state == NodeState.FAILED for state in run.nodes.values())
        took = (event.at - (run.began_at or event.at)) / _US / 1e6
        tally.ran(event.state, took, retries=retries)
        if event.state is RunState.FAILED:
            node = next((n for n, state in run.nodes.items() if state == NodeState.FAILED), "")
            tally.fail(Failure(event.at, run.submitted.session, node, event.reason or event.error))
        self._ended(event.run_id, event.at)

    def _note(self, event: Any) -> None:  # noqa: ANN401 - any of the four kinds above
        about = getattr(event, "pipeline", None) or event.calendar
        what = getattr(event, "reason", "") or getattr(event, "error", "")
        if isinstance(event, ev.CalendarHorizonNear):
            what = f"ends on {event.horizon} ({event.sessions_left} sessions left)"
        self.notes.append({"at": event.at, "what": event.name, "about": about, "text": what})


def _run(run: _Open) -> dict[str, Any]:
    event = run.submitted
    entry: dict[str, Any] = {
        "what": "run",
        "pipeline": event.pipeline,
        "session": event.session,
        "due_at": event.due_at,
        "fire": event.fire,
        "submitted_at": event.at,
        "began_at": run.began_at,
    }
    if run.failures:
        entry["failures"] = run.failures
    if run.nodes:
        entry["nodes"] = run.nodes
    return entry
