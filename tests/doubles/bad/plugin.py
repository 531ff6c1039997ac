"""The hooks of a package whose provider, rule and backend do wrong as their settings say."""

from __future__ import annotations

from collections.abc import Sequence

from openbell.sdk import BackendSpec, PluginSettings, ProviderSpec, RuleScope, RuleSpec, hookimpl


class BadSettings(PluginSettings):
    """What to do wrong, from the third page, batch or chunk on."""

    how: str = ""
    mark: str = ""


class BadStoreSettings(BadSettings):
    """The same for a place that stores nothing."""


@hookimpl
def openbell_register_providers() -> Sequence[ProviderSpec]:
    """Register `type: bad`."""
    factory = "doubles.bad.parts:BadProvider"
    return [ProviderSpec(name="bad", settings_model=BadSettings, factory=factory)]


@hookimpl
def openbell_register_rules() -> Sequence[RuleSpec]:
    """Register the rule `bad`."""
    factory = "doubles.bad.parts:BadRule"
    spec = RuleSpec(name="bad", settings_model=BadSettings, factory=factory, scope=RuleScope.ROW)
    return [spec]


@hookimpl
def openbell_register_backends() -> Sequence[BackendSpec]:
    """Register `type: bad`."""
    factory = "doubles.bad.parts:BadBackend"
    return [BackendSpec(name="bad", settings_model=BadStoreSettings, factory=factory)]
