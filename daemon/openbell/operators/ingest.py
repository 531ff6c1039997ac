"""`op: ingest`: pages of a provider become numbered chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pyarrow as pa

from openbell.model.foreign import expected
from openbell.operators.polling import first_watermark_us, newest_bar_us, next_poll
from openbell.operators.settings import IngestSettings
from openbell.sdk.arrow import chunk_schema, constant, provided_schema
from openbell.sdk.errors import RetryableError, SchemaChangedError, TransientError
from openbell.sdk.operators import Chunk, Emission, NodeContext, NodeOutcome, QuarantinedRow
from openbell.sdk.providers import FetchRequest, Page
from openbell.sdk.values import Interval, from_us, to_us


class IngestOperator:
    """Fetches a dataset's bars: a span once, or bar by bar until it is asked to stop."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings
        self._rows_out = 0
        self._rejected = 0
        self._size_bytes = 0
        self._confirmed = False
        self._number = 0

    def open(self, context: NodeContext) -> None:
        """Make the provider ready."""
        self._context = context
        self._dataset = context.dataset
        self._plugin = f"provider {self._dataset.provider!r}"
        self._number = context.first_chunk
        self._provider = context.provider(self._dataset.provider)
        self._wanted = provided_schema(self._dataset.table.schema)
        self._chunk_schema = chunk_schema(self._dataset.table.schema)

    def produce(self) -> Iterator[Chunk]:
        """Yield the chunks after the context's cursor."""
        if self._context.live:
            yield from self._poll()
            return
        yield from self._pages(self._request(self._dataset.span, self._context.cursor))
        is_fresh = self._context.first_chunk == 0 and not self._context.is_stopping()
        if is_fresh and not (self._rows_out or self._rejected or self._confirmed):
            raise TransientError(
                f"provider {self._dataset.provider!r} answered nothing for "
                f"{self._dataset.span} and did not confirm that there is no data"
            )

    def _request(self, span: Interval, cursor: str | None) -> FetchRequest:
        return FetchRequest(
            dataset=self._dataset.table.dataset,
            schema=self._dataset.table.schema.name,
            provider=self._dataset.provider,
            symbols=self._dataset.symbols,
            interval=self._dataset.bar,
            span=span,
            sessions=self._dataset.sessions,
            batch_rows=self._dataset.batch_rows,
            now=self._context.now(),
            cursor=cursor,
        )

    def _pages(self, request: FetchRequest) -> Iterator[Chunk]:
        """Yield a request's pages, asking again from the last cursor after passing trouble."""
        failures = 0
        pages = self._fetch(request)
        while not self._context.is_stopping():
            self._context.pace(self._dataset.provider)
            if self._context.is_stopping():
                return
            try:
                page = next(pages, None)
            except RetryableError as error:
                failures += 1
                if not self._context.retry_later(self._dataset.provider, error, failures):
                    raise
                pages = self._fetch(request)
                continue
            if page is None:
                return
            expected(page, Page, plugin=self._plugin, call="fetch()")
            failures = 0
            request = replace(request, cursor=page.cursor)
            yield self._chunk(page)

    def _fetch(self, request: FetchRequest) -> Iterator[Page]:
        pages = self._provider.fetch(request)
        return expected(pages, Iterator, plugin=self._plugin, call="fetch()")  # type: ignore[type-abstract]

    def _poll(self) -> Iterator[Chunk]:
        """Yield the chunks of one poll after another; the cursor is the instant reached."""
        bar, sessions = self._dataset.bar, self._dataset.sessions
        cursor = self._context.cursor
        reached_us = (
            int(cursor) if cursor else first_watermark_us(self._context.now(), bar, sessions)
        )
        width_us = bar.width_s * 1_000_000
        while not self._context.is_stopping():
            polled_at = self._context.now()
            now_us = to_us(polled_at)
            start_us = reached_us - (self._settings.lookback_bars * width_us if cursor else 0)
            if now_us > start_us:
                span = Interval(from_us(start_us), from_us(now_us))
                held: Chunk | None = None
                for chunk in self._pages(self._request(span, None)):
                    if held is not None:
                        yield replace(held, cursor=str(reached_us))
                    held = chunk
                if held is not None and not self._context.is_stopping():
                    reached_us = max(reached_us, newest_bar_us(polled_at, bar, sessions))
                if held is not None:
                    yield replace(held, cursor=str(reached_us))
                cursor = str(reached_us)
            if not self._context.wait_until(next_poll(polled_at, bar, sessions)):
                return

    def _chunk(self, page: Page) -> Chunk:
        number = self._number
        self._number += 1
        batch = self._table(page)
        if page.rejected:
            held = (
                QuarantinedRow(source=r.source, line=r.line, raw=r.raw[:2000], reason=r.reason)
                for r in page.rejected
            )
            self._rejected += self._context.quarantine(number, held)
        self._confirmed = self._confirmed or page.no_data_confirmed
        self._rows_out += batch.num_rows
        self._size_bytes += page.size_bytes
        self._context.progress(
            rows=batch.num_rows,
            total_rows=page.total_rows_hint,
            request_count=page.request_count,
        )
        return Chunk(batch=batch, number=number, cursor=page.cursor)

    def _table(self, page: Page) -> pa.RecordBatch:
        """Return a page as one batch with the constant columns that the daemon adds."""
        for batch in page.batches:
            expected(batch, pa.RecordBatch, plugin=self._plugin, call="a page's batches")
            if not batch.schema.equals(self._wanted, check_metadata=False):
                raise SchemaChangedError(
                    f"provider {self._dataset.provider!r} yielded columns {batch.schema.names} of "
                    f"types {[str(t) for t in batch.schema.types]}; the schema "
                    f"{self._dataset.table.schema.name!r} wants {self._wanted.names} of types "
                    f"{[str(t) for t in self._wanted.types]}"
                )
        batches = list(page.batches)
        merged = batches[0] if len(batches) == 1 else _combined(batches, self._wanted)
        added = {
            "provider": constant(self._dataset.provider, merged.num_rows),
            "interval": constant(self._dataset.bar.text, merged.num_rows),
        }
        columns = [
            added[name] if name in added else merged.column(name)
            for name in self._chunk_schema.names
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self._chunk_schema)

    def process(self, chunk: Chunk) -> Iterable[Emission]:
        """Pass on what `produce` made."""
        yield Emission(outcome="success", chunk=chunk)

    def finish(self) -> Iterable[Emission]:
        """Yield nothing: every chunk has gone on."""
        return ()

    def outcome(self) -> NodeOutcome:
        """Return what was fetched, and how many rows could not be read."""
        return NodeOutcome(
            outcome="success",
            rows_in=self._rows_out + self._rejected,
            rows_out=self._rows_out,
            rows_quarantined=self._rejected,
            size_bytes=self._size_bytes,
        )

    def is_holding(self) -> bool:
        """Return False: every chunk goes on as it comes."""
        return False

    def close(self) -> None:
        """Leave the provider to the task, which made it."""


def _combined(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    table = pa.Table.from_batches(batches, schema=schema).unify_dictionaries().combine_chunks()
    whole = table.to_batches()
    if whole:
        return whole[0]
    return pa.RecordBatch.from_arrays([pa.array([], f.type) for f in schema], schema=schema)
