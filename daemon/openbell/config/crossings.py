"""What pipelines ask of each other: `after` and `needs_dataset`. They may not wait in a circle."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from openbell.config.graph import cycle
from openbell.config.invalid import nearest
from openbell.config.problems import Problems
from openbell.config.schema import PipelineSection
from openbell.config.tree import Path
from openbell.model.pipelines import Node, Pipeline

_SPAN = ("from", "to", "for_s")
"""Parameters that every pipeline takes: the span of the data, and how long a live run goes on."""


def check_crossings(
    asking: Mapping[str, PipelineSection],
    problems: Problems,
    *,
    made: Mapping[str, Pipeline],
    around: Mapping[str, Pipeline],
    names: Sequence[str],
    datasets: Sequence[str],
) -> None:
    """Note names that do not exist, datasets that nobody writes, and circles.

    `asking` is what is written under `pipelines:`, and `made` what came of it and of the jobs.
    `names` and `datasets` are all that are written down, also those that are not valid: what is
    wrong with these is told once, at their own place. `around` are pipelines beside these.
    """
    is_whole = set(names) == set(made)
    known = {**around, **made}
    there = {*names, *around}
    writers: dict[str, list[str]] = {}
    for pipeline in known.values():
        for dataset in written_by(pipeline):
            writers.setdefault(dataset, []).append(pipeline.name)
    for name, section in asking.items():
        _check_after(name, section.after, problems, there)
        for dataset in section.needs_dataset:
            at: Path = ("pipelines", name, "needs_dataset", dataset)
            if dataset not in datasets:
                hint = nearest(dataset, datasets) or "there is nothing under datasets"
                problems.add(at, f"dataset {dataset!r} does not exist", hint, at_key=True)
            elif is_whole and not set(writers.get(dataset, ())) - {name}:
                message = f"no other pipeline writes dataset {dataset!r}: it would wait for ever"
                problems.add(at, message, "add one, or a job, that writes it", at_key=True)
    for name in asking.keys() & made.keys():
        _check_nodes(made[name], problems, there=there, datasets=datasets)
        _check_params(made[name], problems, made)
    _check_circles(known, writers, problems)


def _check_after(
    name: str, after: Sequence[str], problems: Problems, there: Collection[str]
) -> None:
    for index, other in enumerate(after):
        path: Path = ("pipelines", name, "after", index)
        if other == name:
            problems.add(path, "a pipeline cannot run after itself")
        elif other not in there:
            problems.add_unknown(path, "pipeline", other, there)


def _check_nodes(
    pipeline: Pipeline, problems: Problems, *, there: Collection[str], datasets: Sequence[str]
) -> None:
    """Note nodes that run a pipeline or wait for a dataset that does not exist."""
    for node in pipeline.nodes:
        path: Path = ("pipelines", pipeline.name, "nodes", node.name)
        started, awaited = _named(node, "pipeline"), _named(node, "wait", "dataset")
        if started == pipeline.name:
            problems.add((*path, "pipeline"), "a pipeline cannot run itself")
        elif started is not None and started not in there:
            problems.add_unknown((*path, "pipeline"), "pipeline", started, there)
        if awaited is not None and awaited not in datasets:
            problems.add_unknown((*path, "dataset"), "dataset", awaited, datasets)


def _check_params(pipeline: Pipeline, problems: Problems, made: Mapping[str, Pipeline]) -> None:
    """Note parameters that nodes give to pipelines that have none of this name."""
    for node in pipeline.nodes:
        inner = made.get(_named(node, "pipeline") or "")
        given = node.settings.get("params")
        if inner is None or not isinstance(given, Mapping):
            continue
        for param in sorted(given.keys() - {*inner.params, *_SPAN}):
            path: Path = ("pipelines", pipeline.name, "nodes", node.name, "params", param)
            message = f"pipeline {inner.name!r} has no such parameter"
            problems.add(path, message, nearest(param, inner.params), at_key=True)


def _named(node: Node, op: str, key: str = "") -> str | None:
    """Return what a node of this op names, None while a parameter decides it."""
    value = node.settings.get(key or op) if node.op == op else None
    return None if value is None or "${" in str(value) else str(value)


def written_by(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the datasets that `pipeline` writes: those that its writes name, else its sources'."""
    sources = [str(node.settings["dataset"]) for node in pipeline.nodes if node.op == "ingest"]
    found: dict[str, None] = {}
    for node in pipeline.nodes:
        if node.op == "write":
            named = node.settings.get("dataset")
            found.update(dict.fromkeys([str(named)] if named else sources))
    return tuple(found)


def _check_circles(
    made: Mapping[str, Pipeline], writers: Mapping[str, Sequence[str]], problems: Problems
) -> None:
    """Note one circle of pipelines that wait for each other.

    A dataset with several writers is no reason to wait for all of them, so it closes no circle.
    """
    waits = {
        name: {
            *(other for other in pipeline.after if other != name),
            *(
                started
                for node in pipeline.nodes
                if (started := _named(node, "pipeline")) is not None and started != name
            ),
            *(
                writers[dataset][0]
                for dataset in pipeline.needs_dataset
                if len(writers.get(dataset, ())) == 1 and writers[dataset][0] != name
            ),
        }
        for name, pipeline in made.items()
    }
    circle = cycle({name: sorted(others) for name, others in waits.items() if others})
    if circle:
        text = " waits for ".join([*circle, circle[0]])
        keys = ("after", "needs_dataset", "nodes")
        key = next(key for key in keys if getattr(made[circle[0]], key))
        problems.add(("pipelines", circle[0], key), f"pipelines form a circle: {text}")
