"""The way in: a configuration file to a `Deployment`, or everything wrong with it at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from openbell.calendars.names import CalendarCatalog
from openbell.config.calendars import CalendarReader
from openbell.config.expansion import Expansion
from openbell.config.layers import layered
from openbell.config.parts import check_version, read_parts
from openbell.config.pipelines import GraphReader, Graphs
from openbell.config.plugins import Registry
from openbell.config.problems import Problems
from openbell.config.python_pipelines import Collect, refuse, with_python
from openbell.config.reader import read_file
from openbell.config.schema import DaemonSection, TelemetrySection
from openbell.config.substitution import Substitution
from openbell.config.tree import Tree
from openbell.config.uses import UseReader
from openbell.model.pipelines import (
    DaemonOptions,
    Deployment,
    Features,
    Pipeline,
    TelemetryOptions,
)

_NO_OVERRIDES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A configuration that was parsed already; relative places are resolved against `folder`."""

    tree: Tree
    source: str
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A deployment with the effective tree it came from, substitutions filled in."""

    tree: Tree
    deployment: Deployment


def _nobody() -> Mapping[str, Pipeline]:
    return MappingProxyType({})  # python 3.11 cannot hash it: no plain default


def _no_fault(pipeline: Pipeline, roles: Mapping[str, str]) -> str:
    del pipeline, roles
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seams:
    """What a configuration asks of layers above it.

    `collect` calls the functions of `pipelines_from`. `graph_fault` says why the engine cannot run
    a graph, or nothing; it gets the roles of operators. `around` are pipelines that are there
    beside those of the file, which `after` and `needs_dataset` may name.
    """

    collect: Collect = refuse
    graph_fault: Callable[[Pipeline, Mapping[str, str]], str] = _no_fault
    around: Mapping[str, Pipeline] = field(default_factory=_nobody)


SEAMS = Seams()
"""Nothing above: functions are not called, graphs are checked by themselves."""


def load_deployment(
    source: Path | Document,
    *,
    registry: Registry,
    env: Mapping[str, str],
    profile: str | None = None,
    overrides: Mapping[str, str] = _NO_OVERRIDES,
    seams: Seams = SEAMS,
) -> Deployment:
    """Return the deployment that `source` describes under `profile`.

    `overrides` maps key paths (`jobs.x.execution.concurrency`) to text and wins over `env`, which
    wins over the file. Pipelines whose plugin or provider is not there end in `refused`. Raises
    SettingsError with every problem, each with file, line, column, key and a way out.
    """
    return load(
        source, registry=registry, env=env, profile=profile, overrides=overrides, seams=seams
    ).deployment


def load(
    source: Path | Document,
    *,
    registry: Registry,
    env: Mapping[str, str],
    profile: str | None = None,
    overrides: Mapping[str, str] = _NO_OVERRIDES,
    seams: Seams = SEAMS,
) -> Loaded:
    """Do what `load_deployment` does, and return what it went through as well."""
    document = source if isinstance(source, Document) else open_document(source)
    tree, name, problems = _effective(document, profile, env, overrides)
    tree = with_python(tree, document.folder, seams.collect, problems)
    meaning = digest(tree)
    problems = problems.moved_to(tree)
    fill = Substitution(env, problems).apply
    tree = Expansion(tree, registry, problems, fill=fill).apply()
    problems = problems.moved_to(tree)
    substitution = Substitution(env, problems)
    filled = substitution.apply(tree)
    parts = read_parts(filled, problems)
    uses = UseReader(registry, problems, document.folder, env.get("HOME")).read(parts)
    calendars = CalendarReader(parts.calendars, problems)
    rules, overlays = calendars.rules(), calendars.overlays()
    graphs = GraphReader(
        registry,
        problems,
        parts,
        uses,
        catalog=CalendarCatalog(rules),
        folder=document.folder,
        home=env.get("HOME"),
        around=seams.around,
    ).read()
    _check_graphs(graphs, registry, problems, seams.graph_fault)
    if parts.daemon.tcp_port is not None and parts.daemon.tcp_token_file is None:
        hint = "set daemon.tcp_token_file to a file with the token"
        problems.add(("daemon", "tcp_port"), "the API on TCP needs a bearer token", hint)
    problems.raise_if_any()
    deployment = Deployment(
        source=document.source,
        profile=name,
        digest=meaning,
        providers=uses.providers,
        storage=uses.storage,
        datasets=graphs.datasets,
        pipelines=graphs.pipelines,
        refused=graphs.refused,
        calendars=rules,
        overlays=overlays,
        pools=parts.pools,
        features=Features(
            write_enabled=parts.features.write_enabled,
            export_enabled=parts.features.export_enabled,
        ),
        telemetry=_telemetry(parts.telemetry),
        daemon=_daemon(parts.daemon, document.folder),
        secrets=tuple(sorted(uses.secrets | substitution.secrets)),
    )
    return Loaded(tree=filled, deployment=deployment)


def open_document(path: Path) -> Document:
    """Return the file, parsed; raises SettingsError when it cannot be."""
    tree = read_file(path)
    return Document(tree=tree, source=str(path), folder=path.absolute().parent)


def digest(tree: Tree) -> str:
    """Return what identifies a configuration: its meaning, with no secret filled in."""
    text = json.dumps(tree.plain(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _effective(
    document: Document,
    profile: str | None,
    env: Mapping[str, str],
    overrides: Mapping[str, str],
) -> tuple[Tree, str, Problems]:
    problems = Problems(document.tree)
    if not check_version(document.tree, problems):
        problems.raise_if_any()
    tree, name = layered(
        document.tree, profile=profile, env=env, overrides=overrides, problems=problems
    )
    return tree, name, problems.moved_to(tree)


def _check_graphs(
    graphs: Graphs,
    registry: Registry,
    problems: Problems,
    graph_fault: Callable[[Pipeline, Mapping[str, str]], str],
) -> None:
    roles = {name: spec.role for name, spec in registry.operators.items()}
    for name, pipeline in graphs.pipelines.items():
        fault = graph_fault(pipeline, roles) if pipeline.job is None else ""
        if fault:
            problems.add(("pipelines", name, "nodes"), fault, at_key=True)


def _telemetry(section: TelemetrySection) -> TelemetryOptions:
    return TelemetryOptions(
        log_level=section.log_level,
        metrics_enabled=section.metrics.enabled,
        metrics_port=section.metrics.port,
        metrics_host=section.metrics.host,
    )


def _daemon(section: DaemonSection, folder: Path) -> DaemonOptions:
    token_file = section.tcp_token_file
    return DaemonOptions(
        max_workers=section.max_workers,
        worker_idle_s=section.worker_idle,
        worker_max_tasks=section.worker_max_tasks,
        worker_max_age_s=section.worker_max_age,
        worker_max_memory_mb=section.worker_max_memory_mb,
        drain_timeout_s=section.drain_timeout,
        history_keep_days=section.history_keep_days,
        output_keep_days=section.output_keep_days,
        history_keep_runs=section.history_keep_runs,
        socket_group=section.socket_group,
        tcp_host=section.tcp_host,
        tcp_port=section.tcp_port,
        tcp_token_file=str(folder / token_file) if token_file else None,
    )
