"""What the tests of the synthetic provider share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest

from openbell.sdk.providers import FetchRequest, Page
from openbell.sdk.values import SessionTable
from openbell.testing.requests import fetch_request, weekday_sessions
from openbell_provider_synthetic.provider import SyntheticProvider
from openbell_provider_synthetic.settings import SyntheticSettings

Row = dict[str, Any]


class Kit:
    """Requests, and their answers as rows."""

    sessions = weekday_sessions(date(2026, 1, 5), date(2026, 1, 9))
    start = datetime(2026, 1, 5, tzinfo=UTC)
    end = datetime(2026, 1, 10, tzinfo=UTC)

    def request(self, *symbols: str, interval: str = "1min", **changes: Any) -> FetchRequest:
        """Return a request for the bars of one week."""
        values: dict[str, Any] = {
            "start": self.start,
            "end": self.end,
            "sessions": self.sessions,
        } | changes
        return fetch_request(symbols or ("AAPL", "MSFT"), interval=interval, **values)

    def provider(self, **values: Any) -> SyntheticProvider:
        """Return a provider with these settings."""
        return SyntheticProvider(SyntheticSettings.model_validate(values))

    def pages(self, request: FetchRequest, **settings: Any) -> list[Page]:
        """Return every page of a new provider."""
        return list(self.provider(**settings).fetch(request))

    def rows(self, request: FetchRequest, **settings: Any) -> list[Row]:
        """Return every row, in the order they come."""
        return rows_of(self.pages(request, **settings))

    @staticmethod
    def rows_of(pages: Sequence[Page]) -> list[Row]:
        """Return the rows of pages."""
        return rows_of(pages)

    @staticmethod
    def table(opens: Sequence[datetime], closes: Sequence[datetime], **more: Any) -> SessionTable:
        """Return sessions with these opens and closes; labels are the dates of the closes."""
        return SessionTable(
            calendar="TEST",
            labels_day=tuple((c.date() - date(1970, 1, 1)).days for c in closes),
            opens_us=tuple(int(o.timestamp()) * 1_000_000 for o in opens),
            closes_us=tuple(int(c.timestamp()) * 1_000_000 for c in closes),
            **more,
        )


def rows_of(pages: Sequence[Page]) -> list[Row]:
    return [row for page in pages for batch in page.batches for row in batch.to_pylist()]


@pytest.fixture(scope="session")
def kit() -> Kit:
    """Return the helpers of these tests."""
    return Kit()
