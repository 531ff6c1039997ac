"""Laws of what people ask for: whatever was granted holds, over every kill."""

from __future__ import annotations

from collections.abc import Iterator

from doubles.chaos.laws.aftermath import FINAL, GRACE_US, Aftermath, Event, Law, is_within
from doubles.chaos.wishes import Said

_BEGUN = frozenset({"running", "success", "failed"})
_WORKER_US = 5_000_000
"""How long a worker may take to begin what it was given before the pause."""


def _paused_runs_begin_nothing(after: Aftermath) -> Iterator[str]:
    held = after.held("run")
    begun: set[tuple[str, str, int]] = {(run_id, node, -1) for run_id, node in after.asked_to_end}
    for event in after.events("attempt.started", "node.changed", "items.changed"):
        for key in _beginnings(event):
            is_new = key[2] == -2 or key not in begun
            begun.add(key)
            if is_new and is_within(event.at_us, held.get(event.run_id)):
                yield f"{event.run_id} is paused and began {key} (event {event.number})"
    for line in after.witness:
        spans = [(start + _WORKER_US, end) for start, end in held.get(line["run"], ())]
        if line["what"] == "begin" and is_within(line["at"] // 1000, spans):
            yield f"{line['run']} is paused, its {line['node']} began in a worker"


def _beginnings(event: Event) -> Iterator[tuple[str, str, int]]:
    """Yield what began: a node (-1), an item of it, or an attempt (-2)."""
    run_id, body = event.run_id, event.body
    if "changes" in body:
        for change in body["changes"]:
            if change["state"] == "running":
                yield run_id, body["node"], change["number"]
    elif "attempt_id" in body:
        yield run_id, body["node"], -2
    elif body["state"] in _BEGUN:
        yield run_id, body["node"], -1


def _paused_pipelines_start_no_run(after: Aftermath) -> Iterator[str]:
    by_name, everything = after.held("pipeline"), after.held("all").get("")
    for event in after.events("run.started"):
        pipeline = after.runs[event.run_id].pipeline
        if is_within(event.at_us, by_name.get(pipeline)) or is_within(event.at_us, everything):
            yield f"{event.run_id} of {pipeline} started while that was paused"


def _paused_schedules_fire_nothing(after: Aftermath) -> Iterator[str]:
    held = after.held("schedule")
    question = "SELECT schedule_id, identity, due_at_us, run_id FROM fires WHERE outcome = 'run'"
    for schedule_id, identity, due_us, run_id in after.db.execute(question):
        run = after.runs.get(run_id)
        for start, end in held.get(schedule_id, ()):
            if run is not None and start < due_us and (run.started_us or end) < end:
                yield f"{run_id} began by {identity}, due while its schedule was paused"


def _cancelled_runs_are_cancelled(after: Aftermath) -> Iterator[str]:
    for said in after.granted("cancel run"):
        run = after.runs[said.wish.target]
        if run.state != "cancelled" and not _ended_by_itself(run.finished_us, said):
            yield f"{said.wish.target} was cancelled and is {run.state} ({run.reason})"
    for run_id, run in after.runs.items():
        if run.state == "cancelled" and not run.cancel_requested and not run.fire:
            yield f"{run_id} is cancelled and nobody asked for that"


def _ended_by_itself(ended_us: int | None, said: Said) -> bool:
    return ended_us is not None and ended_us < said.done_us + GRACE_US


def _nodes_end_as_asked(after: Aftermath) -> Iterator[str]:
    ended = {
        (event.run_id, event.body["node"]): event
        for event in after.events("node.changed")
        if event.body["state"] in FINAL
    }
    for said in after.granted("cancel node", "mark node"):
        place = (said.wish.target, said.wish.node)
        run, end = after.runs[said.wish.target], ended.get(place)
        state = None if end is None else end.body["state"]
        is_whole_run = run.state == "cancelled" or run.reason
        is_itself = end is not None and _ended_by_itself(end.at_us, said)
        if state != said.wish.value and not is_whole_run and not is_itself:
            yield f"{place} was asked to end {said.wish.value} and is {state}"


def _priorities_are_kept(after: Aftermath) -> Iterator[str]:
    last = {said.wish.target: said for said in after.said("priority") if not said.is_refused}
    for run_id, said in last.items():
        if said.is_granted and after.runs[run_id].priority != said.wish.value:
            found = after.runs[run_id].priority
            yield f"{run_id} was given priority {said.wish.value} and has {found}"


def _answers_count(after: Aftermath) -> Iterator[str]:
    question = "SELECT run_id, node, item, label FROM approvals"
    kept = {(run_id, node, item): label for run_id, node, item, label in after.db.execute(question)}
    for said in after.granted("answer"):
        key = (said.wish.target, said.wish.node, said.wish.item)
        if kept.get(key) != said.wish.value:
            yield f"{key} was answered {said.wish.value}, history has {kept.get(key)}"
    question = """
        SELECT n.run_id, n.node, n.outcome, a.label FROM pipeline_nodes AS n JOIN approvals AS a
        USING (run_id, node) WHERE n.state = 'success' AND n.outcome <> a.label
    """
    for run_id, node, outcome, label in after.db.execute(question):
        if (run_id, node) not in after.asked_to_end:
            yield f"{run_id} {node} ended as {outcome} and was answered {label}"


def _pauses_are_on_record(after: Aftermath) -> Iterator[str]:
    """A granted pause or resume is in history, by the time it was granted."""
    noted: dict[tuple[str, str, bool], int] = {}
    for event in after.events("run.paused", "pipeline.paused", "schedule.paused"):
        kind = event.body.get("schedule_id") or event.run_id or event.body["pipeline"]
        noted.setdefault((event.body.get("what", ""), kind, event.body["paused"]), event.at_us)
    for what in ("run", "pipeline", "schedule", "all"):
        for said in after.granted(f"pause {what}"):
            at_us = noted.get(("", said.wish.target, True))
            if at_us is None or at_us > said.done_us:
                yield f"nobody knows of {said.wish}"
    last = {said.wish.target: said for said in after.said("pause pipeline", "resume pipeline")}
    kept = {name for (name,) in after.db.execute("SELECT pipeline FROM pipeline_pauses")}
    for name, said in last.items():
        if said.is_granted and (name in kept) != said.wish.what.startswith("pause"):
            yield f"the last of {name} was {said.wish.what}, paused are {sorted(kept)}"


def _resumed_runs_are_not_paused(after: Aftermath) -> Iterator[str]:
    last = {said.wish.target: said for said in after.said("pause run", "resume run")}
    for run_id, said in last.items():
        is_resumed = said.is_granted and said.wish.what == "resume run"
        if is_resumed and after.runs[run_id].paused:
            yield f"{run_id} was resumed and is paused"


def _schedules_are_kept(after: Aftermath) -> Iterator[str]:
    known = {
        schedule_id for (schedule_id,) in after.db.execute("SELECT schedule_id FROM schedules")
    }
    removed = {event.body["schedule_id"] for event in after.events("schedule.removed")}
    for said in after.granted("add schedule"):
        assert said.reply is not None
        if said.reply.body["id"] not in known:
            yield f"{said.wish} was granted, there is no {said.reply.body['id']}"
    for said in after.granted("remove schedule"):
        if said.wish.target not in removed:
            yield f"{said.wish.target} was removed, and history does not say so"


LAWS: tuple[Law, ...] = (
    _paused_runs_begin_nothing,
    _paused_pipelines_start_no_run,
    _paused_schedules_fire_nothing,
    _cancelled_runs_are_cancelled,
    _nodes_end_as_asked,
    _priorities_are_kept,
    _answers_count,
    _pauses_are_on_record,
    _resumed_runs_are_not_paused,
    _schedules_are_kept,
)
