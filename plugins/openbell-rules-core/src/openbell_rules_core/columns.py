"""Which columns a rule may name, and what to say when it names another."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence

from openbell.sdk.errors import Problem, SettingsError
from openbell.sdk.rules import RuleContext

NUMBERS = frozenset({"int32", "int64", "float32", "float64"})
FLOATS = frozenset({"float32", "float64"})
TEXTS = frozenset({"string"})

_LATER = frozenset({"ingested_at", "run_id"})


def columns_in_flight(context: RuleContext) -> tuple[str, ...]:
    """Return the names of the columns a batch has when rules see it."""
    return tuple(c.name for c in context.schema.columns if c.name not in _LATER)


def require(
    context: RuleContext, rule: str, columns: Sequence[str], types: Collection[str] = ()
) -> None:
    """Raise `SettingsError` unless every one of `columns` exists and has one of `types`."""
    known = columns_in_flight(context)
    problems = []
    for name in columns:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(known)}"
            message = f"rule {rule}: {context.schema.name} has no column {name!r}"
            problems.append(Problem(key=rule, message=message, hint=hint))
        elif types and context.schema.column(name).type not in types:
            kind = context.schema.column(name).type
            message = f"rule {rule}: column {name!r} is {kind}, not {' or '.join(sorted(types))}"
            fitting = [c for c in known if context.schema.column(c).type in types]
            hint = f"columns of that type are {', '.join(fitting)}"
            problems.append(Problem(key=rule, message=message, hint=hint))
    if problems:
        raise SettingsError(problems)
