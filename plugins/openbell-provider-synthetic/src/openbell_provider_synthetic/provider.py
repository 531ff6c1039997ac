"""Provider type `synthetic`."""

from __future__ import annotations

from collections.abc import Iterator

from openbell.sdk.errors import FatalError, NotFoundError
from openbell.sdk.providers import Capabilities, FetchRequest, Page
from openbell.sdk.values import to_us

from openbell_provider_synthetic.grid import Grid
from openbell_provider_synthetic.pages import PageMaker
from openbell_provider_synthetic.settings import SyntheticSettings

_SCHEMA = "bars_ohlcv"


class SyntheticProvider:
    """Bars from a seed.

    A page covers a range of time for all symbols of the request; its rows are one batch sorted by
    (symbol, ts), symbols in the request's order: the lake's files are sorted so as well, and rules see each
    series in one run. The cursor is the microsecond after the page's last bar, so it holds
    for any batch size, and a bar does not depend on where a request starts.
    """

    def __init__(self, settings: SyntheticSettings) -> None:
        self._settings = settings

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
        position = 0 if request.cursor is None else grid.position(_instant_us(request.cursor))
        if grid.count == 0 and request.cursor is None:
            cursor = str(to_us(request.span.start))
            yield Page(batches=(), cursor=cursor, no_data_confirmed=True, total_rows_hint=0)
            return
        symbol_count = len(request.symbols)
        step = max(1, request.batch_rows // max(1, symbol_count))
        maker = PageMaker(self._settings, request, grid)
        while position < grid.count:
            stop = min(grid.count, position + step)
            batch, last_us = maker.batch(position, stop)
            yield Page(
                batches=(batch,),
                cursor=str(last_us + 1),
                no_data_confirmed=batch.num_rows == 0,
                size_bytes=batch.nbytes,
                total_rows_hint=grid.count * symbol_count,
            )
            position = stop

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


def _instant_us(cursor: str) -> int:
    try:
        return int(cursor)
    except ValueError:
        raise FatalError(f"cursor {cursor!r} was not made by provider type synthetic") from None
