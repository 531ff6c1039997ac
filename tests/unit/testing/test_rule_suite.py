"""The suite of rules, tried on two small rules that keep its laws and on rules that break them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pytest
from typing_extensions import override

from openbell.sdk import Finding, RuleContext, RuleScope
from openbell.sdk.arrow import BatchView
from openbell.testing import RuleCase, RuleConformance, bars

pytestmark = pytest.mark.unit


class Positive:
    """Closes above zero: a rule about rows, written as plainly as can be."""

    def begin(self, context: RuleContext) -> PositiveState:
        return PositiveState(context)


class PositiveState:
    def __init__(self, context: RuleContext) -> None:
        self.context = context
        self.bad = 0

    def observe(self, view: BatchView) -> npt.NDArray[np.bool_] | None:
        mask: npt.NDArray[np.bool_] = view.values("close") <= 0
        self.bad += int(mask.sum())
        return mask

    def merge(self, later: Self) -> None:
        self.bad += later.bad

    def conclude(self) -> Sequence[Finding]:
        if not self.bad:
            return ()
        return (
            Finding(
                rule="positive",
                severity=self.context.severity,
                message=f"{self.bad} closes are not positive",
                row_count=self.bad,
            ),
        )


class FewRows:
    """At least 10 rows: a rule about the interval."""

    def begin(self, context: RuleContext) -> FewRowsState:
        return FewRowsState(context)


class FewRowsState(PositiveState):
    @override
    def observe(self, view: BatchView) -> None:
        self.bad += view.row_count

    @override
    def conclude(self) -> Sequence[Finding]:
        if self.bad >= 10:
            return ()
        return (Finding(rule="few", severity=self.context.severity, message="too few rows"),)


class TestRuleAboutRows(RuleConformance):
    @pytest.fixture
    @override
    def rule_case(self) -> RuleCase:
        return positive_case(Positive)


class TestRuleAboutTheInterval(RuleConformance):
    @pytest.fixture
    @override
    def rule_case(self) -> RuleCase:
        return RuleCase(
            make=FewRows, scope=RuleScope.INTERVAL, good=[bars(count=12)], bad=[bars(count=4)]
        )


def positive_case(make: Callable[[], Any]) -> RuleCase:
    closes = [1.0, -1.0, 2.0, 0.0, 3.0]
    return RuleCase(
        make=make, scope=RuleScope.ROW, good=[bars()], bad=[bars(close=closes), bars(close=closes)]
    )


def broken(state: type[PositiveState]) -> Callable[[], Any]:
    """Return what makes a rule like Positive with these states."""

    class Broken:
        def begin(self, context: RuleContext) -> PositiveState:
            return state(context)

    return Broken


class ForgetsOnMerge(PositiveState):
    @override
    def merge(self, later: Self) -> None:
        pass


class Blind(PositiveState):
    @override
    def observe(self, view: BatchView) -> npt.NDArray[np.bool_] | None:
        return None


class LargeBatchesOnly(PositiveState):
    @override
    def observe(self, view: BatchView) -> npt.NDArray[np.bool_] | None:
        return super().observe(view) if view.row_count >= 5 else None


class OneFlag(PositiveState):
    @override
    def observe(self, view: BatchView) -> npt.NDArray[np.bool_] | None:
        return np.ones(1, dtype=np.bool_)


class CountsUp(PositiveState):
    @override
    def conclude(self) -> Sequence[Finding]:
        self.bad += 1
        return super().conclude()


class Shared(PositiveState):
    count: ClassVar[int] = 0

    @override
    def observe(self, view: BatchView) -> npt.NDArray[np.bool_] | None:
        mask = super().observe(view)
        Shared.count = self.bad = max(self.bad, Shared.count)
        return mask


@pytest.mark.parametrize(
    ("state", "case"),
    [
        (ForgetsOnMerge, "test_merged_states_know_what_one_state_would"),
        (Blind, "test_bad_rows_are_found"),
        (LargeBatchesOnly, "test_batches_may_be_cut_anywhere"),
        (OneFlag, "test_masks_have_one_flag_a_row"),
        (CountsUp, "test_concluding_twice_gives_the_same"),
        (Shared, "test_states_share_nothing"),
    ],
)
def test_the_suite_catches_a_broken_rule(state: type[PositiveState], case: str) -> None:
    suite: Any = RuleConformance()
    arguments = (2,) if "cut" in case else ()
    with pytest.raises(AssertionError):
        getattr(suite, case)(positive_case(broken(state)), *arguments)
