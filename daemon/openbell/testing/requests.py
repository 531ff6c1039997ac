"""Small requests and sessions to test with; nothing here needs Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from openbell.sdk.providers import FetchRequest
from openbell.sdk.values import EPOCH, BarWidth, Interval, SessionTable, to_us

START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
"""The open of a Monday's session in New York: where test data begins."""


def weekday_sessions(first: date, last: date, *, calendar: str = "WEEKDAYS") -> SessionTable:
    """Return sessions from 14:30 to 21:00 UTC of every Monday to Friday, both labels included."""
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    labels = [day for day in days if day.weekday() < 5]
    return SessionTable(
        calendar=calendar,
        labels_day=tuple((label - EPOCH.date()).days for label in labels),
        opens_us=tuple(_at(label, time(14, 30)) for label in labels),
        closes_us=tuple(_at(label, time(21)) for label in labels),
        digest=f"{calendar}:{first}:{last}",
    )


def _at(label: date, hour: time) -> int:
    return to_us(datetime.combine(label, hour, tzinfo=UTC))


def fetch_request(
    symbols: Sequence[str] = ("AAPL",),
    *,
    interval: str = "1min",
    start: datetime = START,
    end: datetime | None = None,
    now: datetime | None = None,
    batch_rows: int = 100,
    sessions: SessionTable | None = None,
    provider: str = "fake",
    dataset: str = "bars",
    schema: str = "bars_ohlcv",
    cursor: str | None = None,
) -> FetchRequest:
    """Return a request for bars of `symbols` in `[start, end)`, by default one hour or ten days.

    `now` is by default a day after the end; `sessions` are by default those of weekdays.
    """
    bar = BarWidth.parse(interval)
    stop = end or start + (timedelta(days=10) if bar.is_daily else timedelta(hours=1))
    return FetchRequest(
        dataset=dataset,
        schema=schema,
        provider=provider,
        symbols=tuple(symbols),
        interval=bar,
        span=Interval(start, stop),
        sessions=weekday_sessions(start.date(), stop.date()) if sessions is None else sessions,
        batch_rows=batch_rows,
        now=now or stop + timedelta(days=1),
        cursor=cursor,
    )
