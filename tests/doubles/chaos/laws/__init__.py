"""What must hold after a storm, told by the history, the lake and the witness of the nodes."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from typing import Any

from doubles.chaos.laws import control, definitions, letters, live, work, world
from doubles.chaos.laws.aftermath import Aftermath, Law
from doubles.chaos.plans import FOLLOWED
from doubles.chaos.storm import Storm

LAWS: tuple[Law, ...] = (
    *work.LAWS,
    *world.LAWS,
    *control.LAWS,
    *letters.LAWS,
    *definitions.LAWS,
    *live.LAWS,
)
_COUNTS = {
    "fires": "SELECT count(*) FROM fires",
    "items": "SELECT count(*) FROM node_items",
    "attempts": "SELECT count(*) FROM job_executions",
    "interrupted": "SELECT count(*) FROM job_executions WHERE state = 'interrupted'",
    "receipts": "SELECT count(*) FROM data_lineage",
    "sub_runs": "SELECT count(*) FROM pipeline_runs WHERE parent_run_id IS NOT NULL",
    "live_runs": "SELECT count(*) FROM pipeline_runs WHERE mode = 'live'",
    "live_chunks": f"SELECT count(*) FROM data_lineage WHERE dataset = '{FOLLOWED}'",
    "retries": "SELECT count(*) FROM pipeline_runs WHERE retry_of IS NOT NULL",
    "letters": "SELECT count(*) FROM dead_letters",
    "definitions": "SELECT count(*) FROM pipeline_workflows",
    "events": "SELECT count(*) FROM events",
}


def violations(storm: Storm) -> list[str]:
    """Return every breach of a law; the daemon is gone by now."""
    uri = f"file:{storm.database}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as db:
        after = Aftermath(storm, db)
        return [f"{law.__name__}: {breach}" for law in LAWS for breach in law(after)]


def summary(storm: Storm) -> dict[str, Any]:
    """Return what the storm did and what became of it, in numbers."""
    uri = f"file:{storm.database}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as db:
        states = db.execute("SELECT state, count(*) FROM pipeline_runs GROUP BY 1").fetchall()
        counts = {name: db.execute(question).fetchone()[0] for name, question in _COUNTS.items()}
    said = storm.meddler.said
    answers = ("granted", "refused", "unheard")
    kinds = [answers[0 if each.is_granted else 1 if each.is_refused else 2] for each in said]
    return {
        "seed": storm.seed,
        "kills": storm.kills,
        **storm.counts,
        "submissions": len(storm.submitter.accepted),
        "requests": storm.submitter.sent,
        "wishes": dict(Counter(kinds)),
        "granted": dict(sorted(Counter(s.wish.what for s in said if s.is_granted).items())),
        "laws": len(LAWS),
        "runs": dict(states),
        **counts,
        "events_heard": len(storm.listener.heard),
        "streams": storm.listener.connects,
    }
