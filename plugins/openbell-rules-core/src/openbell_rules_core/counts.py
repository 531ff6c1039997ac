"""`row_count` and `null_share`: answered at the end of the interval."""

from __future__ import annotations

from collections.abc import Sequence

from openbell.sdk.arrow import BatchView
from openbell.sdk.rules import RuleContext
from openbell.sdk.values import Finding, Severity
from openbell_rules_core.columns import require
from openbell_rules_core.settings import NullShareSettings, RowCountSettings
from openbell_rules_core.tally import Tally, identity
from openbell_rules_core.values import missing


class RowCount:
    """Rule `row_count`: the number of rows lies between `min` and `max`, both allowed."""

    def __init__(self, settings: RowCountSettings) -> None:
        self._settings = settings

    def begin(self, context: RuleContext) -> RowCountState:
        """Return a state that has seen no row."""
        return RowCountState(self._settings, context)


class RowCountState:
    """How many rows there were."""

    def __init__(self, settings: RowCountSettings, context: RuleContext) -> None:
        self._settings = settings
        self._context = context
        self._seen = 0

    def observe(self, view: BatchView) -> None:
        """Count a batch."""
        self._seen += view.row_count

    def merge(self, later: RowCountState) -> None:
        """Add up."""
        self._seen += later._seen

    def conclude(self) -> Sequence[Finding]:
        """Return one finding when there are too few or too many rows."""
        low, high = self._settings.min, self._settings.max
        if self._seen < low:
            limit, words = low, f"fewer than {low:,}"
        elif high is not None and self._seen > high:
            limit, words = high, f"more than {high:,}"
        else:
            return []
        return [
            Finding(
                rule="row_count",
                severity=self._context.severity,
                message=f"{self._seen:,} rows, {words}",
                metric=float(self._seen),
                threshold=float(limit),
            )
        ]


class NullShare:
    """Rule `null_share`: the share of nulls and NaN in a column stays at or under its limits.

    Above `fail` the finding asks for `fail`, above `warn` for `warn`, whatever the
    gate's severity: the parameters say it by their names. No rows have no share.
    """

    def __init__(self, settings: NullShareSettings) -> None:
        self._settings = settings

    def begin(self, context: RuleContext) -> NullShareState:
        """Return a state that has seen no row."""
        require(context, "null_share", [self._settings.column])
        return NullShareState(self._settings, context)


class NullShareState:
    """How many rows there were, and how many without a value."""

    def __init__(self, settings: NullShareSettings, context: RuleContext) -> None:
        self._settings = settings
        self._seen = 0
        self._tally = Tally((*identity(context), settings.column))

    def observe(self, view: BatchView) -> None:
        """Count a batch."""
        self._seen += view.row_count
        mask = missing(view, self._settings.column)
        if mask is not None:
            self._tally.add(view, mask)

    def merge(self, later: NullShareState) -> None:
        """Add up."""
        self._seen += later._seen
        self._tally.merge(later._tally)

    def conclude(self) -> Sequence[Finding]:
        """Return one finding when the share is above a limit, for the worse of them."""
        share = self._tally.count / self._seen if self._seen else 0.0
        warn, fail = self._settings.warn, self._settings.fail
        if fail is not None and share > fail:
            severity, limit = Severity.FAIL, fail
        elif warn is not None and share > warn:
            severity, limit = Severity.WARN, warn
        else:
            return []
        column = self._settings.column
        return [
            Finding(
                rule="null_share",
                severity=severity,
                column=column,
                message=f"{self._tally.count:,} of {self._seen:,} rows: {column} is missing "
                f"({share:.4%}, more than {limit:.4%})",
                row_count=self._tally.count,
                metric=share,
                threshold=limit,
                examples=tuple(self._tally.examples),
            )
        ]
