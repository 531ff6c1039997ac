"""Rules that judge each row by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from openbell.sdk.arrow import BatchView
from openbell.sdk.rules import RuleContext
from openbell.sdk.values import Finding
from openbell_rules_core.tally import Mask, Tally, finding, identity


@dataclass(frozen=True, slots=True)
class Demand:
    """What one column, or a group of columns, must fulfil in every row.

    `judge` returns the mask of the rows that do not, or None when all do.
    """

    column: str
    words: str
    judge: Callable[[BatchView], Mask | None]
    shown: tuple[str, ...]


class RowwiseState:
    """The state of a rule that is a list of demands. Knows counts and examples only.

    The laws hold without exception: however a stream is cut into batches, the bad rows and the
    findings are the same, and merging equals observing all.
    """

    def __init__(self, rule: str, context: RuleContext, demands: Sequence[Demand]) -> None:
        self._rule = rule
        self._context = context
        self._demands = demands
        self._seen = 0
        self._tallies = [Tally((*identity(context), *d.shown)) for d in demands]

    def observe(self, view: BatchView) -> Mask | None:
        """Judge a batch."""
        self._seen += view.row_count
        bad: Mask | None = None
        for demand, tally in zip(self._demands, self._tallies, strict=True):
            mask = demand.judge(view)
            if mask is not None and mask.any():
                tally.add(view, mask)
                bad = mask if bad is None else bad | mask
        return bad

    def merge(self, later: RowwiseState) -> None:
        """Add up."""
        self._seen += later._seen
        for mine, other in zip(self._tallies, later._tallies, strict=True):
            mine.merge(other)

    def conclude(self) -> Sequence[Finding]:
        """Return a finding for each demand that some row broke."""
        return [
            finding(
                self._context,
                tally,
                rule=self._rule,
                column=demand.column,
                demand=demand.words,
                seen=self._seen,
            )
            for demand, tally in zip(self._demands, self._tallies, strict=True)
            if tally.count
        ]
