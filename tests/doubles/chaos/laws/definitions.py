"""Laws of definitions that change while runs go on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from doubles.chaos.laws.aftermath import Aftermath, Law
from doubles.chaos.plans import MADE


def _runs_keep_their_definition(after: Aftermath) -> Iterator[str]:
    for event in after.events("run.submitted"):
        run = after.runs[event.run_id]
        if event.body["workflow_version"] != run.version:
            yield f"{event.run_id} began with {event.body['workflow_version']}, has {run.version}"
    nodes: defaultdict[str, set[str]] = defaultdict(set)
    for run_id, node in after.db.execute("SELECT run_id, node FROM pipeline_nodes"):
        nodes[run_id].add(node)
    for run_id, run in after.runs.items():
        defined = after.definitions[run.pipeline, run.version]
        if nodes[run_id] != set(defined):
            yield f"{run_id} has nodes {nodes[run_id]}, its definition {set(defined)}"


def _functions_are_called_as_their_run_defines(after: Aftermath) -> Iterator[str]:
    for line in after.witness:
        run = after.runs[line["run"]]
        node = after.definitions[run.pipeline, run.version][line["node"]]
        edition = node["settings"]["args"]["edition"]
        if line["edition"] != edition:
            yield f"{line['run']} {line['node']} is of {edition} and worked by {line['edition']}"


def _what_was_defined_is_there(after: Aftermath) -> Iterator[str]:
    for said in after.granted("define"):
        assert said.reply is not None
        found = after.definitions.get((MADE, said.reply.body["version"]))
        if found is None or set(found) != set(said.wish.body["nodes"]):  # type: ignore[index]
            yield f"version {said.reply.body['version']} of {MADE} was defined otherwise"
    digests = {event.body["digest"] for event in after.events("config.reloaded")}
    for said in after.granted("reload"):
        assert said.reply is not None
        if said.reply.body["digest"] not in digests:
            yield f"nobody knows of the reload to {said.reply.body['digest']}"


LAWS: tuple[Law, ...] = (
    _runs_keep_their_definition,
    _functions_are_called_as_their_run_defines,
    _what_was_defined_is_there,
)
