"""The kinds of things a plugin registers: which hook returns which specs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from openbell.sdk.hooks import (
    BackendSpec,
    OperatorSpec,
    ProviderSpec,
    RouteSpec,
    RuleSpec,
    SinkSpec,
    TemplateSpec,
)

Spec: TypeAlias = (
    ProviderSpec | RuleSpec | BackendSpec | SinkSpec | OperatorSpec | RouteSpec | TemplateSpec
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind: its name in messages, its hook, the type that the hook's specs have."""

    name: str
    hook: str
    spec_type: type[Spec]


KINDS = (
    Kind(name="provider", hook="openbell_register_providers", spec_type=ProviderSpec),
    Kind(name="rule", hook="openbell_register_rules", spec_type=RuleSpec),
    Kind(name="backend", hook="openbell_register_backends", spec_type=BackendSpec),
    Kind(name="sink", hook="openbell_register_sinks", spec_type=SinkSpec),
    Kind(name="operator", hook="openbell_register_operators", spec_type=OperatorSpec),
    Kind(name="route", hook="openbell_register_routes", spec_type=RouteSpec),
    Kind(name="template", hook="openbell_register_templates", spec_type=TemplateSpec),
)
