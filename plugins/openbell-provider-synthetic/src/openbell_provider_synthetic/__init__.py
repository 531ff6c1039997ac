"""Deterministic synthetic bars with faults to inject."""

from __future__ import annotations

from collections.abc import Sequence

from openbell.sdk.hooks import ProviderSpec, hookimpl
from openbell_provider_synthetic.settings import SyntheticSettings

OPENBELL_API = "1.0"


@hookimpl
def openbell_register_providers() -> Sequence[ProviderSpec]:
    """Return the one provider type of this plugin."""
    return [
        ProviderSpec(
            name="synthetic",
            settings_model=SyntheticSettings,
            factory="openbell_provider_synthetic.provider:SyntheticProvider",
            summary="deterministic bars from a seed, with faults to inject",
        )
    ]
