"""What an operator sees of the process it runs in, without the process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from openbell.sdk.backends import Backend
from openbell.sdk.errors import NotFoundError, RetryableError
from openbell.sdk.operators import BoundRule, DatasetContext, QuarantinedRow
from openbell.sdk.providers import Provider
from openbell.sdk.schemas import BARS_OHLCV, TableSpec
from openbell.sdk.values import BarWidth, Finding, Interval
from openbell.testing.requests import START, weekday_sessions

T = TypeVar("T")


def dataset_context(
    symbols: Sequence[str] = ("AAPL",),
    *,
    dataset: str = "bars",
    provider: str = "fake",
    interval: str = "1min",
    start: datetime = START,
    end: datetime | None = None,
    batch_rows: int = 100,
) -> DatasetContext:
    """Return a dataset of bars of `symbols` in `[start, end)`, by default one hour or ten days."""
    bar = BarWidth.parse(interval)
    stop = end or start + (timedelta(days=10) if bar.is_daily else timedelta(hours=1))
    return DatasetContext(
        table=TableSpec(dataset=dataset, schema=BARS_OHLCV, bar_interval=interval),
        provider=provider,
        symbols=tuple(symbols),
        bar=bar,
        span=Interval(start, stop),
        sessions=weekday_sessions(start.date(), stop.date()),
        batch_rows=batch_rows,
    )


@dataclass(kw_only=True)
class FakeNodeContext:
    """A `NodeContext` for tests. `dataclasses.replace` gives another attempt in the same world.

    Time stands at `at` and jumps to wherever the node waits for, until `stop_at`. `held` are the
    quarantined rows by chunk, `reports` what gates said, `paced` the requests that were asked for.
    `retries` is how many failures in a row are tried again.
    """

    run_id: str = "run_1"
    pipeline: str = "test"
    node: str = "node"
    attempt: int = 1
    dataset: DatasetContext = field(default_factory=dataset_context)
    settings: Any = None
    live: bool = False
    dry_run: bool = False
    cursor: str | None = None
    first_chunk: int = 0
    providers: Mapping[str, Provider] = field(default_factory=dict)
    backends: Mapping[str, Backend] = field(default_factory=dict)
    bound_rules: Sequence[BoundRule] = ()
    spool_directory: Path | None = None
    at: datetime = START + timedelta(days=30)
    stop_at: datetime | None = None
    stop_after_rows: int | None = None
    retries: int = 0
    held: dict[tuple[str, int], list[QuarantinedRow]] = field(default_factory=dict)
    reports: list[tuple[int, str, Sequence[Finding]]] = field(default_factory=list)
    paced: list[tuple[str, int]] = field(default_factory=list)
    rows_passed: int = 0
    is_asked_to_stop: bool = False

    def now(self) -> datetime:
        """Return where time stands."""
        return self.at

    def provider(self, name: str) -> Provider:
        """Return the provider that the test gave."""
        return _known(self.providers, name, "provider")

    def backend(self, name: str) -> Backend:
        """Return the backend that the test gave."""
        return _known(self.backends, name, "backend")

    def rules(self) -> Sequence[BoundRule]:
        """Return the rules that the test gave."""
        return tuple(self.bound_rules)

    def spool(self, name: str) -> str:
        """Return a path in the test's `spool_directory`."""
        if self.spool_directory is None:
            raise ValueError("give the context a spool_directory, such as tmp_path")
        return str(self.spool_directory / f"{name}-{self.attempt}")

    def pace(self, provider: str, request_count: int = 1) -> None:
        """Note the requests; never wait."""
        self.paced.append((provider, request_count))

    def wait_until(self, instant: datetime) -> bool:
        """Jump to `instant`, or return False when that is not before `stop_at`."""
        if self.is_stopping() or (self.stop_at is not None and instant >= self.stop_at):
            return False
        self.at = max(self.at, instant)
        return True

    def is_stopping(self) -> bool:
        """Return whether the test, or `stop_after_rows`, asks the node to end."""
        enough = self.stop_after_rows is not None and self.rows_passed >= self.stop_after_rows
        return self.is_asked_to_stop or enough

    def progress(self, *, rows: int, total_rows: int | None = None, request_count: int = 0) -> None:
        """Add up the rows."""
        del total_rows, request_count
        self.rows_passed += rows

    def retry_later(self, provider: str, error: RetryableError, failures: int) -> bool:
        """Return whether `failures` are still within `retries`."""
        del provider, error
        return failures <= self.retries

    def quarantine(self, chunk: int, rows: Iterable[QuarantinedRow]) -> int:
        """Hold rows of this node and chunk, once."""
        kept = self.held.setdefault((self.node, chunk), list(rows))
        return len(kept)

    def report(self, chunk: int, verdict: str, findings: Sequence[Finding]) -> None:
        """Note what a gate said."""
        self.reports.append((chunk, verdict, tuple(findings)))


def _known(things: Mapping[str, T], name: str, kind: str) -> T:
    if name not in things:
        raise NotFoundError(f"the test gives no {kind} {name!r}")
    return things[name]
