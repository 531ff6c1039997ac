"""The parameters of the rules; light, the control plane imports it."""

from __future__ import annotations

import math
import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from openbell.sdk.settings import PluginSettings

Names = Annotated[tuple[str, ...], Field(min_length=1)]


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return pattern


def _is_number(value: float) -> float:
    if math.isnan(value):
        raise ValueError("must be a number, not NaN")
    return value


Limit = Annotated[float, AfterValidator(_is_number)]
Share = Annotated[float, Field(ge=0, le=1)]


class NotNullSettings(PluginSettings):
    """Parameters of `not_null`."""

    columns: Names | None = Field(default=None, description="unset: every column that must be set")


class RangeSettings(PluginSettings):
    """Parameters of `range`. Both limits are allowed values."""

    column: str
    min: Limit | None = None
    max: Limit | None = None

    @model_validator(mode="after")
    def _has_limits(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self


class PositiveSettings(PluginSettings):
    """Parameters of `positive`."""

    columns: Names


class UniqueKeySettings(PluginSettings):
    """Parameters of `unique_key`."""

    columns: Names | None = Field(default=None, description="unset: the dataset's keys")
    memory_mb: int = Field(default=256, ge=1, description="how much it may remember")


class MonotonicTimeSettings(PluginSettings):
    """Parameters of `monotonic_time`."""

    strict: bool = Field(default=True, description="whether equal times are wrong as well")


class OhlcSettings(PluginSettings):
    """Parameters of `ohlc`."""

    open: str = "open"
    high: str = "high"
    low: str = "low"
    close: str = "close"
    tolerance: float = Field(
        default=0.0, ge=0, lt=1, description="share of the price that rounding may take away"
    )


class RegexSettings(PluginSettings):
    """Parameters of `regex`."""

    column: str
    pattern: Annotated[str, AfterValidator(_compiles)]


class SetSettings(PluginSettings):
    """Parameters of `set`."""

    column: str
    values: Annotated[tuple[str | bool | int | float, ...], Field(min_length=1)]


class RowCountSettings(PluginSettings):
    """Parameters of `row_count`. Both limits are allowed counts."""

    min: int = Field(default=1, ge=0)
    max: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class NullShareSettings(PluginSettings):
    """Parameters of `null_share`. A share equal to a limit is allowed."""

    column: str
    warn: Share | None = None
    fail: Share | None = None

    @model_validator(mode="after")
    def _has_limits(self) -> Self:
        if self.warn is None and self.fail is None:
            raise ValueError("give warn, fail or both")
        if self.warn is not None and self.fail is not None and self.warn > self.fail:
            raise ValueError(f"warn {self.warn:g} is above fail {self.fail:g}")
        return self


class CompleteSessionSettings(PluginSettings):
    """Parameters of `complete_session`."""

    min_ratio: float = Field(
        default=1.0, gt=0, le=1, description="share of a session's bars that must be there"
    )
