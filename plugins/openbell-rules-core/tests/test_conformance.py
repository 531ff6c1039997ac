"""Every rule of this plugin against the suite of every rule."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from typing_extensions import override

from openbell.sdk.rules import RuleScope
from openbell.testing import RuleCase, RuleConformance, bars, rule_context
from openbell_rules_core import openbell_register_rules

pytestmark = pytest.mark.unit

GOOD = [bars(count=20), bars("MSFT", count=20)]
NAN, INF = float("nan"), float("inf")
TIMES = bars(count=20).column("ts").to_pylist()

# rule -> (parameters, bad batches, parameters that name an unknown column)
CASES: dict[str, tuple[dict[str, Any], list[Any], dict[str, Any] | None]] = {
    "not_null": (
        {"columns": ["close"]},
        [bars(count=20, close=[None, NAN] * 10)],
        {"columns": ["clsoe"]},
    ),
    "range": (
        {"column": "volume", "min": 0},
        [bars(count=20, volume=[-1.0, INF] * 10)],
        {"column": "volumes", "min": 0},
    ),
    "positive": (
        {"columns": ["close"]},
        [bars(count=20, close=[0.0, -1.0] * 10)],
        {"columns": ["clsoe"]},
    ),
    "ohlc": ({}, [bars(count=20, low=[1000.0] * 20)], {"low": "lwo"}),
    "regex": (
        {"column": "symbol", "pattern": "AAPL|MSFT"},
        [bars("a b", count=20)],
        {"column": "smybol", "pattern": "x"},
    ),
    "set": (
        {"column": "interval", "values": ["1min"]},
        [bars(count=20, interval="1h")],
        {"column": "intervall", "values": ["1min"]},
    ),
    "monotonic_time": ({}, [bars(count=20, ts=TIMES[::-1])], None),
    "unique_key": ({}, [bars(count=20), bars(count=20)], {"columns": ["smybol"]}),
    "row_count": ({"max": 40}, [bars(count=41)], None),
    "null_share": (
        {"column": "volume", "fail": 0.01},
        [bars(count=20, volume=[None, 1.0] * 10)],
        {"column": "volumes", "fail": 0.01},
    ),
    "complete_session": ({}, [bars(count=20)], None),
}


class TestCore(RuleConformance):
    """All of them."""

    @override
    @pytest.fixture(params=list(CASES))
    def rule_case(self, kit: Any, request: pytest.FixtureRequest) -> RuleCase:
        """Return a rule with batches that it accepts and others."""
        name: str = request.param
        params, bad, unknown = CASES[name]
        (spec,) = [s for s in openbell_register_rules() if s.name == name]
        good, context = GOOD, rule_context(symbols=("AAPL", "MSFT"))
        if name == "complete_session":
            good, context = [bars(count=60)], rule_context()
        return RuleCase(
            make=partial(kit.make, name, **params),
            scope=RuleScope(spec.scope),
            good=good,
            bad=bad,
            context=context,
            make_unknown_column=None if unknown is None else partial(kit.make, name, **unknown),
        )
