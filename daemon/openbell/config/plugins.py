"""What the configuration needs to know of the installed plugins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from openbell.sdk.hooks import BackendSpec, OperatorSpec, ProviderSpec, RuleSpec, TemplateSpec


class RefusedPlugin(Protocol):
    """A plugin that is installed and could not be loaded."""

    @property
    def name(self) -> str:
        """Its entry point."""
        ...

    @property
    def distribution(self) -> str:
        """The package that brings it."""
        ...

    @property
    def reason(self) -> str:
        """Why it was refused."""
        ...


class Registry(Protocol):
    """Every spec by name; what `openbell.plugin_host` offers."""

    @property
    def providers(self) -> Mapping[str, ProviderSpec]:
        """Provider types."""
        ...

    @property
    def rules(self) -> Mapping[str, RuleSpec]:
        """Rules."""
        ...

    @property
    def backends(self) -> Mapping[str, BackendSpec]:
        """Backend types."""
        ...

    @property
    def operators(self) -> Mapping[str, OperatorSpec]:
        """Operators."""
        ...

    @property
    def templates(self) -> Mapping[str, TemplateSpec]:
        """Templates of pipelines."""
        ...

    @property
    def refused(self) -> Sequence[RefusedPlugin]:
        """Plugins that could not be loaded."""
        ...


_PACKAGE_WORDS = {
    "provider type": "provider",
    "backend": "storage",
    "rule": "rules",
    "operator": "operator",
    "template": "templates",
}


def refusal_of(registry: Registry, kind: str, name: str) -> str:
    """Return why `name` is not there if a plugin that was refused may have brought it, else "".

    Plugin packages are called `openbell-<kind>-<name>`: one of the kind in question, or one that
    carries the name itself, may.
    """
    wanted = {_PACKAGE_WORDS[kind], name.replace("_", "-").lower()}
    for plugin in registry.refused:
        words = f"{plugin.name}-{plugin.distribution}".replace("_", "-").lower()
        if any(f"-{word}-" in f"-{words}-" for word in wanted):
            title = plugin.distribution or plugin.name
            return f"{kind} {name!r} is not there; plugin {title} was refused: {plugin.reason}"
    return ""
