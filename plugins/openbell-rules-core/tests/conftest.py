"""What the tests of the rules share: rows, batches cut anywhere, and running a rule over them."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from openbell.sdk.arrow import BatchView, chunk_schema
from openbell.sdk.rules import RuleContext, RuleState
from openbell.sdk.schemas import BARS_OHLCV
from openbell.sdk.values import Finding, Severity
from openbell.testing.conformance.rule import rule_context
from openbell.testing.requests import START
from openbell_rules_core import openbell_register_rules

Row = dict[str, Any]

SCHEMA = pa.schema([pa.field(f.name, f.type) for f in chunk_schema(BARS_OHLCV)])


def at(minute: float) -> datetime:
    """Return an instant `minute` minutes after the first bar of the test data."""
    return START + timedelta(minutes=minute)


def row(minute: float | None, symbol: str | None = "A", **values: Any) -> Row:
    """Return a good bar; keywords replace values."""
    made: Row = {"provider": "p", "symbol": symbol, "interval": "1min"}
    made["ts"] = None if minute is None else at(minute)
    made |= {"open": 2.0, "high": 3.0, "low": 1.0, "close": 2.0, "volume": 10.0}
    return made | {"vwap": 2.0, "trade_count": 5} | values


def batch(rows: Sequence[Row]) -> pa.RecordBatch:
    """Return rows as a chunk's batch; dictionaries hold values in the order they come."""
    arrays = []
    for field in SCHEMA:
        values = [r[field.name] for r in rows]
        is_text = pa.types.is_dictionary(field.type)
        arrays.append(
            pa.array(values, pa.string()).dictionary_encode()
            if is_text
            else pa.array(values, field.type)
        )
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def cut(rows: Sequence[Row], places: Sequence[int]) -> list[pa.RecordBatch]:
    """Return rows as batches that end at `places` (any numbers, taken modulo the length)."""
    ends = sorted({place % (len(rows) + 1) for place in places} | {0, len(rows)})
    return [batch(rows[a:b]) for a, b in itertools.pairwise(ends)] or [batch([])]


def make(name: str, **params: Any) -> Any:
    """Return the rule `name` with these parameters, made as the daemon makes it."""
    (spec,) = [s for s in openbell_register_rules() if s.name == name]
    module, _, attribute = spec.factory.partition(":")
    factory = getattr(importlib.import_module(module), attribute)
    return factory(spec.settings_model(**params))


@dataclass(frozen=True)
class Answer:
    """What a rule said: positions of bad rows in the stream, and findings."""

    bad: list[int]
    findings: list[Finding]

    @property
    def count(self) -> int:
        return sum(finding.row_count for finding in self.findings)


def run(
    rule: Any, batches: Sequence[pa.RecordBatch], context: RuleContext | None = None
) -> tuple[Answer, RuleState]:
    """Return the answer of a rule to a stream of batches, and its state."""
    state = rule.begin(context or CONTEXT)
    bad, seen = [], 0
    for one in batches:
        mask = state.observe(BatchView(one))
        if mask is not None:
            assert mask.shape == (one.num_rows,)
            bad += (mask.nonzero()[0] + seen).tolist()
        seen += one.num_rows
    return Answer(bad, list(state.conclude())), state


CONTEXT = rule_context(symbols=("A", "B", "C"), severity=Severity.QUARANTINE)


class Kit:
    """All of the above, for tests: a test module cannot import its conftest."""

    row = staticmethod(row)
    at = staticmethod(at)
    batch = staticmethod(batch)
    cut = staticmethod(cut)
    make = staticmethod(make)
    run = staticmethod(run)
    context = CONTEXT

    @staticmethod
    def ask(name: str, rows: Sequence[Row], **params: Any) -> Answer:
        """Return the answer of rule `name` to rows in one batch."""
        return run(make(name, **params), [batch(rows)])[0]


@pytest.fixture(scope="session")
def kit() -> Kit:
    """Return the helpers of these tests."""
    return Kit()
