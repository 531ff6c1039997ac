"""pydantic-settings' reading of nested variables; a module of its own because it loads slowly."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource
from typing_extensions import override

from openbell.config.tree import Plain

_PREFIX = "openbell_"


class _Variables(BaseSettings):
    openbell: dict[str, Plain] = Field(default_factory=dict)


class _GivenVariables(EnvSettingsSource):
    """Reads the variables it is given, not the process's, and leaves every value as text."""

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__(_Variables, env_nested_delimiter="__")
        self.env_vars = {
            f"openbell__{name.lower().removeprefix(_PREFIX)}": text for name, text in env.items()
        }

    @override
    def decode_complex_value(self, field_name: str, field: FieldInfo | None, value: Plain) -> Plain:
        return value


def read(env: Mapping[str, str]) -> dict[str, Plain]:
    """Return the nested mapping that variables called `OPENBELL_SECTION__KEY` write."""
    found: dict[str, Plain] = _GivenVariables(env)().get("openbell", {})
    return found
