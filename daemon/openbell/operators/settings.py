"""Settings of the built-in operators; light, because the control plane imports them."""

from __future__ import annotations

from pydantic import Field

from openbell.sdk.settings import PluginSettings


class IngestSettings(PluginSettings):
    """`op: ingest`."""

    dataset: str = Field(description="the dataset to fetch")
    lookback_bars: int = Field(
        default=1, ge=0, le=10_000, description="live: how many bars back each poll asks again"
    )


class WriteSettings(PluginSettings):
    """`op: write`."""

    to: str = Field(default="primary", description="the storage to write to")
    dataset: str | None = Field(default=None, description="the table; the source's by default")


class QuarantineSettings(PluginSettings):
    """`op: quarantine`."""
