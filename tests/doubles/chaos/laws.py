"""What must hold after a storm, told by the history, the lake and the witness of the nodes."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from typing import Any

from doubles.chaos.damage import marked
from doubles.chaos.plans import BARS_A_SESSION, SYMBOLS
from doubles.chaos.storm import Storm

_FINAL = {"success", "failed", "skipped", "upstream_failed", "cancelled"}
_ENDED = {"success", "failed", "cancelled"}
_IMPATIENT = {"one_success", "one_failed", "one_done", "always"}
"""Rules that let a node begin while nodes before it still run."""

Law = Callable[[Storm, sqlite3.Connection], Iterator[str]]


def violations(storm: Storm) -> list[str]:
    """Return every breach of a law; the daemon is gone by now."""
    uri = f"file:{storm.database}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as db:
        return [f"{law.__name__}: {breach}" for law in LAWS for breach in law(storm, db)]


def summary(storm: Storm) -> dict[str, Any]:
    """Return what the storm did and what became of it, in numbers."""
    uri = f"file:{storm.database}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as db:
        states = db.execute("SELECT state, count(*) FROM pipeline_runs GROUP BY 1").fetchall()
        counts = {
            table: db.execute(question).fetchone()[0]
            for table, question in (
                ("fires", "SELECT count(*) FROM fires"),
                ("items", "SELECT count(*) FROM node_items"),
                ("attempts", "SELECT count(*) FROM job_executions"),
                ("interrupted", "SELECT count(*) FROM job_executions WHERE state='interrupted'"),
                ("receipts", "SELECT count(*) FROM data_lineage"),
                ("sub_runs", "SELECT count(*) FROM pipeline_runs WHERE parent_run_id IS NOT NULL"),
                ("events", "SELECT count(*) FROM events"),
            )
        }
    return {
        "kills": storm.kills,
        **storm.counts,
        "submissions": len(storm.submitter.accepted),
        "requests": storm.submitter.sent,
        "answered": len(storm.meddler.answered),
        "cancelled": len(storm.meddler.cancelled),
        "runs": dict(states),
        **counts,
        "events_heard": len(storm.listener.heard),
        "streams": storm.listener.connects,
    }


def _history_is_sound(_storm: Storm, db: sqlite3.Connection) -> Iterator[str]:
    found = db.execute("PRAGMA integrity_check").fetchall()
    if found != [("ok",)]:
        yield f"integrity_check: {found[:3]}"
    if broken := db.execute("PRAGMA foreign_key_check").fetchall():
        yield f"foreign_key_check: {broken[:3]}"
    for name, value in db.execute(
        "SELECT name, value FROM history_counts WHERE name IN "
        "('queued', 'running', 'success', 'failed', 'cancelled')"
    ):
        question = "SELECT count(*) FROM pipeline_runs WHERE state = ?"
        (count,) = db.execute(question, (name,)).fetchone()
        if count != value:
            yield f"history counts {value} {name} runs, there are {count}"


def _nothing_accepted_is_lost(storm: Storm, db: sqlite3.Connection) -> Iterator[str]:
    kept = dict(db.execute("SELECT run_id, state FROM pipeline_runs"))
    for key, run_id in storm.submitter.accepted.items():
        if kept.get(run_id) not in _ENDED:
            yield f"{key} was accepted as {run_id}, which is {kept.get(run_id)}"
    question = "SELECT idempotency_key, count(*) FROM pipeline_runs WHERE origin = 'api' GROUP BY 1"
    for key, count in db.execute(question):
        if count != 1 or key not in storm.submitter.orders:
            yield f"{key} has {count} runs"
    for key, reply in storm.submitter.refused:
        yield f"{key} was answered {reply.status}: {reply.body}"


def _ended_runs_are_whole(_storm: Storm, db: sqlite3.Connection) -> Iterator[str]:
    question = """
        SELECT n.run_id, n.node, n.state, r.state FROM pipeline_nodes AS n JOIN pipeline_runs AS r
        USING (run_id) WHERE r.state IN ('success', 'failed')
    """
    for run_id, node, state, run_state in db.execute(question):
        if state not in _FINAL:
            yield f"{run_id} is {run_state} and its node {node} {state}"
    question = """
        SELECT e.attempt_id, e.node, r.run_id, r.state FROM job_executions AS e
        JOIN pipeline_runs AS r USING (run_id) WHERE e.state = 'running' AND r.state <> 'running'
    """
    for attempt, node, run_id, state in db.execute(question):
        yield f"{run_id} is {state} and attempt {attempt} of {node} runs"
    question = "SELECT run_id, count(*) FROM events WHERE name = 'run.finished' GROUP BY 1"
    for run_id, count in db.execute(question):
        if count != 1:
            yield f"{run_id} finished {count} times"


def _no_interval_is_published_twice(storm: Storm, db: sqlite3.Connection) -> Iterator[str]:
    for number in range(storm.tables):
        name = f"bars_{number}"
        question = "SELECT session, state FROM pipeline_runs WHERE pipeline = ?"
        asked = db.execute(question, (f"load_{number}",)).fetchall()
        tried = {session for session, _ in asked}
        done = {session for session, state in asked if state == "success"}
        if tried != done:
            yield f"load_{number} failed for {sorted(tried - done)[:5]}"
        question = "SELECT coalesce(sum(written_count), 0) FROM data_lineage WHERE dataset = ?"
        (written,) = db.execute(question, (name,)).fetchone()
        if done or written:
            yield from _bars_are_there_once(storm, name, done, written)


def _bars_are_there_once(storm: Storm, name: str, done: set[str], written: int) -> Iterator[str]:
    asked = storm.mdp.run("data", "read", name, "--config", "c.json").stdout
    rows = [(row["symbol"], row["ts"]) for row in csv.DictReader(io.StringIO(asked))]
    counts = Counter((symbol, ts[:10]) for symbol, ts in rows)
    expected = {(symbol, session): BARS_A_SESSION for symbol in SYMBOLS for session in done}
    if len(rows) != len(set(rows)):
        yield f"{name} holds {len(rows) - len(set(rows))} bars twice"
    for key in sorted(counts.keys() | expected.keys()):
        if counts[key] != expected.get(key, 0):
            yield f"{name} has {counts[key]} bars of {key}, not {expected.get(key, 0)}"
    if written != len(rows):
        yield f"{name} has {len(rows)} bars, its receipts say {written}"


def _needs(db: sqlite3.Connection) -> dict[str, dict[str, set[str]]]:
    """Return by pipeline and node the nodes before it that it waits for."""
    found: dict[str, dict[str, set[str]]] = defaultdict(dict)
    for pipeline, text in db.execute("SELECT pipeline, definition FROM pipeline_workflows"):
        for node in json.loads(text)["nodes"]:
            rule = node.get("trigger") or "all_success"
            waits = () if rule in _IMPATIENT or pipeline.startswith("load_") else node["needs"]
            found[pipeline][node["name"]] = set(waits)
    return found


def _no_node_runs_after_its_successors_began(storm: Storm, db: sqlite3.Connection) -> Iterator[str]:
    needs = _needs(db)
    open_ends: dict[tuple[str, str], int] = {}
    began: set[tuple[str, str]] = set()
    question = """
        SELECT id, run_id, pipeline, json_extract(body, '$.node'), json_extract(body, '$.state')
        FROM events WHERE name = 'node.changed' ORDER BY id
    """
    for number, run_id, pipeline, node, state in db.execute(question):
        if state in _FINAL:
            if (run_id, node) in open_ends:
                yield f"{run_id} {node} ended twice, at {open_ends[run_id, node]} and {number}"
            open_ends[run_id, node] = number
        elif (run_id, node) in open_ends:
            yield f"{run_id} {node} went to {state} after its end"
        if state in {"running", "success"} and (run_id, node) not in began:
            began.add((run_id, node))
            early = [n for n in needs[pipeline].get(node, ()) if (run_id, n) not in open_ends]
            if early:
                yield f"{run_id} {node} began before the end of {early}"
    yield from _in_the_world(storm, needs, db)


def _in_the_world(
    storm: Storm, needs: dict[str, dict[str, set[str]]], db: sqlite3.Connection
) -> Iterator[str]:
    """The same, by what the functions themselves wrote down."""
    path = storm.folder / "witness.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    first: dict[tuple[str, str], int] = {}
    last: dict[tuple[str, str], int] = {}
    for line in map(json.loads, lines):
        key = (line["run"], line["node"])
        first[key] = min(first.get(key, line["at"]), line["at"])
        last[key] = max(last.get(key, 0), line["at"])
    for run_id, pipeline in db.execute("SELECT run_id, pipeline FROM pipeline_runs"):
        for node, before in needs[pipeline].items():
            for need in before:
                if last.get((run_id, need), 0) > first.get((run_id, node), 1 << 63):
                    yield f"{run_id} {need} worked while {node} after it did"


def _what_people_said_counts(storm: Storm, db: sqlite3.Connection) -> Iterator[str]:
    question = "SELECT run_id, node, item, label FROM approvals"
    kept = {(run_id, node, item): label for run_id, node, item, label in db.execute(question)}
    for key, label in storm.meddler.answered.items():
        if kept.get(key) != label:
            yield f"{key} was answered {label}, history has {kept.get(key)}"
    question = """
        SELECT n.run_id, n.node, n.outcome, a.label FROM pipeline_nodes AS n JOIN approvals AS a
        USING (run_id, node) WHERE n.state = 'success' AND n.outcome <> a.label
    """
    for run_id, node, outcome, label in db.execute(question):
        yield f"{run_id} {node} ended as {outcome} and was answered {label}"
    states = dict(db.execute("SELECT run_id, state FROM pipeline_runs"))
    for run_id in storm.meddler.cancelled:
        if states[run_id] not in _ENDED:
            yield f"{run_id} was cancelled and is {states[run_id]}"


def _every_fire_once(_storm: Storm, db: sqlite3.Connection) -> Iterator[str]:
    question = """
        SELECT pipeline, count(*), count(DISTINCT idx), min(idx), max(idx) FROM fires GROUP BY 1
    """
    for pipeline, count, distinct, first, last in db.execute(question):
        if not count == distinct == last - first + 1:
            yield f"{pipeline}: {count} fires, {distinct} different, from {first} to {last}"
    question = """
        SELECT f.pipeline, f.identity, f.outcome, count(r.run_id) FROM fires AS f
        LEFT JOIN pipeline_runs AS r ON r.fire = f.identity AND r.pipeline = f.pipeline
        GROUP BY 1, 2, 3
    """
    for pipeline, identity, outcome, count in db.execute(question):
        if count != (outcome == "run"):
            yield f"{pipeline} {identity}: {outcome} with {count} runs"


def _items_end_once(_storm: Storm, db: sqlite3.Connection) -> Iterator[str]:
    question = """
        SELECT i.run_id, i.node, i.idx, i.state, n.state FROM node_items AS i
        JOIN pipeline_nodes AS n USING (run_id, node)
        JOIN pipeline_runs AS r USING (run_id) WHERE r.state IN ('success', 'failed')
    """
    for run_id, node, number, state, node_state in db.execute(question):
        if state not in _FINAL or (node_state == "success" and state != "success"):
            yield f"{run_id} {node} is {node_state}, its item {number} {state}"
    ends: Counter[tuple[str, str, int]] = Counter()
    for run_id, body in db.execute("SELECT run_id, body FROM events WHERE name = 'items.changed'"):
        event = json.loads(body)
        for change in event["changes"]:
            ends[run_id, event["node"], change["number"]] += change["state"] in _FINAL
    for key, count in ends.items():
        if count > 1:
            yield f"item {key} ended {count} times"


def _sub_runs_are_one_an_attempt(_storm: Storm, db: sqlite3.Connection) -> Iterator[str]:
    question = "SELECT idempotency_key FROM pipeline_runs WHERE parent_run_id IS NOT NULL"
    keys = [key for (key,) in db.execute(question)]
    for key in keys:
        parent, node, _, attempt = key.split("/")
        tried = db.execute(
            "SELECT attempts FROM pipeline_nodes WHERE run_id = ? AND node = ?", (parent, node)
        ).fetchone()
        if tried is None or int(attempt) > max(1, tried[0]):
            yield f"sub-run {key} belongs to no attempt: {tried}"
    question = """
        SELECT n.run_id, n.node, r.state FROM pipeline_nodes AS n
        LEFT JOIN pipeline_runs AS r ON r.run_id = json_extract(n.output, '$.value.run_id')
        WHERE n.op = 'pipeline' AND n.state = 'success'
    """
    for run_id, node, state in db.execute(question):
        if state != "success":
            yield f"{run_id} {node} succeeded by a run that is {state}"


def _events_are_heard_in_order(storm: Storm, db: sqlite3.Connection) -> Iterator[str]:
    heard = storm.listener.heard
    ids = [number for number, _ in heard]
    if any(one >= other for one, other in pairwise(ids)):
        yield "ids of the stream do not rise"
    kept = dict(db.execute("SELECT id, name FROM events"))
    for number, name in heard:
        if kept.get(number) != name:
            yield f"event {number} was heard as {name} and is {kept.get(number)} in history"
    missed = sorted(number for number in kept if ids and number <= ids[-1])
    if len(missed) != len(ids):
        yield f"{len(missed)} events until {ids[-1]}, {len(ids)} of them heard"


def _nothing_is_left(storm: Storm, _db: sqlite3.Connection) -> Iterator[str]:
    for pid in marked(storm.state):
        yield f"process {pid} still runs"
    if storm.counts["orphans"]:
        yield f"{storm.counts['orphans']} processes of dead daemons outlived the next start"
    workers = [path.name for path in (storm.state / "workers").iterdir()]
    if workers:
        yield f"files of workers are left: {workers[:3]}"


def _spool_is_of_known_runs(storm: Storm, db: sqlite3.Connection) -> Iterator[str]:
    """Rows that nodes handed on are kept a while for retries; scratch of attempts is not."""
    spool = storm.state / "spool"
    known = {run_id for (run_id,) in db.execute("SELECT run_id FROM pipeline_runs")}
    for path in sorted(spool.iterdir()) if spool.is_dir() else ():
        if path.name not in known:
            yield f"spool/{path.name} is left, and belongs to no run"


LAWS: tuple[Law, ...] = (
    _history_is_sound,
    _nothing_accepted_is_lost,
    _ended_runs_are_whole,
    _no_interval_is_published_twice,
    _no_node_runs_after_its_successors_began,
    _what_people_said_counts,
    _every_fire_once,
    _items_end_once,
    _sub_runs_are_one_an_attempt,
    _events_are_heard_in_order,
    _nothing_is_left,
    _spool_is_of_known_runs,
)
