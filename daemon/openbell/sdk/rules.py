"""The contract of a rule: a plugin that checks data (clauses in `daemon/spec/rule.md`)."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from openbell.sdk.schemas import TableSchema
from openbell.sdk.values import BarWidth, Finding, Interval, SessionTable, Severity

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from openbell.sdk.arrow import BatchView


class RuleScope(enum.StrEnum):
    """What a rule needs to see before it can answer.

    `row`: each row is judged as its batch arrives, with what came before in mind; batches may be
    published one by one. `interval`: the answer is known at the end only, so nothing is published
    before it.
    """

    ROW = "row"
    INTERVAL = "interval"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleContext:
    """What a rule may know beside the rows. `severity` is what the gate does with its findings."""

    schema: TableSchema
    keys: tuple[str, ...]
    bar: BarWidth
    span: Interval
    sessions: SessionTable
    symbols: tuple[str, ...]
    severity: Severity


class RuleState(Protocol):
    """What one rule knows of the rows seen so far.

    Pure: depends on the rows, the parameters and the context alone. `a.merge(b)` is the state that
    would have come from a's rows followed by b's, but for bad-row masks already given.
    """

    def observe(self, view: BatchView) -> npt.NDArray[np.bool_] | None:
        """Take in one batch; return the mask of its bad rows (True is bad, length = rows) or None.

        Rules of scope `interval` return None.
        """
        ...

    def merge(self, later: Self) -> None:
        """Take in what `later` saw, as if its rows had come after these."""
        ...

    def conclude(self) -> Sequence[Finding]:
        """Return what was found so far; empty when all is well. May be called again later."""
        ...


class Rule(Protocol):
    """A check with its parameters, made from its settings in a worker process."""

    def begin(self, context: RuleContext) -> RuleState:
        """Return a state that has seen no row. Raises `SettingsError` for unknown columns."""
        ...
