"""A template as its file says it: parameters with type, default and help, and a pipeline."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from openbell.config.fields import Duration, Flag, Float, Int, Name
from openbell.config.node_schema import Section
from openbell.config.problems import Problems
from openbell.config.tree import Tree
from openbell.config.yaml_reader import read_yaml
from openbell.sdk.errors import Problem, SettingsError
from openbell.sdk.hooks import TemplateSpec

ParamType = Literal[
    "text",
    "integer",
    "number",
    "flag",
    "duration",
    "list",
    "mapping",
    "any",
    "dataset",
    "storage",
    "calendar",
    "pipeline",
]
_KINDS: Mapping[str, Any] = {
    "text": str,
    "integer": Int,
    "number": Float,
    "flag": Flag,
    "duration": Duration,
    "list": list[Any],
    "mapping": dict[str, Any],
    "any": Any,
    "dataset": str,
    "storage": str,
    "calendar": str,
    "pipeline": str,
}


class ParamSection(Section):
    """A parameter of a template; without a default it must be given."""

    type: ParamType
    help: str = Field(min_length=1)
    default: Any = None

    @property
    def is_required(self) -> bool:
        """Whether whoever uses the template has to give it."""
        return "default" not in self.model_fields_set


class TemplateSection(Section):
    """What a template's file holds; the pipeline is read when it is used."""

    about: str = Field(min_length=1)
    params: dict[Name, ParamSection] = Field(default={})
    pipeline: dict[str, Any] = Field(min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A template that was read. `defaults` and `body` keep the places in its file."""

    name: str
    about: str
    params: Mapping[str, ParamSection]
    defaults: Mapping[str, Tree]
    body: Tree

    def arguments_model(self) -> type[BaseModel]:
        """Return the model of what `with:` may say."""
        parts: dict[str, Any] = {
            f"p_{name}": (
                Annotated[_KINDS[param.type] | None, Field(alias=name, description=param.help)]
                if not param.is_required
                else Annotated[_KINDS[param.type], Field(alias=name, description=param.help)],
                ... if param.is_required else None,
            )
            for name, param in self.params.items()
        }
        config = ConfigDict(extra="forbid", hide_input_in_errors=True)
        model: type[BaseModel] = create_model("Arguments", __config__=config, **parts)
        return model


def read_template(spec: TemplateSpec) -> Template:
    """Return what the template's file says; raises SettingsError when that cannot be used."""
    file = f"template {spec.name}"
    text = _text(spec, file)
    tree = read_yaml(text, file)
    if tree is None:
        raise SettingsError([Problem(file=file, message="the template says nothing")])
    problems = Problems(tree)
    try:
        section = TemplateSection.model_validate(tree.plain())
    except ValidationError as error:
        problems.add_invalid((), TemplateSection, error)
        problems.raise_if_any()
        raise AssertionError("an invalid template has problems") from error
    params = tree.child("params")
    body = tree.child("pipeline")
    assert body is not None
    defaults = {
        name: default
        for name, param in (params.entries() if params is not None else {}).items()
        if (default := param.child("default")) is not None
    }
    return Template(
        name=spec.name, about=section.about, params=section.params, defaults=defaults, body=body
    )


def _text(spec: TemplateSpec, file: str) -> str:
    package, _, name = spec.resource.partition(":")
    try:
        found = importlib.resources.files(package).joinpath(name)
        return found.read_text(encoding="utf-8")
    except (ImportError, OSError, UnicodeDecodeError) as error:
        message = f"{spec.resource} cannot be read: {error}"
        hint = "the plugin that brings it is broken; ask its author"
        raise SettingsError([Problem(file=file, message=message, hint=hint)]) from error
