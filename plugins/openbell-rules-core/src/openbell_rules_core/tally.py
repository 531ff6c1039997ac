"""Counting bad rows, with the first ten as examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from openbell.sdk.arrow import BatchView
from openbell.sdk.rules import RuleContext
from openbell.sdk.values import Finding, from_us

EXAMPLE_LIMIT = 10

Mask = npt.NDArray[np.bool_]


class Tally:
    """How many rows broke one demand, and the first ten of them in words."""

    def __init__(self, shown: Sequence[str]) -> None:
        self.count = 0
        self.examples: list[str] = []
        self._shown = tuple(dict.fromkeys(shown))

    def add(self, view: BatchView, mask: Mask) -> None:
        """Count the rows of `mask`."""
        self.add_rows(view, np.flatnonzero(mask))

    def add_rows(self, view: BatchView, rows: npt.NDArray[np.int64]) -> None:
        """Count `rows`, positions in the batch."""
        self.count += len(rows)
        for row in rows[: EXAMPLE_LIMIT - len(self.examples)]:
            self.examples.append(self._words(view, int(row)))

    def merge(self, later: Tally) -> None:
        """Add what `later` counted."""
        self.count += later.count
        self.examples = (self.examples + later.examples)[:EXAMPLE_LIMIT]

    def _words(self, view: BatchView, row: int) -> str:
        parts = []
        for name in self._shown:
            scalar = view.batch.column(name)[row]
            if not scalar.is_valid:
                text = "null"
            elif pa.types.is_timestamp(scalar.type):
                text = instant_text(int(view.values(name)[row]))
            else:
                text = str(scalar.as_py())
            parts.append(f"{name}={text}")
        return " ".join(parts)


def instant_text(instant_us: int) -> str:
    """Return an instant for people; the bare number where no calendar reaches."""
    try:
        return from_us(instant_us).isoformat()
    except OverflowError:
        return f"{instant_us}us"


def identity(context: RuleContext) -> tuple[str, ...]:
    """Return the columns that tell a reader which row is meant."""
    return (context.schema.series_column, context.schema.time_column)


def finding(
    context: RuleContext, tally: Tally, *, rule: str, column: str, demand: str, seen: int
) -> Finding:
    """Return the finding of a tally that is not empty."""
    return Finding(
        rule=rule,
        severity=context.severity,
        column=column,
        message=f"{tally.count:,} of {seen:,} rows: {demand}",
        row_count=tally.count,
        metric=float(tally.count),
        threshold=0.0,
        examples=tuple(tally.examples),
    )
