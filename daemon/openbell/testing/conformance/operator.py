"""What every operator must do; the clauses are in `daemon/spec/operator.md`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import cast

import pytest

from openbell.sdk.arrow import chunk_schema
from openbell.sdk.backends import ReadFilter
from openbell.sdk.operators import Chunk, Emission, NodeContext, Operator, Source
from openbell.testing.batches import bars
from openbell.testing.fake_context import FakeNodeContext
from openbell.testing.requests import START


def chunks(count: int = 3, *, symbol: str = "AAPL") -> tuple[Chunk, ...]:
    """Return `count` chunks of five good bars each, one after the other in time."""
    day = bars(symbol, count=5 * count, start=START)
    return tuple(
        Chunk(batch=day.slice(5 * n, 5), number=n, cursor=f"cursor-{n}") for n in range(count)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCase:
    """An operator, the world it works in, and chunks to work on.

    `make` returns a new operator with the same settings. `context` holds the world (providers,
    backends, what is quarantined), which outlives an attempt. `outcomes` are those of its spec.
    A source makes its own chunks: at least two.
    """

    make: Callable[[], Operator]
    context: FakeNodeContext
    outcomes: tuple[str, ...] = ()
    is_source: bool = False
    input: Sequence[Chunk] = field(default_factory=chunks)


class OperatorConformance:
    """Subclass it as `TestYourOperator` and override the fixture `operator_case`."""

    @pytest.fixture
    def operator_case(self) -> OperatorCase:
        """Return the operator under test with its world; override this."""
        raise NotImplementedError("override the fixture operator_case")

    def test_it_ends_with_an_outcome_of_its_spec(self, operator_case: OperatorCase) -> None:
        """OPER-01."""
        with _opened(operator_case) as operator:
            _run(operator_case, operator)
            assert operator.outcome().outcome in {"success", *operator_case.outcomes}

    def test_it_emits_along_edges_of_its_spec(self, operator_case: OperatorCase) -> None:
        """OPER-02."""
        with _opened(operator_case) as operator:
            emitted = _run(operator_case, operator)
        assert {emission.outcome for emission in emitted} <= {"success", *operator_case.outcomes}

    def test_chunks_keep_their_number_and_cursor(self, operator_case: OperatorCase) -> None:
        """OPER-03."""
        if operator_case.is_source:
            pytest.skip("a source makes its chunks")
        known = {(chunk.number, chunk.cursor) for chunk in operator_case.input}
        with _opened(operator_case) as operator:
            emitted = _run(operator_case, operator)
        assert {(e.chunk.number, e.chunk.cursor) for e in emitted} <= known

    def test_batches_stay_as_they_are(self, operator_case: OperatorCase) -> None:
        """OPER-04."""
        before = [repr(chunk.batch.to_pylist()) for chunk in operator_case.input]
        with _opened(operator_case) as operator:
            _run(operator_case, operator)
        assert [repr(chunk.batch.to_pylist()) for chunk in operator_case.input] == before

    def test_its_numbers_add_up(self, operator_case: OperatorCase) -> None:
        """OPER-05."""
        with _opened(operator_case) as operator:
            _run(operator_case, operator)
            end = operator.outcome()
        counts = (end.rows_in, end.rows_out, end.rows_written, end.rows_unchanged)
        assert all(count >= 0 for count in (*counts, end.rows_quarantined, end.size_bytes))
        if not operator_case.is_source:
            assert end.rows_written + end.rows_unchanged <= end.rows_in
            assert end.rows_in <= sum(chunk.batch.num_rows for chunk in operator_case.input)

    def test_it_has_numbers_in_the_middle(self, operator_case: OperatorCase) -> None:
        """OPER-06."""
        with _opened(operator_case) as operator:
            if operator_case.is_source:
                next(iter(cast("Source", operator).produce()))
            else:
                list(operator.process(operator_case.input[0]))
            assert operator.outcome().rows_in >= 0
            assert isinstance(operator.is_holding(), bool)

    def test_no_input_is_fine(self, operator_case: OperatorCase) -> None:
        """OPER-07."""
        if operator_case.is_source:
            pytest.skip("a source has no input")
        with _opened(operator_case) as operator:
            assert list(operator.finish()) == []
            assert operator.outcome().rows_in == 0

    def test_closing_is_always_safe(self, operator_case: OperatorCase) -> None:
        """OPER-08."""
        never_opened = operator_case.make()
        never_opened.close()
        with _opened(operator_case) as operator:
            operator.close()
        with _opened(operator_case) as operator:
            _run(operator_case, operator)
            operator.close()

    def test_another_attempt_changes_nothing(self, operator_case: OperatorCase) -> None:
        """OPER-09."""
        with _opened(operator_case) as operator:
            _run(operator_case, operator)
        first = _effects(operator_case)
        context = replace(operator_case.context, attempt=2)
        with _opened(operator_case, context) as operator:
            _run(operator_case, operator)
        assert _effects(operator_case) == first

    def test_a_dry_run_leaves_no_data(self, operator_case: OperatorCase) -> None:
        """OPER-10."""
        before = _tables(operator_case)
        with _opened(operator_case, replace(operator_case.context, dry_run=True)) as operator:
            _run(operator_case, operator)
        assert _tables(operator_case) == before

    def test_a_source_numbers_its_chunks(self, operator_case: OperatorCase) -> None:
        """OPER-11."""
        made = _produced(operator_case, replace(_source_context(operator_case), first_chunk=0))
        assert [chunk.number for chunk in made] == list(range(len(made)))
        assert len(made) > 1, "the source of operator_case must make two chunks or more"

    def test_a_source_resumes_behind_a_cursor(self, operator_case: OperatorCase) -> None:
        """OPER-12."""
        context = _source_context(operator_case)
        made = _produced(operator_case, context)
        for done, following in pairwise(made):
            resumed = replace(context, cursor=done.cursor, first_chunk=following.number, attempt=2)
            rest = _produced(operator_case, resumed)
            assert _told(rest) == _told(made[following.number :])

    def test_a_sources_chunks_have_the_schema_of_chunks(self, operator_case: OperatorCase) -> None:
        """OPER-13."""
        context = _source_context(operator_case)
        expected = chunk_schema(context.dataset.table.schema)
        for chunk in _produced(operator_case, context):
            assert chunk.batch.schema.names == expected.names
            assert chunk.batch.schema.types == expected.types

    def test_a_source_ends_when_it_is_asked_to(self, operator_case: OperatorCase) -> None:
        """OPER-14."""
        context = replace(_source_context(operator_case))
        with _opened(operator_case, context) as operator:
            made = cast("Source", operator).produce()
            next(made)
            context.is_asked_to_stop = True
            assert list(made) == []


@contextmanager
def _opened(case: OperatorCase, context: FakeNodeContext | None = None) -> Iterator[Operator]:
    operator = case.make()
    world: NodeContext = context or replace(case.context)
    try:
        operator.open(world)
        yield operator
    finally:
        operator.close()


def _run(case: OperatorCase, operator: Operator) -> list[Emission]:
    """Run a whole attempt; return what it emitted (nothing for a source)."""
    if case.is_source:
        for _ in cast("Source", operator).produce():
            pass
        return list(operator.finish())
    emitted = [emission for chunk in case.input for emission in operator.process(chunk)]
    return [*emitted, *operator.finish()]


def _produced(case: OperatorCase, context: FakeNodeContext) -> list[Chunk]:
    with _opened(case, replace(context)) as operator:
        return list(cast("Source", operator).produce())


def _source_context(case: OperatorCase) -> FakeNodeContext:
    if not case.is_source:
        pytest.skip("this operator is no source")
    return case.context


def _told(made: Sequence[Chunk]) -> list[tuple[int, str, str]]:
    return [(chunk.number, chunk.cursor, repr(chunk.batch.to_pylist())) for chunk in made]


def _tables(case: OperatorCase) -> dict[str, list[str]]:
    """Return every row of every table of every backend."""
    return {
        f"{name}/{dataset}": [
            repr(row) for batch in backend.read(dataset, ReadFilter()) for row in batch.to_pylist()
        ]
        for name, backend in case.context.backends.items()
        for dataset in backend.datasets()
    }


def _effects(case: OperatorCase) -> tuple[dict[str, list[str]], dict[tuple[str, int], int]]:
    held = {place: len(rows) for place, rows in case.context.held.items()}
    return _tables(case), held
