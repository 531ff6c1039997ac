"""The core data quality rules."""

from __future__ import annotations

from collections.abc import Sequence

from openbell.sdk.hooks import RuleSpec, hookimpl
from openbell.sdk.rules import RuleScope
from openbell.sdk.settings import PluginSettings
from openbell_rules_core import settings

OPENBELL_API = "1.0"


def _spec(
    name: str,
    factory: str,
    model: type[PluginSettings],
    *,
    summary: str,
    scope: RuleScope = RuleScope.ROW,
) -> RuleSpec:
    return RuleSpec(
        name=name,
        settings_model=model,
        factory=f"openbell_rules_core.{factory}",
        scope=scope,
        summary=summary,
    )


@hookimpl
def openbell_register_rules() -> Sequence[RuleSpec]:
    """Return the rules, each with its parameters and what it must see."""
    return [*_about_rows(), *_about_the_interval()]


def _about_rows() -> Sequence[RuleSpec]:
    return [
        _spec(
            "not_null",
            "values:NotNull",
            settings.NotNullSettings,
            summary="columns have a value in every row",
        ),
        _spec(
            "range",
            "values:Range",
            settings.RangeSettings,
            summary="a number lies between two limits",
        ),
        _spec(
            "positive",
            "values:Positive",
            settings.PositiveSettings,
            summary="numbers are above zero and finite",
        ),
        _spec(
            "ohlc",
            "values:Ohlc",
            settings.OhlcSettings,
            summary="low <= open, close <= high",
        ),
        _spec(
            "regex",
            "texts:Regex",
            settings.RegexSettings,
            summary="a text matches a pattern as a whole",
        ),
        _spec(
            "set",
            "texts:OneOf",
            settings.SetSettings,
            summary="a value is one of a list",
        ),
        _spec(
            "monotonic_time",
            "monotonic:MonotonicTime",
            settings.MonotonicTimeSettings,
            summary="the rows of a series come in order of time",
        ),
        _spec(
            "unique_key",
            "unique:UniqueKey",
            settings.UniqueKeySettings,
            summary="no two rows have the same key",
        ),
    ]


def _about_the_interval() -> Sequence[RuleSpec]:
    interval = RuleScope.INTERVAL
    return [
        _spec(
            "row_count",
            "counts:RowCount",
            settings.RowCountSettings,
            scope=interval,
            summary="the number of rows lies between two limits",
        ),
        _spec(
            "null_share",
            "counts:NullShare",
            settings.NullShareSettings,
            scope=interval,
            summary="the share of missing values stays under limits",
        ),
        _spec(
            "complete_session",
            "completeness:CompleteSession",
            settings.CompleteSessionSettings,
            scope=interval,
            summary="every session has the bars it should have, for each symbol",
        ),
    ]
