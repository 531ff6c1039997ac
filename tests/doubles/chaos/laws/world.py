"""What a storm leaves in the world: the history as a file, bars, events that were heard, leftovers."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from doubles.chaos.damage import marked
from doubles.chaos.laws.aftermath import Aftermath, Law
from doubles.chaos.plans import BARS_A_SESSION, SYMBOLS


def _history_is_sound(after: Aftermath) -> Iterator[str]:
    found = after.db.execute("PRAGMA integrity_check").fetchall()
    if found != [("ok",)]:
        yield f"integrity_check: {found[:3]}"
    if broken := after.db.execute("PRAGMA foreign_key_check").fetchall():
        yield f"foreign_key_check: {broken[:3]}"
    for name, value in after.db.execute(
        "SELECT name, value FROM history_counts WHERE name IN "
        "('queued', 'running', 'success', 'failed', 'cancelled')"
    ):
        question = "SELECT count(*) FROM pipeline_runs WHERE state = ?"
        (count,) = after.db.execute(question, (name,)).fetchone()
        if count != value:
            yield f"history counts {value} {name} runs, there are {count}"


def _no_interval_is_published_twice(after: Aftermath) -> Iterator[str]:
    for number in range(after.storm.tables):
        name = f"bars_{number}"
        question = "SELECT session, state FROM pipeline_runs WHERE pipeline = ?"
        asked = after.db.execute(question, (f"load_{number}",)).fetchall()
        tried = {session for session, _ in asked}
        done = {session for session, state in asked if state == "success"}
        if tried != done:
            yield f"load_{number} failed for {sorted(tried - done)[:5]}"
        question = "SELECT coalesce(sum(written_count), 0) FROM data_lineage WHERE dataset = ?"
        (written,) = after.db.execute(question, (name,)).fetchone()
        if done or written:
            yield from _bars_are_there_once(after, name, done, written)


def _bars_are_there_once(
    after: Aftermath, name: str, done: set[str], written: int
) -> Iterator[str]:
    asked = after.storm.mdp.run("data", "read", name, "--config", "c.json").stdout
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


def _events_are_heard_in_order(after: Aftermath) -> Iterator[str]:
    heard = after.storm.listener.heard
    ids = [number for number, _ in heard]
    if any(one >= other for one, other in pairwise(ids)):
        yield "ids of the stream do not rise"
    kept = dict(after.db.execute("SELECT id, name FROM events"))
    for number, name in heard:
        if kept.get(number) != name:
            yield f"event {number} was heard as {name} and is {kept.get(number)} in history"
    missed = sorted(number for number in kept if ids and number <= ids[-1])
    if len(missed) != len(ids):
        yield f"{len(missed)} events until {ids[-1]}, {len(ids)} of them heard"


def _nothing_is_left(after: Aftermath) -> Iterator[str]:
    for pid in marked(after.storm.state):
        yield f"process {pid} still runs"
    if after.storm.counts["orphans"]:
        yield f"{after.storm.counts['orphans']} processes of dead daemons outlived the next start"
    workers = [path.name for path in (after.storm.state / "workers").iterdir()]
    if workers:
        yield f"files of workers are left: {workers[:3]}"


def _spool_is_of_known_runs(after: Aftermath) -> Iterator[str]:
    """Rows that nodes handed on are kept a while for retries; scratch of attempts is not."""
    spool = after.storm.state / "spool"
    known = {run_id for (run_id,) in after.db.execute("SELECT run_id FROM pipeline_runs")}
    for path in sorted(spool.iterdir()) if spool.is_dir() else ():
        if path.name not in known:
            yield f"spool/{path.name} is left, and belongs to no run"


LAWS: tuple[Law, ...] = (
    _history_is_sound,
    _no_interval_is_published_twice,
    _events_are_heard_in_order,
    _nothing_is_left,
    _spool_is_of_known_runs,
)
