"""What plugin settings are made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class PluginSettings(BaseModel):
    """Base of every plugin's settings model.

    Frozen, and an unknown key is an error. Secrets are `pydantic.SecretStr`. Importing the module
    that defines the model must stay light: the control plane imports it, the implementation not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class NoSettings(PluginSettings):
    """Settings of a plugin that has none."""
