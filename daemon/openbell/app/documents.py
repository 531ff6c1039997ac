"""Pipelines from API documents, read as if they stood in the configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from openbell.app.place import Place
from openbell.config.load import Document, load_deployment, open_document
from openbell.config.tree import Mark, Tree
from openbell.model.pipelines import Pipeline
from openbell.plugin_host import Registry
from openbell.sdk.errors import Problem, SettingsError


def parse_pipeline(
    place: Place,
    registry: Registry,
    env: Mapping[str, str],
    document: Mapping[str, Any],
) -> Pipeline:
    """Return the pipeline that an API document describes: `{"name": ..., "nodes": ...}`.

    It is read exactly as one under `pipelines:` of the configuration at `place`, and may use that
    configuration's datasets and storage. Raises SettingsError.
    """
    name = document.get("name")
    if not isinstance(name, str) or not name:
        raise SettingsError([Problem(key="name", message="is missing", hint="name the pipeline")])
    around = open_document(place.config)
    body = {key: value for key, value in document.items() if key != "name"}
    whole = dict(around.tree.value) if isinstance(around.tree.value, dict) else {}
    added = tree_of({"pipelines": {name: body}}, "request")
    assert isinstance(added.value, dict)
    whole["pipelines"] = added.value["pipelines"]
    deployment = load_deployment(
        Document(tree=Tree(whole, around.tree.mark), source=around.source, folder=around.folder),
        registry=registry,
        env=env,
        profile=place.profile,
        overrides=dict(place.overrides),
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
