"""Laws of runs, nodes, items and sub-runs: nothing is lost, nothing is early, nothing ends twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from doubles.chaos.laws.aftermath import ENDED, FINAL, Aftermath, Law

_IMPATIENT = {"one_success", "one_failed", "one_done", "always"}
"""Rules that let a node begin while nodes before it still run."""

_HAND_MS = 20


def _nothing_accepted_is_lost(after: Aftermath) -> Iterator[str]:
    submitter, kept = after.storm.submitter, after.runs
    for key, run_id in submitter.accepted.items():
        if run_id not in kept:
            yield f"{key} was accepted as {run_id}, which is not there"
    for said in after.granted("retry", "retry from node", "replay", "execute", "live"):
        assert said.reply is not None
        if said.reply.body["run_id"] not in kept:
            yield f"{said.wish} was accepted as {said.reply.body['run_id']}, which is not there"
    for run_id, run in kept.items():
        if run.state not in ENDED and not run.pipeline.startswith("clock_"):
            yield f"{run_id} of {run.pipeline} is {run.state}"
    question = "SELECT idempotency_key FROM pipeline_runs WHERE idempotency_key LIKE 'storm-%'"
    for (key,) in after.db.execute(question):
        if key not in submitter.orders:
            yield f"nobody ordered {key}"
    for key, reply in submitter.refused:
        yield f"{key} was answered {reply.status}: {reply.body}"


def _ended_runs_are_whole(after: Aftermath) -> Iterator[str]:
    question = """
        SELECT n.run_id, n.node, n.state, r.state FROM pipeline_nodes AS n JOIN pipeline_runs AS r
        USING (run_id) WHERE r.state IN ('success', 'failed', 'cancelled')
    """
    for run_id, node, state, run_state in after.db.execute(question):
        if state not in FINAL:
            yield f"{run_id} is {run_state} and its node {node} {state}"
    question = """
        SELECT e.attempt_id, e.node, r.run_id, r.state FROM job_executions AS e
        JOIN pipeline_runs AS r USING (run_id) WHERE e.state = 'running' AND r.state <> 'running'
    """
    for attempt, node, run_id, state in after.db.execute(question):
        yield f"{run_id} is {state} and attempt {attempt} of {node} runs"
    question = "SELECT run_id, count(*) FROM events WHERE name = 'run.finished' GROUP BY 1"
    for run_id, count in after.db.execute(question):
        if count != 1:
            yield f"{run_id} finished {count} times"


def _needs(after: Aftermath) -> dict[str, Mapping[str, set[str]]]:
    """Return by run and node the nodes before it that it waits for."""
    found = {
        key: {
            name: set()
            if (node.get("trigger") or "all_success") in _IMPATIENT or key[0].startswith("load_")
            else set(node["needs"])
            for name, node in nodes.items()
        }
        for key, nodes in after.definitions.items()
    }
    return {
        run_id: found[run.pipeline, run.version]
        for run_id, run in after.runs.items()
        if run.mode != "live"
    }


def _no_node_runs_after_its_successors_began(after: Aftermath) -> Iterator[str]:
    needs = _needs(after)
    open_ends: dict[tuple[str, str], int] = dict.fromkeys(after.taken_over, 0)
    began: set[tuple[str, str]] = set()
    for event in after.events("node.changed"):
        run_id, node, state = event.run_id, event.body["node"], event.body["state"]
        if state in FINAL:
            if (run_id, node) in open_ends:
                yield f"{run_id} {node} ended twice: {open_ends[run_id, node]} and {event.number}"
            open_ends[run_id, node] = event.number
        elif (run_id, node) in open_ends:
            yield f"{run_id} {node} went to {state} after its end"
        is_asked = (run_id, node) in after.asked_to_end
        if state in {"running", "success"} and (run_id, node) not in began and not is_asked:
            began.add((run_id, node))
            before = needs.get(run_id, {}).get(node, ())
            early = [name for name in before if (run_id, name) not in open_ends]
            if early:
                yield f"{run_id} {node} began before the end of {early}"
    yield from _in_the_world(after, needs)


def _in_the_world(after: Aftermath, needs: Mapping[str, Mapping[str, set[str]]]) -> Iterator[str]:
    """The same, by what the functions themselves wrote down."""
    first: dict[tuple[str, str], int] = {}
    last: dict[tuple[str, str], int] = {}
    for line in after.witness:
        key = (line["run"], line["node"])
        first[key] = min(first.get(key, line["at"]), line["at"])
        last[key] = max(last.get(key, 0), line["at"])
    for run_id, waits in needs.items():
        for node, before in waits.items():
            for need in before:
                if last.get((run_id, need), 0) > first.get((run_id, node), 1 << 63):
                    yield f"{run_id} {need} worked while {node} after it did"


def _no_run_works_after_its_end(after: Aftermath) -> Iterator[str]:
    for line in after.witness:
        finished_us = after.runs[line["run"]].finished_us
        late_ms = 0 if finished_us is None else line["at"] // 1_000_000 - finished_us // 1000
        if late_ms > _HAND_MS:
            yield f"{line['run']} {line['node']} worked {late_ms} ms after the run's end"


def _items_end_once(after: Aftermath) -> Iterator[str]:
    question = """
        SELECT i.run_id, i.node, i.idx, i.state, n.state FROM node_items AS i
        JOIN pipeline_nodes AS n USING (run_id, node)
        JOIN pipeline_runs AS r USING (run_id) WHERE r.state IN ('success', 'failed')
    """
    for run_id, node, number, state, node_state in after.db.execute(question):
        is_asked = (run_id, node) in after.asked_to_end
        if state not in FINAL or (node_state == "success" != state and not is_asked):
            yield f"{run_id} {node} is {node_state}, its item {number} {state}"
    ends: Counter[tuple[str, str, int]] = Counter()
    for event in after.events("items.changed"):
        for change in event.body["changes"]:
            ends[event.run_id, event.body["node"], change["number"]] += change["state"] in FINAL
    for key, count in ends.items():
        if count > 1:
            yield f"item {key} ended {count} times"


def _sub_runs_are_one_an_attempt(after: Aftermath) -> Iterator[str]:
    question = "SELECT idempotency_key FROM pipeline_runs WHERE parent_run_id IS NOT NULL"
    keys = [key for (key,) in after.db.execute(question)]
    for key in keys:
        parent, node, _, attempt = key.split("/")
        tried = after.db.execute(
            "SELECT attempts FROM pipeline_nodes WHERE run_id = ? AND node = ?", (parent, node)
        ).fetchone()
        if tried is None or int(attempt) > max(1, tried[0]):
            yield f"sub-run {key} belongs to no attempt: {tried}"
    question = """
        SELECT n.run_id, n.node, r.state FROM pipeline_nodes AS n
        LEFT JOIN pipeline_runs AS r ON r.run_id = json_extract(n.output, '$.value.run_id')
        WHERE n.op = 'pipeline' AND n.state = 'success'
    """
    for run_id, node, state in after.db.execute(question):
        if state != "success" and (run_id, node) not in after.asked_to_end:
            yield f"{run_id} {node} succeeded by a run that is {state}"


def _every_fire_once(after: Aftermath) -> Iterator[str]:
    passed_over: Counter[str] = Counter()
    for event in after.events("schedule.advanced"):
        passed_over[event.body["schedule_id"]] += event.body["passed_over"]
    question = """
        SELECT schedule_id, origin, count(*), count(DISTINCT idx), max(idx) - min(idx) + 1
        FROM fires JOIN schedules USING (schedule_id) WHERE due_at_us <= decided_until_us GROUP BY 1
    """
    for schedule, origin, count, distinct, due in after.db.execute(question):
        lacking = due - count - passed_over[schedule]
        if count != distinct or (origin == "config" and lacking > 0):
            yield f"{schedule}: {count} fires, {distinct} different, {due} due"
    question = """
        SELECT f.pipeline, f.identity, f.outcome, count(r.run_id) FROM fires AS f
        LEFT JOIN pipeline_runs AS r ON r.fire = f.identity AND r.pipeline = f.pipeline
        AND r.retry_of IS NULL AND r.reason IS NOT 'taken_back'
        GROUP BY 1, 2, 3
    """
    for pipeline, identity, outcome, count in after.db.execute(question):
        if count != (outcome == "run"):
            yield f"{pipeline} {identity}: {outcome} with {count} runs"


LAWS: tuple[Law, ...] = (
    _nothing_accepted_is_lost,
    _ended_runs_are_whole,
    _no_node_runs_after_its_successors_began,
    _no_run_works_after_its_end,
    _items_end_once,
    _sub_runs_are_one_an_attempt,
    _every_fire_once,
)
