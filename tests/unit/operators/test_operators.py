"""The built-in operators against fakes of everything around them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from typing_extensions import override

from openbell.operators.ingest import IngestOperator
from openbell.operators.quarantine import QuarantineOperator
from openbell.operators.settings import IngestSettings, QuarantineSettings, WriteSettings
from openbell.operators.write import WriteOperator
from openbell.sdk import (
    Capabilities,
    Chunk,
    DatasetContext,
    FetchRequest,
    Finding,
    Page,
    RateLimitedError,
    ReadFilter,
    RejectedRow,
    SchemaChangedError,
    Severity,
    TransientError,
    to_us,
)
from openbell.testing.batches import bars, provided_bars
from openbell.testing.fake_backend import FakeBackend
from openbell.testing.fake_context import FakeNodeContext, dataset_context
from openbell.testing.requests import START

pytestmark = pytest.mark.unit


class Pages:
    """A provider that yields what it is given, and remembers what it was asked."""

    def __init__(self, *pages: Page | Exception) -> None:
        self.pages = list(pages)
        self.requests: list[FetchRequest] = []

    def capabilities(self) -> Capabilities:
        return Capabilities(schemas=("bars_ohlcv",))

    def fetch(self, request: FetchRequest) -> Iterator[Page]:
        self.requests.append(request)
        while self.pages:
            page = self.pages.pop(0)
            if isinstance(page, Exception):
                raise page
            yield page

    def close(self) -> None:
        return


def page(count: int = 2, cursor: str = "c", **more: Any) -> Page:
    return Page(batches=[provided_bars(count=count)] if count else [], cursor=cursor, **more)


def ingest(provider: Pages, **context: Any) -> tuple[IngestOperator, FakeNodeContext]:
    dataset: DatasetContext = dataset_context()
    world = FakeNodeContext(
        node="fetch", dataset=dataset, providers={dataset.provider: provider}, **context
    )
    operator = IngestOperator(IngestSettings(dataset="bars"))
    operator.open(world)
    return operator, world


def test_pages_become_numbered_chunks_with_the_columns_the_daemon_adds() -> None:
    operator, world = ingest(Pages(page(2, "a"), page(3, "b")))
    chunks = list(operator.produce())
    assert [(c.number, c.cursor, c.batch.num_rows) for c in chunks] == [(0, "a", 2), (1, "b", 3)]
    assert set(chunks[0].batch.column("provider").to_pylist()) == {world.dataset.provider}
    assert set(chunks[0].batch.column("interval").to_pylist()) == {world.dataset.bar.text}
    assert operator.outcome().rows_out == 5
    assert world.rows_passed == 5


def test_a_page_of_several_batches_is_one_chunk() -> None:
    two = Page(batches=[provided_bars("AAPL", count=1), provided_bars("MSFT", count=2)], cursor="a")
    (chunk,) = ingest(Pages(two))[0].produce()
    assert chunk.batch.column("symbol").to_pylist() == ["AAPL", "MSFT", "MSFT"]


def test_every_request_is_paced() -> None:
    operator, world = ingest(Pages(page(), page()))
    list(operator.produce())
    assert len(world.paced) == 3


def test_rows_that_cannot_be_read_are_held_and_counted() -> None:
    rejected = RejectedRow(source="f.csv", line=7, raw="x" * 5000, reason="no number")
    operator, world = ingest(Pages(page(1, rejected=[rejected])))
    list(operator.produce())
    ((_, rows),) = world.held.items()
    assert (rows[0].source, rows[0].line, rows[0].reason) == ("f.csv", 7, "no number")
    assert len(rows[0].raw) == 2000
    outcome = operator.outcome()
    assert (outcome.rows_in, outcome.rows_out, outcome.rows_quarantined) == (2, 1, 1)


def test_passing_trouble_is_tried_again_from_the_last_cursor() -> None:
    provider = Pages(page(1, "a"), RateLimitedError("slow down"), page(1, "b"))
    operator, _ = ingest(provider, retries=1)
    assert [c.cursor for c in operator.produce()] == ["a", "b"]
    assert [r.cursor for r in provider.requests] == [None, "a"]


def test_lasting_trouble_is_raised() -> None:
    operator, _ = ingest(Pages(TransientError("down")), retries=0)
    with pytest.raises(TransientError, match="down"):
        list(operator.produce())


def test_nothing_is_no_success_until_it_is_confirmed() -> None:
    with pytest.raises(TransientError, match="did not confirm"):
        list(ingest(Pages())[0].produce())
    confirmed = ingest(Pages(page(0, no_data_confirmed=True)))[0]
    assert [c.batch.num_rows for c in confirmed.produce()] == [0]


def test_a_run_that_goes_on_may_find_nothing_more() -> None:
    operator, _ = ingest(Pages(), cursor="a", first_chunk=3)
    assert list(operator.produce()) == []


def test_columns_that_the_schema_does_not_have_are_refused() -> None:
    wrong = Page(batches=[bars()], cursor="a")
    with pytest.raises(SchemaChangedError, match="bars_ohlcv"):
        list(ingest(Pages(wrong))[0].produce())


def test_a_live_job_polls_bar_by_bar_and_asks_again_for_the_last_one() -> None:
    provider = Pages()
    operator, world = ingest(
        provider,
        live=True,
        at=START + timedelta(minutes=2),
        stop_at=START + timedelta(minutes=4, seconds=30),
    )
    asked: list[FetchRequest] = provider.requests
    original = provider.fetch

    def answer(request: FetchRequest) -> Iterator[Page]:
        provider.pages = [page(1, "x"), page(1, "y")]
        return original(request)

    provider.fetch = answer  # type: ignore[method-assign]
    chunks = list(operator.produce())
    minutes = [(r.span.start - START, r.span.end - START) for r in asked]
    one = timedelta(minutes=1)
    assert minutes == [(0 * one, 2 * one), (one, 3 * one), (2 * one, 4 * one)]
    reached = [to_us(START + n * one) for n in (0, 2, 2, 3, 3, 4)]
    assert [c.cursor for c in chunks] == [str(us) for us in reached]
    assert [c.number for c in chunks] == list(range(6))
    assert world.is_asked_to_stop is False or world.is_stopping()


def test_a_live_job_goes_on_where_it_was() -> None:
    provider = Pages(page(1, "x"))
    cursor = str(to_us(START + timedelta(minutes=5)))
    now = START + timedelta(minutes=6)
    operator, _ = ingest(provider, live=True, at=now, stop_at=now, cursor=cursor, first_chunk=5)
    chunks = list(operator.produce())
    assert provider.requests[0].span.start == START + timedelta(minutes=4)
    assert [c.number for c in chunks] == [5]


def test_a_source_passes_its_own_chunks_on() -> None:
    operator, _ = ingest(Pages())
    chunk = Chunk(batch=bars(), number=0, cursor="")
    assert [e.outcome for e in operator.process(chunk)] == ["success"]
    assert (list(operator.finish()), operator.is_holding()) == ([], False)
    operator.close()


def write(backend: FakeBackend, **context: Any) -> WriteOperator:
    world = FakeNodeContext(node="publish", backends={"primary": backend}, **context)
    operator = WriteOperator(WriteSettings())
    operator.open(world)
    return operator


def rows_of(backend: FakeBackend) -> int:
    return sum(b.num_rows for b in backend.read("bars", ReadFilter()))


def test_a_chunk_is_committed_once_even_if_it_comes_twice() -> None:
    backend = FakeBackend()
    chunk = Chunk(batch=bars(count=3), number=0, cursor="")
    for _ in range(2):
        operator = write(backend)
        assert [e.outcome for e in operator.process(chunk)] == ["success"]
        list(operator.finish())
        assert (operator.outcome().rows_in, operator.outcome().rows_written) == (3, 3)
        assert not operator.is_holding()
        operator.close()
    assert rows_of(backend) == 3


def test_a_chunk_that_holds_more_when_it_comes_again_loses_nothing() -> None:
    """A kill between a commit and its record: the next process asks anew, and there is more now."""
    backend = FakeBackend()
    for count in (3, 5, 5, 6):
        operator = write(backend)
        list(operator.process(Chunk(batch=bars(count=count), number=0, cursor="")))
        (receipt,) = operator.outcome().receipts
        assert (rows_of(backend), receipt.written_count) == (count, count)
        assert receipt.key.endswith("/publish/0")
        assert receipt.row_count == receipt.written_count + receipt.unchanged_count
    assert (receipt.interval.start, receipt.interval.end) == (START, START + timedelta(minutes=6))


def test_a_chunk_is_whole_although_a_dying_worker_commits_it_meanwhile() -> None:
    class Raced(FakeBackend):
        def stage(self, request: Any, batches: Any) -> Any:
            staged = super().stage(request, batches)
            if request.key.endswith("/0"):
                list(write(FakeBackend(self.place)).process(first))
            return staged

    backend = Raced()
    first = Chunk(batch=bars(count=2), number=0, cursor="")
    operator = write(backend)
    list(operator.process(Chunk(batch=bars(count=4), number=0, cursor="")))
    assert rows_of(backend) == operator.outcome().rows_written == 4


def test_bad_rows_are_left_out() -> None:
    backend = FakeBackend()
    operator = write(backend)
    bad = np.array([False, True, False])
    list(operator.process(Chunk(batch=bars(count=3), number=0, cursor="", bad=bad)))
    assert operator.outcome().rows_in == 2
    assert rows_of(backend) == 2


def test_nothing_to_write_is_no_commit() -> None:
    backend = FakeBackend()
    operator = write(backend)
    bad = np.array([True])
    assert list(operator.process(Chunk(batch=bars(count=1), number=0, cursor="", bad=bad))) == []
    assert operator.outcome().receipts == ()


def test_a_dry_run_commits_nothing_and_says_what_would_change() -> None:
    backend = FakeBackend()
    chunk = Chunk(batch=bars(count=3), number=0, cursor="")
    first = write(backend, dry_run=True)
    assert list(first.process(chunk)) == []
    list(first.finish())
    assert (first.outcome().rows_in, first.outcome().rows_out) == (3, 3)
    assert backend.datasets() == []

    list(write(backend, run_id="run_2").process(Chunk(batch=bars(count=2), number=0, cursor="")))
    second = write(backend, dry_run=True)
    list(second.process(chunk))
    outcome = second.outcome()
    assert (outcome.rows_out, outcome.rows_unchanged, outcome.rows_written) == (1, 2, 0)
    assert rows_of(backend) == 2


def test_a_commit_that_fails_is_aborted() -> None:
    class Broken(FakeBackend):
        def commit(self, staged: Any) -> Any:
            raise TransientError("gone")

    backend = Broken()
    operator = write(backend)
    with pytest.raises(TransientError):
        list(operator.process(Chunk(batch=bars(count=3), number=0, cursor="")))
    assert rows_of(backend) == 0


def test_quarantine_holds_the_bad_rows_with_their_rules() -> None:
    world = FakeNodeContext(node="hold")
    operator = QuarantineOperator(QuarantineSettings())
    operator.open(world)
    bad = np.array([False, True])
    chunk = Chunk(batch=bars(count=2), number=4, cursor="", bad=bad, bad_by={"ohlc": bad})
    assert list(operator.process(chunk)) == []
    ((key, rows),) = world.held.items()
    assert key == ("hold", 4)
    assert (rows[0].line, rows[0].reason, rows[0].rule) == (2, "ohlc", "ohlc")
    assert json.loads(rows[0].raw)["symbol"] == "AAPL"
    assert list(operator.finish()) == []
    assert operator.outcome().rows_quarantined == 1
    assert not operator.is_holding()
    operator.close()


def test_quarantine_holds_everything_of_a_chunk_that_was_refused_whole() -> None:
    world = FakeNodeContext(node="hold")
    operator = QuarantineOperator(QuarantineSettings())
    operator.open(world)
    why = Finding(rule="row_count", severity=Severity.FAIL, message="too few rows")
    list(operator.process(Chunk(batch=bars(count=2), number=0, cursor="", findings=(why,))))
    list(operator.process(Chunk(batch=bars(count=1), number=1, cursor="")))
    reasons = [row.reason for rows in world.held.values() for row in rows]
    assert reasons == ["too few rows", "too few rows", "refused with its batch"]


def test_a_poll_that_outlasts_the_close_is_followed_by_another_at_once() -> None:
    """The last bar of a session is complete while the poll before it is still at work."""
    provider = Pages()
    close = START.replace(hour=21, minute=0)
    operator, world = ingest(
        provider, live=True, at=close - timedelta(minutes=1), stop_at=close + timedelta(hours=1)
    )
    asked: list[FetchRequest] = provider.requests
    original = provider.fetch

    def slow(request: FetchRequest) -> Iterator[Page]:
        provider.pages = [page(1, "x")]
        world.at += timedelta(seconds=90)
        return original(request)

    provider.fetch = slow  # type: ignore[method-assign]
    list(operator.produce())
    first_two = [r.span.end - close for r in asked[:2]]
    assert first_two == [timedelta(minutes=-1), timedelta(seconds=30)]


def test_what_another_attempt_wrote_is_tidied_up_by_the_last_one() -> None:
    class Tidy(FakeBackend):
        maintained = 0

        @override
        def maintain(self, dataset: str) -> int:
            self.maintained += 1
            return 0

    backend = Tidy()
    list(write(backend, first_chunk=3).finish())
    list(write(backend).finish())
    assert backend.maintained == 1
