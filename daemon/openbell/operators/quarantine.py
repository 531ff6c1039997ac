"""`op: quarantine`: refused rows are held back, with the reason of each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from openbell.operators.settings import QuarantineSettings
from openbell.sdk.operators import Chunk, Emission, NodeContext, NodeOutcome, QuarantinedRow


class QuarantineOperator:
    """Holds the bad rows of a chunk, or all its rows when the gate refused it whole."""

    def __init__(self, settings: QuarantineSettings) -> None:
        self._settings = settings
        self._held = 0

    def open(self, context: NodeContext) -> None:
        """Get ready."""
        self._context = context

    def process(self, chunk: Chunk) -> Iterable[Emission]:
        """Hold the chunk's bad rows, or all of them when no row is marked."""
        self._held += self._context.quarantine(chunk.number, self._rows(chunk))
        return ()

    def _rows(self, chunk: Chunk) -> Iterator[QuarantinedRow]:
        everything = np.arange(chunk.batch.num_rows)
        wanted = everything if chunk.bad is None else np.flatnonzero(chunk.bad)
        whole = "; ".join(finding.message for finding in chunk.findings)
        taken = chunk.batch.take(pa.array(wanted))
        for row, values in zip(wanted.tolist(), taken.to_pylist(), strict=True):
            rules = [name for name, mask in chunk.bad_by.items() if mask[row]]
            yield QuarantinedRow(
                source=self._context.dataset.table.dataset,
                line=row + 1,
                raw=json.dumps(values, default=str, separators=(",", ":")),
                reason=", ".join(rules) or whole or "refused with its batch",
                rule=rules[0] if rules else "",
            )

    def finish(self) -> Iterable[Emission]:
        """Yield nothing."""
        return ()

    def outcome(self) -> NodeOutcome:
        """Return how many rows are held."""
        return NodeOutcome(outcome="success", rows_in=self._held, rows_quarantined=self._held)

    def is_holding(self) -> bool:
        """Return False: when `process` returns, the rows are durable."""
        return False

    def close(self) -> None:
        """Release nothing."""
