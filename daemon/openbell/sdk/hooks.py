"""Everything that a plugin can register, in one file.

A plugin is a distribution with one entry point in group `openbell` that names a module (or an
object) with functions marked `@hookimpl`. Each hook is synchronous, runs once before the loop
starts, and returns specs; the objects behind them are made later, in worker processes, from
`factory`, an import string `package.module:Class`. So a spec's module must import nothing heavy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pluggy

from openbell.sdk.rules import RuleScope
from openbell.sdk.settings import PluginSettings

API_VERSION = (1, 0)
"""Version of this plugin API, (major, minor). A plugin module may state `OPENBELL_API = "1.0"`:
another major, or a newer minor than this, is refused at load."""

Role = Literal["source", "transform", "sink", "task", "control"]

hookspec = pluggy.HookspecMarker("openbell")
hookimpl = pluggy.HookimplMarker("openbell")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec:
    """A provider type: `name` is what `type:` says under `providers:`.

    `factory` is called with the validated settings as its one argument.
    """

    name: str
    settings_model: type[PluginSettings]
    factory: str
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSpec:
    """A rule: `name` is what a gate's `rules:` lists; parameters are validated by the model."""

    name: str
    settings_model: type[PluginSettings]
    factory: str
    scope: RuleScope
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSpec:
    """A backend type: `name` is what `type:` says under `storage:`."""

    name: str
    settings_model: type[PluginSettings]
    factory: str
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkSpec:
    """A sink type: `name` is what `type:` says under `alerts: sinks:`. Made in the daemon."""

    name: str
    settings_model: type[PluginSettings]
    factory: str
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSpec:
    """An operator: `name` is what a node's `op:` says.

    `outcomes` are the labels that edges may list beside `success`; `any_outcome` lets them list
    whatever the node's settings may say. A `source` makes chunks, a `transform` passes them on, a
    `sink` ends them; these stream in one worker. A `task` runs by itself in a worker
    (`openbell.sdk.tasks`). A `control` operator is answered by the daemon, which has no code of
    its own to load for it: only openbell's are.
    """

    name: str
    settings_model: type[PluginSettings]
    factory: str
    role: Role
    outcomes: tuple[str, ...] = ()
    any_outcome: bool = False
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSpec:
    """A group of HTTP routes: `factory` returns an ASGI application, mounted under `/x/{name}`."""

    name: str
    factory: str
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSpec:
    """A pipeline with parameters: `name` is what `template:` says under `pipelines:`.

    `resource` is `package:file.yaml`, a data file inside an importable package; what it says is
    told in `daemon/spec/templates.md`.
    """

    name: str
    resource: str
    summary: str = ""


@hookspec
def openbell_register_providers() -> Sequence[ProviderSpec]:
    """Return the provider types that this plugin brings."""
    raise AssertionError("a specification is never called")


@hookspec
def openbell_register_rules() -> Sequence[RuleSpec]:
    """Return the rules that this plugin brings."""
    raise AssertionError("a specification is never called")


@hookspec
def openbell_register_backends() -> Sequence[BackendSpec]:
    """Return the backend types that this plugin brings."""
    raise AssertionError("a specification is never called")


@hookspec
def openbell_register_sinks() -> Sequence[SinkSpec]:
    """Return the sink types that this plugin brings."""
    raise AssertionError("a specification is never called")


@hookspec
def openbell_register_operators() -> Sequence[OperatorSpec]:
    """Return the operators that this plugin brings."""
    raise AssertionError("a specification is never called")


@hookspec
def openbell_register_routes() -> Sequence[RouteSpec]:
    """Return the HTTP routes that this plugin brings."""
    raise AssertionError("a specification is never called")


@hookspec
def openbell_register_templates() -> Sequence[TemplateSpec]:
    """Return the pipeline templates that this plugin brings."""
    raise AssertionError("a specification is never called")
