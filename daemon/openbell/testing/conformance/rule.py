"""What every rule must do; the clauses are in `daemon/spec/rule.md`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from openbell.sdk.arrow import BatchView
from openbell.sdk.errors import SettingsError
from openbell.sdk.rules import Rule, RuleContext, RuleScope, RuleState
from openbell.sdk.schemas import BARS_OHLCV
from openbell.sdk.values import BarWidth, Finding, Interval, Severity
from openbell.testing.requests import START, weekday_sessions


def rule_context(
    *,
    severity: Severity = Severity.FAIL,
    symbols: Sequence[str] = ("AAPL",),
    interval: str = "1min",
) -> RuleContext:
    """Return what a rule may know: bars of `symbols` in the first hour of test data."""
    end = START + (timedelta(days=10) if BarWidth.parse(interval).is_daily else timedelta(hours=1))
    return RuleContext(
        schema=BARS_OHLCV,
        keys=BARS_OHLCV.keys,
        bar=BarWidth.parse(interval),
        span=Interval(START, end),
        sessions=weekday_sessions(START.date(), end.date()),
        symbols=tuple(symbols),
        severity=severity,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCase:
    """A rule with batches that it accepts and batches in which it finds something.

    `make` returns the rule with its parameters. `good` and `bad` are lists of batches such as
    `openbell.testing.batches` makes, some dozens of rows. `make_unknown_column` returns the rule for
    a column that no schema has; None where the rule takes no column.
    """

    make: Callable[[], Rule]
    scope: RuleScope
    good: Sequence[pa.RecordBatch]
    bad: Sequence[pa.RecordBatch]
    context: RuleContext = field(default_factory=rule_context)
    make_unknown_column: Callable[[], Rule] | None = None


class RuleConformance:
    """Subclass it as `TestYourRule` and override the fixture `rule_case`."""

    @pytest.fixture
    def rule_case(self) -> RuleCase:
        """Return the rule under test with its batches; override this."""
        raise NotImplementedError("override the fixture rule_case")

    def test_good_rows_pass(self, rule_case: RuleCase) -> None:
        """RULE-01."""
        state, mask = _observed(rule_case, rule_case.good)
        assert list(state.conclude()) == []
        assert not mask.any()

    def test_bad_rows_are_found(self, rule_case: RuleCase) -> None:
        """RULE-02."""
        state, _ = _observed(rule_case, rule_case.bad)
        assert state.conclude()

    def test_the_same_rows_give_the_same_answer(self, rule_case: RuleCase) -> None:
        """RULE-03."""
        one, one_mask = _observed(rule_case, rule_case.bad)
        other, other_mask = _observed(rule_case, rule_case.bad)
        assert list(one.conclude()) == list(other.conclude())
        assert one_mask.tolist() == other_mask.tolist()

    def test_states_share_nothing(self, rule_case: RuleCase) -> None:
        """RULE-04."""
        rule = rule_case.make()
        tainted = rule.begin(rule_case.context)
        clean = rule.begin(rule_case.context)
        for batch in rule_case.bad:
            tainted.observe(BatchView(batch))
        for batch in rule_case.good:
            clean.observe(BatchView(batch))
        assert list(clean.conclude()) == []

    def test_batches_stay_as_they_are(self, rule_case: RuleCase) -> None:
        """RULE-05."""
        before = [repr(batch.to_pylist()) for batch in rule_case.bad]
        _observed(rule_case, rule_case.bad)
        assert [repr(batch.to_pylist()) for batch in rule_case.bad] == before

    def test_masks_have_one_flag_a_row(self, rule_case: RuleCase) -> None:
        """RULE-06."""
        state = rule_case.make().begin(rule_case.context)
        for batch in rule_case.bad:
            mask = state.observe(BatchView(batch))
            if mask is not None:
                assert mask.dtype == np.bool_
                assert mask.shape == (batch.num_rows,)

    def test_a_rule_about_the_interval_marks_no_rows(self, rule_case: RuleCase) -> None:
        """RULE-07."""
        if rule_case.scope is not RuleScope.INTERVAL:
            pytest.skip("this rule is about rows")
        state = rule_case.make().begin(rule_case.context)
        assert all(state.observe(BatchView(batch)) is None for batch in rule_case.bad)

    def test_marked_rows_are_findings(self, rule_case: RuleCase) -> None:
        """RULE-08."""
        state, mask = _observed(rule_case, rule_case.bad)
        if rule_case.scope is RuleScope.ROW:
            assert mask.any(), "a rule about rows marks the bad ones"
        assert sum(finding.row_count for finding in state.conclude()) >= int(mask.sum())

    def test_findings_are_complete(self, rule_case: RuleCase) -> None:
        """RULE-09."""
        state, _ = _observed(rule_case, rule_case.bad)
        for finding in state.conclude():
            assert finding.rule
            assert finding.message
            assert finding.severity is rule_case.context.severity
            assert len(finding.examples) <= 10

    def test_concluding_twice_gives_the_same(self, rule_case: RuleCase) -> None:
        """RULE-10."""
        state, _ = _observed(rule_case, rule_case.bad)
        assert list(state.conclude()) == list(state.conclude())

    def test_one_can_go_on_after_concluding(self, rule_case: RuleCase) -> None:
        """RULE-11."""
        state = rule_case.make().begin(rule_case.context)
        for batch in rule_case.bad:
            state.observe(BatchView(batch))
            state.conclude()
        assert _counts(state) == _counts(_observed(rule_case, rule_case.bad)[0])

    def test_an_empty_batch_changes_nothing(self, rule_case: RuleCase) -> None:
        """RULE-12."""
        state = rule_case.make().begin(rule_case.context)
        for batch in rule_case.bad:
            mask = state.observe(BatchView(batch.slice(0, 0)))
            assert mask is None or len(mask) == 0
            state.observe(BatchView(batch))
        assert _counts(state) == _counts(_observed(rule_case, rule_case.bad)[0])

    @pytest.mark.parametrize("size", [1, 2, 3, 7])
    def test_batches_may_be_cut_anywhere(self, rule_case: RuleCase, size: int) -> None:
        """RULE-13."""
        whole, whole_mask = _observed(rule_case, rule_case.bad)
        parts, parts_mask = _observed(rule_case, _cut(rule_case.bad, size))
        assert _counts(parts) == _counts(whole)
        assert parts_mask.tolist() == whole_mask.tolist()

    def test_merged_states_know_what_one_state_would(self, rule_case: RuleCase) -> None:
        """RULE-14."""
        pieces = _cut([*rule_case.good, *rule_case.bad], 2)
        whole, _ = _observed(rule_case, pieces)
        for at in range(len(pieces) + 1):
            earlier, _ = _observed(rule_case, pieces[:at])
            later, _ = _observed(rule_case, pieces[at:])
            earlier.merge(later)
            assert _counts(earlier) == _counts(whole), f"merged at piece {at}"

    def test_merging_is_associative(self, rule_case: RuleCase) -> None:
        """RULE-15."""
        pieces = _cut(rule_case.bad, 2)
        third = max(1, len(pieces) // 3)
        parts = (pieces[:third], pieces[third : 2 * third], pieces[2 * third :])
        left, middle, right = (_observed(rule_case, part)[0] for part in parts)
        left.merge(middle)
        left.merge(right)
        first, second, last = (_observed(rule_case, part)[0] for part in parts)
        second.merge(last)
        first.merge(second)
        assert _counts(left) == _counts(first)

    def test_a_state_goes_on_after_a_merge(self, rule_case: RuleCase) -> None:
        """RULE-16."""
        pieces = _cut(rule_case.bad, 2)
        half = len(pieces) // 2
        state, _ = _observed(rule_case, pieces[:half])
        state.merge(rule_case.make().begin(rule_case.context))
        for piece in pieces[half:]:
            state.observe(BatchView(piece))
        assert _counts(state) == _counts(_observed(rule_case, rule_case.bad)[0])

    def test_nulls_do_not_break_it(self, rule_case: RuleCase) -> None:
        """RULE-17."""
        batch = _nulled(rule_case.good[0], rule_case.context)
        state, _ = _observed(rule_case, [batch])
        state.conclude()

    def test_a_state_that_saw_nothing_concludes(self, rule_case: RuleCase) -> None:
        """RULE-18."""
        state = rule_case.make().begin(rule_case.context)
        assert all(finding.row_count == 0 for finding in state.conclude())

    def test_an_unknown_column_is_a_settings_error(self, rule_case: RuleCase) -> None:
        """RULE-19."""
        if rule_case.make_unknown_column is None:
            pytest.skip("this rule takes no column")
        rule = rule_case.make_unknown_column()
        with pytest.raises(SettingsError):
            rule.begin(rule_case.context)


def _observed(case: RuleCase, batches: Sequence[pa.RecordBatch]) -> tuple[RuleState, Any]:
    """Return a state that saw `batches`, and the flags of all their rows."""
    state = case.make().begin(case.context)
    flags: list[Any] = [np.zeros(0, dtype=np.bool_)]
    for batch in batches:
        mask = state.observe(BatchView(batch))
        flags.append(np.zeros(batch.num_rows, dtype=np.bool_) if mask is None else mask.copy())
    return state, np.concatenate(flags)


def _cut(batches: Sequence[pa.RecordBatch], size: int) -> list[pa.RecordBatch]:
    return [b.slice(at, size) for b in batches for at in range(0, b.num_rows, size)]


def _counts(state: RuleState) -> list[tuple[object, ...]]:
    """Return what findings count; words and examples may differ with the way rows came in."""
    return sorted((_counted(finding) for finding in state.conclude()), key=repr)


def _counted(f: Finding) -> tuple[object, ...]:
    metric = None if f.metric is None else round(f.metric, 9)
    return (f.rule, f.severity.value, f.column, f.row_count, metric, f.threshold)


def _nulled(batch: pa.RecordBatch, context: RuleContext) -> pa.RecordBatch:
    """Return `batch` with nothing left but its keys."""
    arrays = [
        column if name in context.keys else pa.nulls(batch.num_rows, column.type)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    fields = [pa.field(f.name, f.type) for f in batch.schema]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
