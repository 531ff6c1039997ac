"""Parameters of a request that do not fit the settings they are for: found before the run begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from openbell.config.invalid import faults
from openbell.config.plugins import Registry
from openbell.config.substitution import fill_params, param_names
from openbell.config.tree import key_path
from openbell.model.pipelines import Node, Pipeline
from openbell.sdk.errors import Problem

_Part = tuple[str, type[BaseModel], Mapping[str, Any]]


def unfit(
    pipeline: Pipeline, specs: Registry, params: Mapping[str, Any], *, asked: frozenset[str]
) -> Iterator[Problem]:
    """Yield what is wrong with the parameters `asked`, among all that a run of `pipeline` has.

    A setting that waits for more than parameters, such as the session, is looked at when it is
    known: when its node begins.
    """
    told: set[tuple[str, str]] = set()
    for node in pipeline.nodes:
        for where, model, settings in _parts(node, specs):
            for name, message in _problems(model, settings, params, asked):
                text = f"{message} (node {node.name!r}, {where})"
                if (name, text) not in told:
                    told.add((name, text))
                    yield Problem(key=f"params.{name}", message=text)


def _parts(node: Node, specs: Registry) -> Iterator[_Part]:
    """Yield the settings of a node and those of its rules, each with its model."""
    operator = specs.operators.get(node.op)
    if operator is not None:
        yield f"op {node.op}", operator.settings_model, node.settings
    rules = node.settings.get("rules")
    for entry in rules if isinstance(rules, list | tuple) else ():
        rule = specs.rules.get(str(entry.get("name")))
        if rule is not None:
            yield f"rule {rule.name}", rule.settings_model, entry.get("params", {})


def _problems(
    model: type[BaseModel],
    settings: Mapping[str, Any],
    params: Mapping[str, Any],
    asked: frozenset[str],
) -> Iterator[tuple[str, str]]:
    uses = {key: param_names(value) for key, value in settings.items()}
    known = {key: value for key, value in settings.items() if uses[key] <= set(params)}
    concerned = {key: sorted(uses[key] & asked) for key in known if uses[key] & asked}
    if not concerned:
        return
    try:
        model.model_validate(fill_params(known, params))
    except ValidationError as error:
        for fault in faults(model, error):
            key = str(fault.at[0]) if fault.at else ""
            if key in concerned:
                yield concerned[key][0], f"{key_path(fault.at)}: {fault.message}"
