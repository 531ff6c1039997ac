"""What all plugins together bring, frozen; and the fate of each plugin."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from openbell.plugin_host.guard import Failure, guarded
from openbell.plugin_host.rules import Refusal, check_factory
from openbell.sdk.errors import PluginError
from openbell.sdk.hooks import (
    BackendSpec,
    OperatorSpec,
    ProviderSpec,
    RouteSpec,
    RuleSpec,
    SinkSpec,
    TemplateSpec,
)


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """One entry point and what became of it.

    `registers` maps a kind (provider, rule, ...) to names, empty for a refused plugin.
    `api_version` is what the plugin states, empty if it states none. `warnings` are about a
    plugin that works and should be mended all the same.
    """

    name: str
    distribution: str
    version: str
    state: Literal["loaded", "refused"]
    api_version: str = ""
    reason: str = ""
    traceback: str = ""
    registers: Mapping[str, tuple[str, ...]] = field(default_factory=_nothing)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Every spec by kind and name. Nothing in it has imported an implementation."""

    providers: Mapping[str, ProviderSpec] = field(default_factory=_nothing)
    rules: Mapping[str, RuleSpec] = field(default_factory=_nothing)
    backends: Mapping[str, BackendSpec] = field(default_factory=_nothing)
    sinks: Mapping[str, SinkSpec] = field(default_factory=_nothing)
    operators: Mapping[str, OperatorSpec] = field(default_factory=_nothing)
    routes: Mapping[str, RouteSpec] = field(default_factory=_nothing)
    templates: Mapping[str, TemplateSpec] = field(default_factory=_nothing)
    plugins: tuple[PluginInfo, ...] = ()
    owners: Mapping[str, str] = field(default_factory=_nothing, repr=False)

    @property
    def refused(self) -> tuple[PluginInfo, ...]:
        """The plugins that could not be loaded."""
        return tuple(plugin for plugin in self.plugins if plugin.state == "refused")

    def resolve(self, factory: str) -> Callable[..., Any]:
        """Import `package.module:Class` and return it.

        This is where heavy libraries come in: call it in a worker. Raises PluginError, naming the
        plugin whose spec has this factory, when the import fails or gives nothing callable.
        """
        found = guarded(lambda: _imported(factory))
        if isinstance(found, Failure):
            plugin = self.owners.get(factory, factory.partition(".")[0])
            raise PluginError(plugin, f"factory {factory!r} failed: {found.reason}")
        return found


def _imported(factory: str) -> Callable[..., Any]:
    module_name, attribute = check_factory(factory, "factory")
    module = importlib.import_module(module_name)
    made = getattr(module, attribute, None)
    if made is None:
        raise Refusal(f"module {module_name} has no {attribute!r}")
    if not callable(made):
        raise Refusal(f"{attribute!r} of {module_name} is not callable")
    return made  # type: ignore[no-any-return]  # callable() narrows Any to nothing better
