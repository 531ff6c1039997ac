"""`regex` and `set`: judged on the dictionary of a column, not on its rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from openbell.sdk.arrow import BatchView, arrow_type
from openbell.sdk.errors import Problem, SettingsError
from openbell.sdk.rules import RuleContext
from openbell_rules_core.columns import TEXTS, require
from openbell_rules_core.rowwise import Demand, RowwiseState
from openbell_rules_core.settings import RegexSettings, SetSettings
from openbell_rules_core.tally import Mask


def _rows_of(view: BatchView, name: str, wrong: Mask) -> Mask | None:
    """Return the mask of rows whose dictionary value is `wrong`; nulls are passed over."""
    if not wrong.any():
        return None
    codes, _ = view.codes(name)
    mask: Mask = np.append(wrong, [False])[codes]  # a null has code -1: the last
    return mask


class Regex:
    """Rule `regex`: the text matches `pattern` from its first to its last character (RE2 syntax)."""

    def __init__(self, settings: RegexSettings) -> None:
        self._column = settings.column
        self._pattern = settings.pattern

    def begin(self, context: RuleContext) -> RowwiseState:
        """Return a state that has seen no row."""
        require(context, "regex", [self._column], TEXTS)
        try:
            self._matches(pa.array([""]))
        except pa.ArrowInvalid as error:
            hint = "look-around and back references do not exist in RE2"
            problem = Problem(key="pattern", message=f"rule regex: {error}", hint=hint)
            raise SettingsError([problem]) from error
        words = f"{self._column} does not match {self._pattern}"
        demand = Demand(self._column, words, self._judge, (self._column,))
        return RowwiseState("regex", context, [demand])

    def _judge(self, view: BatchView) -> Mask | None:
        _, dictionary = view.codes(self._column)
        return _rows_of(view, self._column, ~self._matches(dictionary))

    def _matches(self, texts: pa.Array) -> Mask:
        found = pc.match_substring_regex(texts, rf"\A(?:{self._pattern})\z")
        mask: Mask = found.fill_null(True).to_numpy(zero_copy_only=False)
        return mask


class OneOf:
    """Rule `set`: the value is one of `values`."""

    def __init__(self, settings: SetSettings) -> None:
        self._column = settings.column
        self._values = settings.values
        self._allowed: Any = None

    def begin(self, context: RuleContext) -> RowwiseState:
        """Return a state that has seen no row."""
        require(context, "set", [self._column])
        kind = arrow_type(context.schema.column(self._column).type)
        try:
            allowed = pa.array(self._values, kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            message = f"rule set: column {self._column!r} is {kind}: {error}"
            problem = Problem(key="values", message=message, hint=f"write values of type {kind}")
            raise SettingsError([problem]) from error
        words = f"{self._column} is not one of {', '.join(str(v) for v in self._values)}"

        def judge(view: BatchView) -> Mask | None:
            return self._judge(view, allowed)

        return RowwiseState("set", context, [Demand(self._column, words, judge, (self._column,))])

    def _judge(self, view: BatchView, allowed: pa.Array) -> Mask | None:
        if pa.types.is_string(allowed.type):
            _, dictionary = view.codes(self._column)
            known = pc.is_in(dictionary, allowed).to_numpy(zero_copy_only=False)
            return _rows_of(view, self._column, ~known)
        column = view.batch.column(self._column)
        fine: Mask = pc.is_in(column, allowed).to_numpy(zero_copy_only=False)
        valid = view.valid(self._column)
        return ~fine if valid is None else ~fine & valid
