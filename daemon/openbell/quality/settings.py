"""Settings of the gate; light, because the control plane imports them."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from openbell.sdk.settings import PluginSettings
from openbell.sdk.values import Severity


class GateRule(PluginSettings):
    """One rule of a gate, in its long form."""

    name: str = Field(description="the rule")
    severity: Severity | None = Field(
        default=None, description="what its findings ask for; the gate's own by default"
    )
    params: dict[str, Any] = Field(default_factory=dict, description="the rule's parameters")


class GateSettings(PluginSettings):
    """`op: gate`."""

    rules: tuple[GateRule, ...] = Field(min_length=1, description="the rules, in order")
    severity: Severity = Field(
        default=Severity.FAIL, description="what findings ask for unless the rule says otherwise"
    )
