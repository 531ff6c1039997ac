"""The settings of provider type `synthetic`; light, the control plane imports it."""

from __future__ import annotations

from decimal import Decimal

from openbell.sdk.settings import PluginSettings
from pydantic import Field


class SyntheticSettings(PluginSettings):
    """What the bars look like. The same settings give the same bars everywhere."""

    seed: int = Field(default=42, ge=0, lt=2**63, description="everything is derived from it")
    tick_size: Decimal = Field(
        default=Decimal("0.01"), gt=0, le=1000, description="prices are multiples of it"
    )
    price: Decimal | None = Field(
        default=None,
        gt=0,
        le=10**9,
        description="price around which every symbol walks; unset: drawn for each symbol, 20 to 500",
    )
    volatility_bp: float = Field(
        default=5.0, ge=0, le=1000, description="typical move of a one-minute bar, basis points"
    )
    lot_size: int = Field(default=100, ge=1, le=10**6, description="volumes are multiples of it")
