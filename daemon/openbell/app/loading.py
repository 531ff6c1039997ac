"""Configurations read with all that the layers above `config` know."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from openbell.config.load import Document, Loaded, Seams, load
from openbell.execution.chains import GraphError, complete, units
from openbell.execution.collecting import collect
from openbell.model.pipelines import Pipeline
from openbell.plugin_host import Registry


def load_whole(
    source: Path | Document,
    *,
    registry: Registry,
    env: Mapping[str, str],
    profile: str | None = None,
    overrides: Mapping[str, str],
) -> Loaded:
    """Return what `source` describes; functions under `pipelines_from` are called.

    Blocks until they have answered: call it in a thread where there is a loop. Raises
    SettingsError with every problem.
    """
    return load(
        source,
        registry=registry,
        env=env,
        profile=profile,
        overrides=overrides,
        seams=Seams(collect=partial(collect, env=env), graph_fault=graph_fault),
    )


def graph_fault(pipeline: Pipeline, roles: Mapping[str, str]) -> str:
    """Return why the engine cannot run the graph, nothing if it can."""
    try:
        units(complete(pipeline), roles)
    except GraphError as error:
        return str(error)
    return ""
