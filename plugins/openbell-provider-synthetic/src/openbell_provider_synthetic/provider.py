"""Provider type `synthetic`."""

from __future__ import annotations

from collections.abc import Iterator

from openbell.sdk.errors import FatalError, NotFoundError
from openbell.sdk.providers import Capabilities, FetchRequest, Page
from openbell.sdk.values import to_us
from openbell_provider_synthetic.grid import Grid
from openbell_provider_synthetic.outages import PagePlace, RequestFaults
from openbell_provider_synthetic.pages import PageMaker
from openbell_provider_synthetic.settings import SyntheticSettings

_SCHEMA = "bars_ohlcv"


class SyntheticProvider:
    """Bars from a seed.

    A page covers a range of time for all symbols of the request; its rows are one batch sorted by
    (symbol, ts), symbols in the request's order: the lake's files are sorted so as well, and
    rules see each series in one stretch. The cursor is the microsecond after the page's last bar, so it
    holds for any batch size, and a bar does not depend on where a request starts. A bar is there
    once it has ended; a daily one once its session has closed.
    """

    def __init__(self, settings: SyntheticSettings) -> None:
        self._settings = settings
        self._faults = RequestFaults(settings.faults, settings.seed)

    def capabilities(self) -> Capabilities:
        """Return: any bar width from 1s to 1d, live as well."""
        return Capabilities(schemas=(_SCHEMA,), live=True)

    def fetch(self, request: FetchRequest) -> Iterator[Page]:
        """Yield pages of about `batch_rows` rows, in order of time."""
        if request.schema != _SCHEMA:
            raise NotFoundError(f"provider type synthetic has {_SCHEMA}, not {request.schema!r}")
        if request.interval.width_s > 86_400:
            raise FatalError(
                f"provider type synthetic makes bars of 1s to 1d, not {request.interval.text}"
            )
        grid = Grid(request)
        begin = 0 if request.cursor is None else grid.position(_instant_us(request.cursor))
        symbol_count = len(request.symbols)
        total = grid.count * symbol_count
        if total == 0 and request.cursor is None:
            start_us = to_us(request.span.start)
            self._faults.strike(request, PagePlace(start_us, frozenset(), True, False))
            yield Page(batches=(), cursor=str(start_us), no_data_confirmed=True, total_rows_hint=0)
        if total == 0:
            return
        step = max(1, request.batch_rows // symbol_count)
        maker = PageMaker(self._settings, request, grid)
        for start in range(begin, grid.count, step):
            stop = min(grid.count, start + step)
            self._faults.strike(
                request, _place(request, grid, start, stop, is_first=start == begin)
            )
            batch, last_us = maker.batch(start, stop)
            yield Page(
                batches=(batch,),
                cursor=str(last_us + 1),
                no_data_confirmed=batch.num_rows == 0,
                size_bytes=batch.nbytes,
                total_rows_hint=total,
            )

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


def _place(
    request: FetchRequest, grid: Grid, start: int, stop: int, *, is_first: bool
) -> PagePlace:
    pieces = grid.pieces(start, stop)
    return PagePlace(
        first_us=int(grid.times(pieces[0])[0]),
        begun_days=frozenset(p.bars.day for p in pieces if p.low == p.bars.low),
        is_first=is_first,
        is_resumed=is_first and request.cursor is not None,
    )


def _instant_us(cursor: str) -> int:
    try:
        return int(cursor)
    except ValueError:
        raise FatalError(f"cursor {cursor!r} was not made by provider type synthetic") from None
