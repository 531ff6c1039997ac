"""A batch seen as numpy arrays: each made once, nulls told apart from values."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from openbell.sdk.arrow import BatchView

pytestmark = pytest.mark.unit


def _view(**columns: pa.Array) -> BatchView:
    return BatchView(pa.RecordBatch.from_pydict(columns))


def test_bounds_are_the_smallest_and_the_largest_value() -> None:
    view = _view(
        floats=pa.array([2.0, -1.0, 3.0]), integers=pa.array([2**53 + 1, 5]).take([0, 1, 1])
    )
    assert view.bounds("floats") == (-1.0, 3.0)
    assert view.bounds("integers") == (5, 2**53 + 1)
    assert view.bounds("floats") is view.bounds("floats")


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [1.0, None], [None, None]])
def test_bounds_are_nan_without_rows_and_when_a_float_is_missing(
    values: list[float | None],
) -> None:
    bounds = _view(x=pa.array(values, pa.float64())).bounds("x")
    assert all(math.isnan(bound) for bound in bounds)


def test_a_product_is_made_once_for_each_key() -> None:
    view = _view(x=pa.array([1.0]))
    made: list[str] = []

    def make(seen: BatchView) -> int:
        made.append("once")
        return seen.row_count

    assert [view.product("rows", make), view.product("rows", make)] == [1, 1]
    assert made == ["once"]
    assert view.product(("rows", "again"), make) == 1
    assert len(made) == 2


def test_nulls_have_code_minus_one_and_a_value_that_no_rule_trusts() -> None:
    view = _view(
        text=pa.array(["a", None, "a"]),
        number=pa.array([1, None, 3]),
        instant=pa.array([1, None, 3], pa.timestamp("ms", tz="UTC")),
    )
    codes, dictionary = view.codes("text")
    assert (codes.tolist(), dictionary.to_pylist()) == ([0, -1, 0], ["a"])
    assert view.values("number").tolist() == [1, 0, 3]
    assert view.values("instant").tolist() == [1000, 0, 3000]
    valid = view.valid("number")
    assert valid is not None
    assert np.array_equal(valid, [True, False, True])
    assert view.has("text")
    assert not view.has("other")
