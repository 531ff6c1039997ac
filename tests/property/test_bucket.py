"""Laws of the token bucket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbell.pacing.bucket import full

pytestmark = pytest.mark.property

RATES = st.floats(0.1, 6000)
STEPS = st.lists(st.tuples(st.floats(0, 100), st.integers(1, 5)), max_size=60)


@given(burst=st.integers(1, 50), rate=RATES, steps=STEPS)
def test_never_more_than_burst_and_rate_allow(
    burst: int, rate: float, steps: list[tuple[float, int]]
) -> None:
    bucket, now_s, taken = full(burst, rate, 0.0), 0.0, 0
    for idle_s, wanted in steps:
        now_s += idle_s
        now_s += bucket.wait_s(now_s, wanted)
        bucket = bucket.take(now_s, wanted)
        taken += wanted
        assert taken <= burst + now_s * rate / 60 + max(0, wanted - burst) + 1e-3


@given(burst=st.integers(1, 50), rate=RATES, wanted=st.integers(1, 100))
def test_waiting_as_long_as_told_is_enough(burst: int, rate: float, wanted: int) -> None:
    bucket = full(burst, rate, 0.0).take(0.0, burst)
    wait_s = bucket.wait_s(0.0, wanted)
    assert bucket.wait_s(wait_s + 1e-6, wanted) <= 1e-3


@given(burst=st.integers(1, 50), rate=RATES, back_s=st.floats(0, 1e6))
def test_time_that_goes_backwards_gives_nothing(burst: int, rate: float, back_s: float) -> None:
    bucket = full(burst, rate, 0.0).take(0.0, burst)
    assert bucket.at(-back_s).tokens <= 0
    assert bucket.at(-back_s).at_s == bucket.at_s


@given(burst=st.integers(1, 50), rate=RATES, cooldown_s=st.floats(0.001, 1e4))
def test_a_refusal_empties_the_bucket_and_rests(burst: int, rate: float, cooldown_s: float) -> None:
    bucket = full(burst, rate, 0.0).rest(0.0, cooldown_s)
    assert bucket.wait_s(0.0) >= cooldown_s
    assert bucket.rest(0.0, cooldown_s / 2).rest_until_s == cooldown_s
