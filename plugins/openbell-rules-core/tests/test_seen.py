"""What `unique_key` remembers, and what it does when that is too much."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openbell.sdk.arrow import BatchView
from openbell_rules_core.seen import SeenKeys, Stretches

pytestmark = pytest.mark.unit

MINUTE = 60_000_000


def _keys(size: int, first: int = 0, number: int = 0) -> tuple[Any, Any]:
    numbers = np.full(size, number, dtype=np.int32)
    return numbers, (first + np.arange(size, dtype=np.int64)) * MINUTE


def test_bars_without_gaps_are_one_stretch() -> None:
    numbers, times = _keys(100_000)
    stretches = Stretches.of(numbers, times, MINUTE)
    assert len(stretches) == 1
    assert stretches.keys()[1].tolist() == times.tolist()
    assert len(stretches.followed_by(Stretches.of(*_keys(10, 100_000), MINUTE))) == 1
    assert len(stretches.followed_by(Stretches.of(*_keys(10, 100_001), MINUTE))) == 2
    assert len(Stretches.of(*_keys(0), MINUTE)) == 0
    assert Stretches.of(*_keys(0), MINUTE).keys()[0].tolist() == []


def test_a_difference_of_times_that_overflows_finds_nothing() -> None:
    stretches = Stretches.of(np.zeros(1, np.int32), np.array([-(2**63)]), MINUTE)
    assert stretches.contains((0, 1), np.array([2**63 - 1, -(2**63)])).tolist() == [False, True]


def test_a_stream_in_order_stays_small_and_what_comes_late_is_still_found() -> None:
    seen = SeenKeys(step_us=MINUTE, memory_bytes=1_000_000)
    for first in range(0, 500_000, 1000):
        numbers, times = _keys(1000, first)
        assert not seen.add(numbers, times).any()
    numbers, times = _keys(3, 499_998)
    assert seen.add(numbers, times).tolist() == [True, True, False]
    assert seen.add(*_keys(1000, 0)).all()
    assert seen.forgotten_count == 0


@pytest.mark.property
@given(
    batches=st.lists(
        st.sets(st.tuples(st.integers(0, 3), st.integers(-5, 40)), max_size=20), max_size=8
    ),
    step=st.integers(1, 4),
)
@settings(max_examples=100, deadline=None)
def test_it_knows_exactly_the_keys_it_was_given(
    batches: list[set[tuple[int, int]]], step: int
) -> None:
    seen, known = SeenKeys(step_us=step, memory_bytes=10**6), set()
    for batch in batches:
        keys = sorted(batch)
        numbers = np.array([n for n, _ in keys], dtype=np.int32)
        times = np.array([t for _, t in keys], dtype=np.int64)
        assert seen.add(numbers, times).tolist() == [key in known for key in keys]
        known |= batch


def test_at_its_bound_the_rule_says_how_many_rows_it_could_not_decide(kit: Any) -> None:
    rng = np.random.default_rng(3)
    minutes = np.cumsum(rng.integers(2, 9, 200_000))  # no two in a row: nothing to compress
    seen = SeenKeys(step_us=MINUTE, memory_bytes=1_000_000)
    numbers = np.zeros(1000, dtype=np.int32)
    for part in minutes.reshape(-1, 1000):
        assert not seen.add(numbers, part * MINUTE).any()
    assert seen.forgotten_count > 0
    late = minutes[-100:] * MINUTE
    assert seen.add(numbers[:100], late).all()
    assert seen.undecided_count == 0
    old = minutes[:100] * MINUTE
    assert not seen.add(numbers[:100], old).any()
    assert seen.undecided_count == 100


def test_undecided_rows_are_a_finding_of_their_own(kit: Any) -> None:
    rows = [kit.row(3 * n + n % 2) for n in range(70_000)]
    state = kit.make("unique_key", memory_mb=1).begin(kit.context)
    for at in range(0, len(rows), 7_000):
        assert state.observe(BatchView(kit.batch(rows[at : at + 7_000]))) is None
        assert state.observe(BatchView(kit.batch(rows[at + 6_999 : at + 7_000]))).tolist() == [True]
    assert state.observe(BatchView(kit.batch(rows[:5]))) is None
    repeated, undecided = state.conclude()
    assert repeated.row_count == 10
    assert undecided.row_count == 5
    assert "5 rows before 2026-" in undecided.message
    other = kit.make("unique_key", memory_mb=1).begin(kit.context)
    other.merge(state)
    assert other.conclude()[-1].row_count > 5


def test_merging_looks_up_what_was_kept_one_by_one(kit: Any) -> None:
    rule = kit.make("unique_key")
    _, left = kit.run(rule, [kit.batch([kit.row(5), kit.row(1)])])
    _, right = kit.run(rule, [kit.batch([kit.row(7), kit.row(1), kit.row(3)])])
    left.merge(right)
    (finding,) = left.conclude()
    assert finding.row_count == 1
    assert finding.examples == ()
