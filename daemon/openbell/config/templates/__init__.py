"""Pipelines with parameters for common patterns, registered like anybody's."""

from __future__ import annotations

from collections.abc import Sequence

from openbell.sdk.hooks import TemplateSpec, hookimpl

OPENBELL_API = "1.0"


@hookimpl
def openbell_register_templates() -> Sequence[TemplateSpec]:
    """Register the four that openbell brings."""
    return tuple(
        TemplateSpec(name=name, resource=f"openbell.config.templates:{name}.yaml", summary=summary)
        for name, summary in (
            ("market_data_daily", "one dataset after every session: fetch, check, publish or hold"),
            ("market_data_intraday", "one dataset again and again while its market is open"),
            ("ml_training", "wait for data, make features, train, evaluate, publish if good"),
            ("reconcile", "fetch a closed session again and put what changed right"),
        )
    )
