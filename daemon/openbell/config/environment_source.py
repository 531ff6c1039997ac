"""pydantic-settings' reading of nested variables; a module of its own because it loads slowly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import create_model
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource
from typing_extensions import override


class _GivenVariables(EnvSettingsSource):
    """Reads the variables it is given, not the process's, and leaves every value as text."""

    def __init__(self, settings: type[BaseSettings], env: Mapping[str, str]) -> None:
        super().__init__(settings, env_prefix="OPENBELL_", env_nested_delimiter="__")
        self.env_vars = {name.lower(): text for name, text in env.items()}

    @override
    def decode_complex_value(self, field_name: str, field: FieldInfo | None, value: Any) -> Any:
        return value


def read(env: Mapping[str, str]) -> dict[str, Any]:
    """Return the nested mapping that variables called `OPENBELL_SECTION__KEY` write."""
    sections = {name[len("OPENBELL_") :].split("__")[0].lower(): "__" in name for name in env}
    fields: dict[str, Any] = {
        section: (dict[str, Any] if is_nested else str, {} if is_nested else "")
        for section, is_nested in sections.items()
    }
    model = create_model("_Variables", __base__=BaseSettings, **fields)
    return dict(_GivenVariables(model, env)())
