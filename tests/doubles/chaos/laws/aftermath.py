"""What is left to look at after a storm: history, the witness of the nodes, and what was said."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from doubles.chaos.storm import Storm
from doubles.chaos.wishes import Said

FINAL = frozenset({"success", "failed", "skipped", "upstream_failed", "cancelled"})
ENDED = frozenset({"success", "failed", "cancelled"})
GRACE_US = 500_000
"""How long after its answer a request may take effect, on a busy machine."""

_FOREVER = 1 << 62


class Run(NamedTuple):
    """A run as history has it."""

    pipeline: str
    version: int
    state: str
    mode: str
    job_id: str
    retry_of: str | None
    reason: str
    priority: int
    paused: int
    cancel_requested: int
    started_us: int | None
    finished_us: int | None
    fire: str


class Event(NamedTuple):
    """An event as history has it."""

    number: int
    at_us: int
    run_id: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Aftermath:
    """A storm that is over; its daemon is gone."""

    storm: Storm
    db: sqlite3.Connection

    @cached_property
    def runs(self) -> dict[str, Run]:
        """Return every run by its id."""
        question = """
            SELECT run_id, pipeline, workflow_version, state, mode, job_id, retry_of,
            coalesce(reason, ''), priority, paused, cancel_requested, started_at_us, finished_at_us,
            fire
            FROM pipeline_runs
        """
        return {run_id: Run(*values) for run_id, *values in self.db.execute(question)}

    @cached_property
    def definitions(self) -> dict[tuple[str, int], dict[str, dict[str, Any]]]:
        """Return by pipeline and version the nodes by name."""
        question = "SELECT pipeline, version, definition FROM pipeline_workflows"
        return {
            (pipeline, version): {node["name"]: node for node in json.loads(text)["nodes"]}
            for pipeline, version, text in self.db.execute(question)
        }

    @cached_property
    def witness(self) -> list[dict[str, Any]]:
        """Return what the functions of nodes wrote down."""
        path = self.storm.folder / "witness.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    @cached_property
    def taken_over(self) -> frozenset[tuple[str, str]]:
        """Return the nodes that ended in the run before."""
        events = self.events("nodes.taken_over")
        return frozenset((event.run_id, node) for event in events for node in event.body["nodes"])

    @cached_property
    def asked_to_end(self) -> frozenset[tuple[str, str]]:
        """Return the nodes that somebody wanted to end."""
        return frozenset(self.db.execute("SELECT run_id, node FROM node_requests"))

    def events(self, *names: str) -> Iterator[Event]:
        """Yield events in their order."""
        marks = ", ".join("?" * len(names))
        question = f"SELECT id, at_us, run_id, body FROM events WHERE name IN ({marks}) ORDER BY id"
        for number, at_us, run_id, body in self.db.execute(question, names):
            yield Event(number, at_us, run_id, json.loads(body))

    def said(self, *whats: str) -> list[Said]:
        """Return wishes of these kinds, whatever the answer."""
        return [said for said in self.storm.meddler.said if said.wish.what in whats]

    def granted(self, *whats: str) -> list[Said]:
        """Return wishes of these kinds that were granted."""
        return [said for said in self.said(*whats) if said.is_granted]

    def held(self, what: str) -> dict[str, list[tuple[int, int]]]:
        """Return by target when it was paused for certain, in microseconds.

        A pause holds once it was granted, until somebody asks for its end, heard or not.
        """
        found: dict[str, list[tuple[int, int]]] = {}
        for said in self.said(f"pause {what}", f"resume {what}"):
            spans = found.setdefault(said.wish.target, [])
            if said.wish.what == f"pause {what}" and said.is_granted:
                spans.append((said.done_us + GRACE_US, _FOREVER))
            elif said.wish.what == f"resume {what}" and not said.is_refused:
                spans[:] = [(start, min(end, said.sent_us)) for start, end in spans]
        return found


Law = Callable[[Aftermath], Iterator[str]]


def is_within(at_us: int, spans: list[tuple[int, int]] | None) -> bool:
    """Return whether an instant is in one of the spans."""
    return any(start < at_us < end for start, end in spans or ())
