"""A registry as the plugin host would make it, without an installed plugin behind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr

from openbell.sdk.hooks import BackendSpec, OperatorSpec, ProviderSpec, RuleSpec, TemplateSpec
from openbell.sdk.rules import RuleScope
from openbell.sdk.settings import NoSettings, PluginSettings
from openbell.sdk.values import Severity

FACTORY = "nowhere:Nothing"


class MadeUp(PluginSettings):
    seed: int = 42
    tokens: tuple[SecretStr, ...] = ()


class Vendor(PluginSettings):
    api_key: SecretStr
    account: UUID | None = None
    headers: dict[str, SecretStr] = Field(default_factory=dict)


class Files(PluginSettings):
    root: Path = Path("data")


class LakeWrite(PluginSettings):
    batch_size: int = 1000


class Lake(PluginSettings):
    uri: str = "./lake"
    write: LakeWrite = LakeWrite()


def _somewhere(uri: str) -> str:
    if "://" not in uri:
        raise ValueError(f"{uri!r} is no place")
    return uri


class Warehouse(PluginSettings):
    uri: Annotated[str, AfterValidator(_somewhere)]
    password: SecretStr = SecretStr("")


class Columns(PluginSettings):
    columns: tuple[str, ...] | None = None


class Range(PluginSettings):
    column: str
    min: float | None = None
    max: float | None = None


class Share(PluginSettings):
    column: str
    warn: float | None = Field(default=None, ge=0, le=1)
    fail: float | None = Field(default=None, ge=0, le=1)


class Ingest(PluginSettings):
    dataset: str
    lookback_bars: int = 1


class GateRule(PluginSettings):
    name: str
    severity: Severity | None = None
    params: dict[str, Any] = Field(default_factory=dict)


class Gate(PluginSettings):
    rules: tuple[GateRule, ...] = Field(min_length=1)
    severity: Severity = Severity.FAIL


class Write(PluginSettings):
    to: str = "primary"
    dataset: str | None = None


class Command(PluginSettings):
    argv: tuple[str, ...]
    limit: int = 10


_RULES: dict[str, type[PluginSettings]] = {
    "ohlc": NoSettings,
    "not_null": Columns,
    "positive": Columns,
    "unique_key": NoSettings,
    "monotonic_time": NoSettings,
    "complete_session": NoSettings,
    "range": Range,
    "null_share": Share,
}
_VERDICTS = ("pass", "warn", "quarantine", "fail")


@dataclass(frozen=True)
class RefusedDouble:
    name: str
    distribution: str
    reason: str


def _operator(
    name: str, model: type[PluginSettings], role: Any, outcomes: tuple[str, ...] = ()
) -> OperatorSpec:
    return OperatorSpec(
        name=name, settings_model=model, factory=FACTORY, role=role, outcomes=outcomes
    )


@dataclass(frozen=True)
class RegistryDouble:
    providers: dict[str, ProviderSpec] = field(
        default_factory=lambda: {
            name: ProviderSpec(name=name, settings_model=model, factory=FACTORY)
            for name, model in (("synthetic", MadeUp), ("vendor", Vendor), ("files", Files))
        }
    )
    backends: dict[str, BackendSpec] = field(
        default_factory=lambda: {
            name: BackendSpec(name=name, settings_model=model, factory=FACTORY)
            for name, model in (("lake", Lake), ("warehouse", Warehouse))
        }
    )
    rules: dict[str, RuleSpec] = field(
        default_factory=lambda: {
            name: RuleSpec(name=name, settings_model=model, factory=FACTORY, scope=RuleScope.ROW)
            for name, model in _RULES.items()
        }
    )
    templates: dict[str, TemplateSpec] = field(default_factory=dict)
    operators: dict[str, OperatorSpec] = field(
        default_factory=lambda: {
            spec.name: spec
            for spec in (
                _operator("ingest", Ingest, "source"),
                _operator("gate", Gate, "transform", _VERDICTS),
                _operator("write", Write, "sink"),
                _operator("quarantine", NoSettings, "sink"),
                _operator("command", Command, "sink"),
            )
        }
    )
    refused: tuple[RefusedDouble, ...] = ()
