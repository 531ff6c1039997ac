"""The gate keeps the contract of operators, with rules of either scope."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from openbell.plugin_host import load_plugins
from openbell.quality.gate import GateOperator
from openbell.quality.settings import GateRule, GateSettings
from openbell.sdk import BoundRule, Severity
from openbell.testing import FakeNodeContext, OperatorCase, OperatorConformance, bars, chunks

pytestmark = pytest.mark.integration

OUTCOMES = ("pass", "warn", "quarantine", "fail")


def bound(name: str, severity: Severity = Severity.FAIL, **params: Any) -> BoundRule:
    registry = load_plugins()
    spec = registry.rules[name]
    rule = registry.resolve(spec.factory)(spec.settings_model(**params))
    return BoundRule(name=name, rule=rule, scope=spec.scope, severity=severity)


def gate(*rules: BoundRule, spool: Path) -> OperatorCase:
    settings = GateSettings(rules=tuple(GateRule(name=rule.name) for rule in rules))
    return OperatorCase(
        make=lambda: GateOperator(settings),
        context=FakeNodeContext(bound_rules=rules, spool_directory=spool),
        outcomes=OUTCOMES,
    )


class TestGateOverRows(OperatorConformance):
    @pytest.fixture
    @override
    def operator_case(self, tmp_path: Path) -> OperatorCase:
        return gate(bound("ohlc"), spool=tmp_path)


class TestGateOverTheInterval(OperatorConformance):
    @pytest.fixture
    @override
    def operator_case(self, tmp_path: Path) -> OperatorCase:
        return gate(bound("ohlc"), bound("row_count", min=1), spool=tmp_path)


class TestGateThatFindsSomething(OperatorConformance):
    @pytest.fixture
    @override
    def operator_case(self, tmp_path: Path) -> OperatorCase:
        broken = bars(count=5, low=[1.0, 1.0, 900.0, 1.0, 1.0])
        first, *rest = chunks()
        case = gate(bound("ohlc", Severity.QUARANTINE), spool=tmp_path)
        return replace(case, input=(replace(first, batch=broken), *rest))
