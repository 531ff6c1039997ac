"""A provider, a rule and a backend that do well twice and then wrong, as their settings say."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from doubles.bad.misdeeds import commit
from doubles.bad.plugin import BadSettings
from openbell.sdk import Capabilities, FetchRequest, Finding, Page, RuleContext, Staged
from openbell.sdk.arrow import BatchView
from openbell.sdk.backends import StageRequest
from openbell.testing import FakeBackend, provided_bars

PAGES, ROWS, GOOD = 4, 10, 2
FETCHED_S = 0.5
"""How long the rule and the backend wait before they do wrong: all pages are fetched by then."""


class BadProvider:
    """Four pages of ten bars; before the third it does wrong."""

    def __init__(self, settings: BadSettings) -> None:
        self._how = settings

    def capabilities(self) -> Capabilities:
        return Capabilities(schemas=("bars_ohlcv",))

    def fetch(self, request: FetchRequest) -> Iterator[Page]:
        first = 0 if request.cursor is None else int(request.cursor) + 1
        for number in range(first, PAGES):
            if number == GOOD:
                wrong = commit(self._how.how, self._how.mark)
                if self._how.how == "wrong":
                    yield wrong
            start = request.span.start + timedelta(minutes=number * ROWS)
            yield Page(batches=(provided_bars(count=ROWS, start=start),), cursor=str(number))

    def close(self) -> None:
        pass


class BadRule:
    """Finds nothing; looking at the third batch it does wrong."""

    def __init__(self, settings: BadSettings) -> None:
        self._how = settings

    def begin(self, context: RuleContext) -> BadRuleState:
        return BadRuleState(self._how)


class BadRuleState:
    """What it looked at."""

    def __init__(self, how: BadSettings) -> None:
        self._how = how
        self._batches = 0

    def observe(self, view: BatchView) -> Any:
        self._batches += 1
        if self._batches > GOOD:
            wrong = _late(self._how)
            if self._how.how == "wrong":
                return wrong
        return np.zeros(view.row_count, dtype=bool)

    def merge(self, later: BadRuleState) -> None:
        self._batches += later._batches

    def conclude(self) -> Sequence[Finding]:
        return ()


class BadBackend(FakeBackend):
    """Stores in memory; staging the third chunk it does wrong."""

    def __init__(self, settings: BadSettings) -> None:
        super().__init__()
        self._how = settings
        self._stages = 0

    def stage(self, request: StageRequest, batches: Iterable[pa.RecordBatch]) -> Staged:
        self._stages += 1
        if self._stages > GOOD:
            wrong = _late(self._how)
            if self._how.how == "wrong":
                return wrong  # type: ignore[no-any-return]
        return super().stage(request, batches)


def _late(how: BadSettings) -> Any:
    if how.how:
        time.sleep(FETCHED_S)
    return commit(how.how, how.mark)
