"""Pipelines from API documents, read as if they stood in the configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from openbell.app.loading import graph_fault
from openbell.app.place import Place
from openbell.config.load import Document, Seams, load_deployment, open_document
from openbell.config.python_pipelines import KEY as PYTHON
from openbell.config.tree import Mark, Tree
from openbell.model.pipelines import Pipeline
from openbell.plugin_host import Registry
from openbell.sdk.errors import Problem, SettingsError


def parse_pipeline(
    place: Place,
    registry: Registry,
    env: Mapping[str, str],
    document: Mapping[str, Any],
    *,
    around: Mapping[str, Pipeline] = MappingProxyType({}),
) -> Pipeline:
    """Return the pipeline that an API document describes: `{"name": ..., "nodes": ...}`.

    It is read exactly as one under `pipelines:` of the configuration at `place`, and may use that
    configuration's datasets, storage, pools and templates; `around` are the pipelines that it may
    run after. Raises SettingsError.
    """
    name = document.get("name")
    if not isinstance(name, str) or not name:
        raise SettingsError([Problem(key="name", message="is missing", hint="name the pipeline")])
    file = open_document(place.config)
    body = {key: value for key, value in document.items() if key != "name"}
    whole = dict(file.tree.value) if isinstance(file.tree.value, dict) else {}
    added = tree_of({"pipelines": {name: body}}, "request")
    assert isinstance(added.value, dict)
    whole.pop(PYTHON, None)
    whole["pipelines"] = added.value["pipelines"]
    deployment = load_deployment(
        Document(tree=Tree(whole, file.tree.mark), source=file.source, folder=file.folder),
        registry=registry,
        env=env,
        profile=place.profile,
        overrides=dict(place.overrides),
        seams=Seams(
            graph_fault=graph_fault,
            around={key: held for key, held in around.items() if key != name},
        ),
    )
    if name in deployment.refused:
        raise SettingsError([Problem(key=f"pipelines.{name}", message=deployment.refused[name])])
    return deployment.pipelines[name]


def tree_of(value: Any, source: str) -> Tree:  # noqa: ANN401 - any JSON value
    """Return plain JSON values as a document that says it came from `source`."""
    mark = Mark(file=source)
    if isinstance(value, Mapping):
        return Tree({str(key): tree_of(child, source) for key, child in value.items()}, mark)
    if isinstance(value, list):
        return Tree([tree_of(child, source) for child in value], mark)
    if value is None or isinstance(value, str | int | float | bool):
        return Tree(value, mark)
    raise SettingsError([Problem(key=source, message=f"{json.dumps(str(value))} is no JSON value")])
