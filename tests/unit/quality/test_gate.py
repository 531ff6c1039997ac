"""The gate: every row is judged before anyone can read it, and no row is lost on the way."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openbell.quality.gate import GateOperator
from openbell.quality.settings import GateRule, GateSettings
from openbell.quality.verdict import judge, verdict_of
from openbell.sdk import (
    BoundRule,
    Chunk,
    DataError,
    Emission,
    Finding,
    PluginError,
    RuleContext,
    RuleScope,
    Severity,
    Verdict,
)
from openbell.sdk.arrow import BatchView
from openbell.testing.batches import bars
from openbell.testing.fake_context import FakeNodeContext

pytestmark = pytest.mark.unit

SETTINGS = GateSettings(rules=(GateRule(name="x"),))


@dataclass
class Above:
    """Rows whose close is above `limit` are bad; `error` is raised instead if set."""

    limit: float
    error: Exception | None = None
    is_late: bool = False

    def begin(self, context: RuleContext) -> Above:
        self.severity = context.severity
        self.seen = 0
        self.bad = 0
        return self

    def observe(self, view: BatchView) -> Any:
        if self.error is not None and not self.is_late:
            raise self.error
        mask = view.values("close") > self.limit
        self.seen += len(mask)
        self.bad += int(mask.sum())
        return mask

    def merge(self, later: Above) -> None:
        raise NotImplementedError

    def conclude(self) -> Sequence[Finding]:
        if self.error is not None:
            raise self.error
        if not self.bad:
            return ()
        return (Finding(rule="above", severity=self.severity, message="too high"),)


class AtLeast(Above):
    """Scope interval: fewer than `limit` rows in all is a finding."""

    def observe(self, view: BatchView) -> Any:
        self.seen += view.row_count

    def conclude(self) -> Sequence[Finding]:
        if self.seen >= self.limit:
            return ()
        return (Finding(rule="at_least", severity=self.severity, message="too few"),)


def bound(rule: Above, severity: Severity, scope: RuleScope = RuleScope.ROW) -> BoundRule:
    return BoundRule(name=type(rule).__name__.lower(), rule=rule, scope=scope, severity=severity)


def chunk(*closes: float, number: int = 0) -> Chunk:
    return Chunk(batch=bars(count=len(closes), close=closes), number=number, cursor=str(number))


def gate(context: FakeNodeContext) -> GateOperator:
    operator = GateOperator(SETTINGS)
    operator.open(context)
    return operator


def judge_all(operator: GateOperator) -> None:
    list(operator.process(chunk(1)))
    list(operator.finish())


def passed(emission: Emission) -> tuple[str, list[float], list[bool] | None]:
    bad = emission.chunk.bad
    closes = emission.chunk.batch.column("close").to_pylist()
    return emission.outcome, closes, None if bad is None else bad.tolist()


def test_good_rows_pass_as_they_come() -> None:
    operator = gate(FakeNodeContext(bound_rules=[bound(Above(10), Severity.FAIL)]))
    assert [passed(e) for e in operator.process(chunk(1, 2))] == [("pass", [1, 2], None)]
    assert not operator.is_holding()
    assert list(operator.finish()) == []
    assert operator.outcome().outcome == "pass"
    assert (operator.outcome().rows_in, operator.outcome().rows_out) == (2, 2)


def test_quarantine_marks_the_bad_rows_and_counts_the_good_ones() -> None:
    context = FakeNodeContext(bound_rules=[bound(Above(10), Severity.QUARANTINE)])
    operator = gate(context)
    (emission,) = operator.process(chunk(1, 11, 2))
    assert passed(emission) == ("quarantine", [1, 11, 2], [False, True, False])
    assert emission.chunk.bad_by["above"].tolist() == [False, True, False]
    assert operator.outcome().rows_out == 2
    (reported,) = context.reports
    assert (reported[0], reported[1]) == (0, "quarantine")
    assert reported[2][0].row_count == 1
    assert "11" in reported[2][0].examples[0]


def test_fail_refuses_the_whole_chunk() -> None:
    operator = gate(FakeNodeContext(bound_rules=[bound(Above(10), Severity.FAIL)]))
    (emission,) = operator.process(chunk(1, 11))
    assert passed(emission) == ("fail", [1, 11], None)
    assert emission.chunk.bad_by["above"].tolist() == [False, True]
    assert operator.outcome().rows_out == 0


def test_warn_publishes_everything_and_says_so() -> None:
    context = FakeNodeContext(bound_rules=[bound(Above(10), Severity.WARN)])
    operator = gate(context)
    assert [passed(e) for e in operator.process(chunk(11))] == [("warn", [11], None)]
    assert context.reports[0][1] == "warn"


def test_rows_that_two_rules_refuse_are_bad_once_and_name_both() -> None:
    rules = [bound(Above(10), Severity.QUARANTINE), bound(Above(5), Severity.QUARANTINE)]
    operator = gate(FakeNodeContext(bound_rules=rules))
    (emission,) = operator.process(chunk(1, 7, 11))
    assert passed(emission) == ("quarantine", [1, 7, 11], [False, True, True])
    assert list(emission.chunk.bad_by) == ["above"]
    assert emission.chunk.bad_by["above"].tolist() == [False, True, True]


def test_the_verdict_of_a_node_is_the_worst_of_its_chunks() -> None:
    operator = gate(FakeNodeContext(bound_rules=[bound(Above(10), Severity.QUARANTINE)]))
    for closes in ((1.0,), (11.0,), (2.0,)):
        list(operator.process(chunk(*closes)))
    list(operator.finish())
    assert operator.outcome().outcome == "quarantine"
    assert [f.message for f in operator.outcome().findings] == ["too high"]


@pytest.mark.parametrize(("least", "outcome"), [(3, "pass"), (4, "fail")])
def test_an_interval_rule_holds_every_chunk_until_the_end(
    tmp_path: Path, least: int, outcome: str
) -> None:
    rules = [bound(AtLeast(least), Severity.FAIL, RuleScope.INTERVAL)]
    context = FakeNodeContext(bound_rules=rules, spool_directory=tmp_path)
    operator = gate(context)
    assert operator.is_holding()
    assert list(operator.process(chunk(1, 2, number=0))) == []
    assert list(operator.process(chunk(3, number=1))) == []
    emissions = list(operator.finish())
    assert [passed(e) for e in emissions] == [(outcome, [1, 2], None), (outcome, [3], None)]
    assert [e.chunk.number for e in emissions] == [0, 1]
    assert operator.outcome().outcome == outcome
    operator.close()


def test_held_chunks_without_bad_rows_pass_beside_one_that_has_some(tmp_path: Path) -> None:
    rules = [
        bound(Above(10), Severity.QUARANTINE),
        bound(AtLeast(1), Severity.FAIL, RuleScope.INTERVAL),
    ]
    operator = gate(FakeNodeContext(bound_rules=rules, spool_directory=tmp_path))
    for number, close in enumerate((1.0, 11.0)):
        list(operator.process(chunk(close, number=number)))
    assert [passed(e) for e in operator.finish()] == [
        ("pass", [1], None),
        ("quarantine", [11], [True]),
    ]


def test_holding_nothing_emits_nothing_and_still_answers(tmp_path: Path) -> None:
    rules = [bound(AtLeast(1), Severity.FAIL, RuleScope.INTERVAL)]
    context = FakeNodeContext(bound_rules=rules, spool_directory=tmp_path)
    operator = gate(context)
    assert list(operator.finish()) == []
    assert operator.outcome().outcome == "fail"
    assert context.reports[0][1] == "fail"


def test_closing_early_releases_the_scratch_file(tmp_path: Path) -> None:
    rules = [bound(AtLeast(1), Severity.FAIL, RuleScope.INTERVAL)]
    operator = gate(FakeNodeContext(bound_rules=rules, spool_directory=tmp_path))
    list(operator.process(chunk(1)))
    operator.close()
    operator.close()
    unspooled = gate(FakeNodeContext(bound_rules=[bound(Above(1), Severity.WARN)]))
    unspooled.close()


@pytest.mark.parametrize("is_late", [False, True])
def test_a_rules_bug_names_the_rule(is_late: bool) -> None:
    rule = Above(10, error=ValueError("oops"), is_late=is_late)
    operator = gate(FakeNodeContext(bound_rules=[bound(rule, Severity.FAIL)]))
    with pytest.raises(PluginError, match=r"rule 'above'.*oops"):
        judge_all(operator)


@pytest.mark.parametrize("is_late", [False, True])
def test_a_rules_own_error_travels_on(is_late: bool) -> None:
    rule = Above(10, error=DataError("no such column"), is_late=is_late)
    operator = gate(FakeNodeContext(bound_rules=[bound(rule, Severity.FAIL)]))
    with pytest.raises(DataError, match="no such column"):
        judge_all(operator)


def test_findings_ask_for_verdicts() -> None:
    assert judge([]) is Verdict.PASS
    assert [verdict_of(severity) for severity in Severity] == [
        Verdict.WARN,
        Verdict.QUARANTINE,
        Verdict.FAIL,
    ]
    found = [Finding(rule="r", severity=s, message="") for s in (Severity.WARN, Severity.FAIL)]
    assert judge(found) is Verdict.FAIL


def test_masks_of_no_bad_row_change_nothing() -> None:
    operator = gate(FakeNodeContext(bound_rules=[bound(Above(10), Severity.QUARANTINE)]))
    (emission,) = operator.process(chunk())
    assert emission.outcome == "pass"


class Careless(Above):
    """Gives `mask`, whatever it looks at, and findings that are none."""

    mask: Any = None

    def observe(self, view: BatchView) -> Any:
        return self.mask

    def conclude(self) -> Any:
        return [1]


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        ({1}, "observe() gave a value of type set, not ndarray"),
        (np.zeros(2, dtype=bool), "observe() gave bool values of shape (2,) for 3 rows"),
        (np.zeros(3), "observe() gave float64 values of shape (3,) for 3 rows, not one boolean"),
    ],
)
def test_what_is_not_one_boolean_a_row_is_the_rules_fault(mask: Any, words: str) -> None:
    rule = Careless(1)
    rule.mask = mask
    operator = gate(FakeNodeContext(bound_rules=[bound(rule, Severity.FAIL)]))
    with pytest.raises(PluginError, match=re.escape(words)):
        list(operator.process(chunk(1, 2, 3)))
    with pytest.raises(PluginError, match=re.escape("conclude() gave a value of type int")):
        list(operator.finish())
