"""The contract of an operator: what a node does (clauses in `daemon/spec/operator.md`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from openbell.sdk.backends import Backend
from openbell.sdk.errors import RetryableError
from openbell.sdk.providers import Provider
from openbell.sdk.rules import Rule, RuleScope
from openbell.sdk.schemas import TableSpec
from openbell.sdk.values import BarWidth, Finding, Interval, Receipt, SessionTable, Severity

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chunk:
    """Rows on their way between the nodes of one task: one batch of the source.

    `batch` has the schema's columns except `ingested_at` and `run_id`. `number` counts the
    source's chunks of this run from 0 and is the same on every attempt. `cursor` resumes the
    source after this chunk. `bad` marks rows that a gate refused (True is bad), `bad_by` the same
    for each rule, and `findings` say why.
    """

    batch: pa.RecordBatch
    number: int
    cursor: str
    bad: npt.NDArray[np.bool_] | None = None
    bad_by: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Emission:
    """A chunk sent down the edges that are open for `outcome`."""

    outcome: str
    chunk: Chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOutcome:
    """How a node ended: the label that opens edges, its numbers, a reference to what it made."""

    outcome: str
    rows_in: int = 0
    rows_out: int = 0
    rows_written: int = 0
    rows_unchanged: int = 0
    rows_quarantined: int = 0
    size_bytes: int = 0
    write_duration_s: float = 0.0
    findings: tuple[Finding, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    output: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetContext:
    """The dataset a node works on. `span` and `sessions` are what this run covers."""

    table: TableSpec
    provider: str
    symbols: tuple[str, ...]
    bar: BarWidth
    span: Interval
    sessions: SessionTable
    batch_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundRule:
    """A rule as a gate uses it: made from its settings, with what its findings ask for."""

    name: str
    rule: Rule
    scope: RuleScope
    severity: Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedRow:
    """One row that was held back: where it came from, its text, and why."""

    source: str
    line: int
    raw: str
    reason: str
    rule: str = ""


class NodeContext(Protocol):
    """What a node may use of the process it runs in."""

    run_id: str
    pipeline: str
    node: str
    attempt: int
    dataset: DatasetContext
    settings: Any
    live: bool
    dry_run: bool
    cursor: str | None
    first_chunk: int

    def now(self) -> datetime:
        """Return the daemon's time (aware UTC)."""
        ...

    def provider(self, name: str) -> Provider:
        """Return the configured provider, made once a task."""
        ...

    def backend(self, name: str) -> Backend:
        """Return the configured backend, made once a task."""
        ...

    def rules(self) -> Sequence[BoundRule]:
        """Return the rules that this node's `rules:` lists, in that order."""
        ...

    def spool(self, name: str) -> str:
        """Return the path of a scratch file of this task; it is deleted when the task ends."""
        ...

    def pace(self, provider: str, request_count: int = 1) -> None:
        """Return once the provider's budget allows that many requests."""
        ...

    def wait_until(self, instant: datetime) -> bool:
        """Return True at `instant` of the daemon's time, or False at once when asked to stop."""
        ...

    def is_stopping(self) -> bool:
        """Return whether the node was asked to end after the chunk in hand."""
        ...

    def progress(self, *, rows: int, total_rows: int | None = None, request_count: int = 0) -> None:
        """Report rows passed on since the last call, and the total once it is known."""
        ...

    def retry_later(self, provider: str, error: RetryableError, failures: int) -> bool:
        """Wait as the retry policy and the vendor say after `failures` failures in a row.

        Returns False when the policy is used up or the node was asked to stop: then raise.
        """
        ...

    def quarantine(self, chunk: int, rows: Iterable[QuarantinedRow]) -> int:
        """Hold rows back durably, once per node and chunk; return how many."""
        ...

    def report(self, chunk: int, verdict: str, findings: Sequence[Finding]) -> None:
        """Put what a gate found in a chunk on record."""
        ...


class Operator(Protocol):
    """What a node does with the chunks that reach it. Made from its settings in a worker."""

    def open(self, context: NodeContext) -> None:
        """Get ready; called once, before everything else."""
        ...

    def process(self, chunk: Chunk) -> Iterable[Emission]:
        """Take in one chunk; yield what goes on. When it returns, effects are durable."""
        ...

    def finish(self) -> Iterable[Emission]:
        """Take in the end of the input; yield what was held back until now."""
        ...

    def outcome(self) -> NodeOutcome:
        """Return how the node ended; called after `finish`, and after a failure for the numbers."""
        ...

    def is_holding(self) -> bool:
        """Return whether chunks taken in have not gone on yet; they are not checkpointed then."""
        ...

    def close(self) -> None:
        """Release everything. Safe to call twice, and after a failure."""
        ...


class Source(Operator, Protocol):
    """An operator at the head of a task: makes chunks instead of receiving them."""

    def produce(self) -> Iterator[Chunk]:
        """Yield the chunks after the context's cursor, numbered from `first_chunk`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleUse:
    """One entry of a gate's `rules:`: the rule's name, its parameters, what findings ask for."""

    name: str
    severity: Severity
    params: dict[str, Any] = field(default_factory=dict)
