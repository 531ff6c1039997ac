"""Why nothing of a pipeline runs, and when something will. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from openbell.model.explanations import Sentence
from openbell.model.runs import RunRecord
from openbell.model.schedules import FireRecord, ScheduleStatus
from openbell.supervisor.explain.runs import QueueFacts

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineFacts:
    """What is known of one pipeline. `schedules` is None without a daemon."""

    name: str
    queue: QueueFacts | None
    waiting: Sequence[str] = ()
    schedules: Sequence[ScheduleStatus] | None = None
    fires: Sequence[FireRecord] = ()
    last_run: RunRecord | None = None
    now: datetime


def explain_pipeline(facts: PipelineFacts) -> list[Sentence]:
    """Return why nothing is running or what is, when it fires next, and what became of fires."""
    return [*_standing(facts), *_schedules(facts), *_fires(facts), *_last(facts)]


def _say(facts: PipelineFacts, what: str, text: str, at: datetime | None = None) -> Sentence:
    return Sentence(what=what, text=text, at=at, ids={"pipeline": facts.name})


def _standing(facts: PipelineFacts) -> list[Sentence]:
    queue = facts.queue
    if queue is None:
        return [_say(facts, "no_daemon", "no daemon runs: nothing fires until one does")]
    told: list[Sentence] = []
    if queue.daemon != "running":
        told.append(_say(facts, queue.daemon, f"the daemon is {queue.daemon} and begins nothing"))
    if queue.state != "active":
        reason = f": {queue.reason}" if queue.reason else ""
        can_resume = queue.state in {"paused", "parked"}
        hint = f"; `mdp resume {facts.name}` lets it go on" if can_resume else ""
        told.append(_say(facts, queue.state, f"it is {queue.state}{reason}{hint}"))
    for run_id in queue.active[:_SHOWN]:
        ids = {"pipeline": facts.name, "run": run_id}
        told.append(Sentence(what="running", text=f"run {run_id} is going on", ids=ids))
    if facts.waiting:
        count = len(facts.waiting)
        words = "1 run waits" if count == 1 else f"{count} runs wait"
        text = f"{words}; `mdp explain {facts.waiting[0]}` says why"
        ids = {"pipeline": facts.name, "run": facts.waiting[0]}
        told.append(Sentence(what="queued", text=text, ids=ids))
    return told


def _schedules(facts: PipelineFacts) -> list[Sentence]:
    if facts.schedules is None:
        return []
    if not facts.schedules:
        return [_say(facts, "no_schedule", "it has no schedule: it runs when somebody asks")]
    return [_schedule(facts, status) for status in facts.schedules[:_SHOWN]]


def _schedule(facts: PipelineFacts, status: ScheduleStatus) -> Sentence:
    words = f"schedule {status.record.use.expression!r}"
    session = f" for session {status.next_session}" if status.next_session else ""
    if status.state != "active":
        reason = f": {status.reason}" if status.reason else ""
        text = f"{words} is {status.state}{reason}"
    elif status.next_at is None:
        text = f"{words} has no next fire that is known: the calendar ends before one"
    else:
        text = f"{words} fires next at {status.next_at:%Y-%m-%d %H:%M:%S} UTC{session}"
    what = "next_fire" if status.state == "active" else f"schedule_{status.state}"
    ids = {"pipeline": facts.name, "schedule": status.record.schedule_id}
    return Sentence(what=what, text=text, at=status.next_at, ids=ids)


def _fires(facts: PipelineFacts) -> list[Sentence]:
    told = []
    for fire in facts.fires[:_SHOWN]:
        session = f" for session {fire.session}" if fire.session else ""
        due = f"the fire of {fire.due_at:%Y-%m-%d %H:%M:%S} UTC{session}"
        ids = {"pipeline": facts.name, "fire": fire.identity}
        if fire.run_id:
            ids["run"] = fire.run_id
            text = f"{due} began run {fire.run_id}"
        else:
            text = f"{due} began no run: {fire.reason or fire.outcome}"
        told.append(Sentence(what=f"fire_{fire.outcome}", text=text, at=fire.decided_at, ids=ids))
    return told


def _last(facts: PipelineFacts) -> list[Sentence]:
    run = facts.last_run
    if run is None:
        return [_say(facts, "never_ran", "it has no run on record")]
    why = f": {run.error}" if run.error else ""
    ids = {"pipeline": facts.name, "run": run.run_id}
    text = f"its last run {run.run_id} is {run.state}{why}"
    return [Sentence(what="last_run", text=text, at=run.finished_at, ids=ids)]
