"""Gates and verdicts: what the rules found, and what follows (data plane)."""

from __future__ import annotations

from collections.abc import Sequence

from openbell.quality.settings import GateSettings
from openbell.sdk.hooks import OperatorSpec, hookimpl

OPENBELL_API = "1.0"


@hookimpl
def openbell_register_operators() -> Sequence[OperatorSpec]:
    """Register the gate."""
    return (
        OperatorSpec(
            name="gate",
            settings_model=GateSettings,
            factory="openbell.quality.gate:GateOperator",
            role="transform",
            outcomes=("pass", "warn", "quarantine", "fail"),
            summary="check rows by rules before anyone can read them",
        ),
    )
