"""Fixtures: a short way to read files, and the place of the real ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from openbell.sdk.providers import FetchRequest, Page
from openbell.sdk.values import BarWidth, Interval, RejectedRow, SessionTable
from openbell_provider_files.provider import FilesProvider
from openbell_provider_files.settings import FilesSettings

_SHARED = Path(
    os.environ.get("OPENBELL_SHARED", Path(__file__).resolve().parents[3].parent / "shared")
)


@dataclass(frozen=True)
class Answer:
    """The pages of a request."""

    pages: tuple[Page, ...]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [r for page in self.pages for batch in page.batches for r in batch.to_pylist()]

    @property
    def rejected(self) -> list[RejectedRow]:
        return [row for page in self.pages for row in page.rejected]

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]


Ask = Callable[..., Answer]


def _request(symbols: tuple[str, ...], interval: str, changes: Mapping[str, Any]) -> FetchRequest:
    return replace(
        FetchRequest(
            dataset="bars",
            schema="bars_ohlcv",
            provider="files",
            symbols=symbols,
            interval=BarWidth.parse(interval),
            span=Interval(datetime(1900, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)),
            sessions=SessionTable(calendar="XNYS"),
            batch_rows=100_000,
            now=datetime(2026, 11, 1, tzinfo=UTC),
        ),
        **changes,
    )


@pytest.fixture
def ask() -> Ask:
    """Read files: `ask(settings, "1d", ["AAPL"], batch_rows=...)`."""

    def read(
        settings: Mapping[str, Any], interval: str, symbols: list[str], **changes: Any
    ) -> Answer:
        provider = FilesProvider(FilesSettings.model_validate(settings))
        return Answer(tuple(provider.fetch(_request(tuple(symbols), interval, changes))))

    return read


@pytest.fixture(scope="session")
def real() -> Path:
    """The directory of real market data; skips where it is absent."""
    data = _SHARED / "data"
    if not data.is_dir():
        pytest.skip(f"no real data at {data}; set OPENBELL_SHARED to the directory that holds it")
    return data
