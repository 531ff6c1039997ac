from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from typing_extensions import override

from openbell.operators.settings import WriteSettings
from openbell.operators.write import WriteOperator
from openbell.sdk import (
    Alert,
    Chunk,
    Emission,
    NodeOutcome,
    NotFoundError,
    QuarantinedRow,
    RateLimitedError,
    TransientError,
)
from openbell.testing import (
    START,
    FakeBackend,
    FakeNodeContext,
    FakeProvider,
    FakeSink,
    OperatorCase,
    OperatorConformance,
    SinkCase,
    SinkConformance,
    bars,
    fetch_request,
    provided_bars,
    weekday_sessions,
)

pytestmark = pytest.mark.unit


def test_a_scripted_error_is_raised_once_and_the_cursor_goes_on_behind_it() -> None:
    script = [provided_bars(count=2), RateLimitedError("slow down"), provided_bars(count=3)]
    provider = FakeProvider(script)
    pages = provider.fetch(fetch_request())
    first = next(pages)
    with pytest.raises(RateLimitedError):
        next(pages)
    (rest,) = provider.fetch(fetch_request(cursor=first.cursor))
    assert sum(batch.num_rows for batch in rest.batches) == 3
    assert [request.cursor for request in provider.requests] == [None, first.cursor]


def test_a_builder_refuses_a_column_that_the_schema_does_not_have() -> None:
    with pytest.raises(ValueError, match="no column prize"):
        bars(prize=[1.0])


def test_sessions_leave_weekends_out() -> None:
    table = weekday_sessions(START.date(), START.date() + timedelta(days=7))
    assert len(table) == 6
    assert all(o < c for o, c in zip(table.opens_us, table.closes_us, strict=True))


async def test_a_sinks_scripted_errors_come_first() -> None:
    sink = FakeSink([TransientError("later")])
    alert = Alert(id="a", at=START, severity="info", title="t", text="")
    with pytest.raises(TransientError):
        await sink.deliver(alert)
    await sink.deliver(alert)
    assert sink.delivered == [alert]


def test_a_context_waits_by_jumping_until_it_is_to_stop() -> None:
    context = FakeNodeContext(at=START, stop_at=START + timedelta(minutes=2))
    assert context.wait_until(START + timedelta(minutes=1))
    assert context.now() == START + timedelta(minutes=1)
    assert not context.wait_until(START + timedelta(minutes=2))


def test_a_context_can_stop_after_some_rows() -> None:
    context = FakeNodeContext(stop_after_rows=10)
    context.progress(rows=9)
    assert not context.is_stopping()
    context.progress(rows=1)
    assert context.is_stopping()
    assert not context.wait_until(context.now())


def test_a_context_tries_again_as_often_as_it_is_told() -> None:
    context = FakeNodeContext(retries=2)
    error = TransientError("later")
    assert [context.retry_later("fake", error, n) for n in (1, 2, 3)] == [True, True, False]


def test_a_context_holds_a_chunks_rows_once() -> None:
    context = FakeNodeContext()
    row = QuarantinedRow(source="bars", line=1, raw="{}", reason="odd")
    assert context.quarantine(0, [row]) == 1
    assert context.quarantine(0, [row, row]) == 1
    assert replace(context, attempt=2).held == context.held


def test_a_context_names_what_the_test_did_not_give(tmp_path: Path) -> None:
    context = FakeNodeContext()
    for ask in (context.provider, context.backend):
        with pytest.raises(NotFoundError, match="'primary'"):
            ask("primary")
    with pytest.raises(ValueError, match="spool_directory"):
        context.spool("gate")
    assert replace(context, spool_directory=tmp_path).spool("gate").startswith(str(tmp_path))


class DeliversTwice(FakeSink):
    @override
    async def deliver(self, alert: Alert) -> None:
        self.delivered.append(alert)


class DropsTitles(FakeSink):
    @override
    async def deliver(self, alert: Alert) -> None:
        await super().deliver(replace(alert, title="alert"))


@pytest.mark.parametrize(
    ("kind", "case"),
    [
        (DeliversTwice, "test_the_same_alert_arrives_once"),
        (DropsTitles, "test_an_alert_arrives"),
    ],
)
def test_a_broken_sink_is_caught(kind: type[FakeSink], case: str) -> None:
    sink = kind()
    suite: Any = SinkConformance()
    with pytest.raises(AssertionError):
        getattr(suite, case)(
            SinkCase(make=lambda: sink, arrived=lambda: [a.title for a in sink.delivered])
        )


class WritesAgain(WriteOperator):
    """Builds its keys and its rows from the attempt."""

    @override
    def process(self, chunk: Chunk) -> Iterable[Emission]:
        shifted = bars(count=5, start=START + timedelta(days=self._context.attempt))
        moved = replace(chunk, batch=shifted, number=chunk.number + 1000 * self._context.attempt)
        return super().process(moved)


class WritesDry(WriteOperator):
    @override
    def open(self, context: Any) -> None:
        super().open(replace(context, dry_run=False))


class Boasts(WriteOperator):
    @override
    def outcome(self) -> NodeOutcome:
        return replace(super().outcome(), rows_written=10_000)


class Invents(WriteOperator):
    @override
    def outcome(self) -> NodeOutcome:
        return replace(super().outcome(), outcome="splendid")


@pytest.mark.parametrize(
    ("kind", "case"),
    [
        (WritesAgain, "test_another_attempt_changes_nothing"),
        (WritesAgain, "test_chunks_keep_their_number_and_cursor"),
        (WritesDry, "test_a_dry_run_leaves_no_data"),
        (Boasts, "test_its_numbers_add_up"),
        (Invents, "test_it_ends_with_an_outcome_of_its_spec"),
    ],
)
def test_a_broken_operator_is_caught(kind: Callable[[WriteSettings], Any], case: str) -> None:
    operator_case = OperatorCase(
        make=lambda: kind(WriteSettings()),
        context=FakeNodeContext(backends={"primary": FakeBackend()}),
    )
    suite: Any = OperatorConformance()
    with pytest.raises(AssertionError):
        getattr(suite, case)(operator_case)


def test_a_deadline_guards_sinks_that_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hangs(FakeSink):
        @override
        async def deliver(self, alert: Alert) -> None:
            await anyio.sleep_forever()

    sink = Hangs()
    case = SinkCase(make=lambda: sink, arrived=list)
    monkeypatch.setattr("openbell.testing.conformance.sink.DEADLINE_S", 0.01)
    with pytest.raises(TimeoutError):
        SinkConformance().test_an_alert_arrives(case)
