"""`op: branch`: a way is chosen by a value. Comparisons are simple and nothing is evaluated."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from openbell.sdk.errors import FatalError
from openbell.supervisor.answers.question import Answer, Question, value

_SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}


def is_instant(_question: Question) -> bool:
    """Return True: there is nothing to wait for."""
    return True


def at_once(question: Question) -> Answer:
    """Return the label of the first case that fits."""
    settings = question.settings
    given = _given(question)
    label = next(
        (label for label, case in settings["cases"].items() if fits(given, case)),
        settings["otherwise"] if settings["cases"] else str(given),
    )
    return Answer(outcome=label, output=value({"value": given, "label": label}))


async def answer(question: Question) -> Answer:
    """Return the label."""
    return at_once(question)


def _given(question: Question) -> Any:  # noqa: ANN401 - plain JSON
    """Return what is compared: a value, or what a node made, or else how that ended."""
    node = question.settings["of"]
    if node is None:
        return question.settings["value"]
    context = question.context
    if node not in context.pipeline.node(question.node).needs:
        raise FatalError(f"it compares what {node!r} made, which it does not need")
    made = context.outputs.get(node)
    if made is not None and made.get("kind") == "value":
        return made["value"]
    return context.outcomes.get(node, "")


def fits(given: Any, case: Any) -> bool:  # noqa: ANN401 - plain JSON
    """Return whether `given` is what `case` says: a value, or text such as `>= 3` or `in a, b`."""
    if not isinstance(case, str):
        return bool(given == case) and isinstance(given, bool) == isinstance(case, bool)
    text = case.strip()
    if text.startswith("in "):
        return any(_equal(given, part.strip()) for part in text[3:].split(","))
    for sign, compare in _SIGNS.items():
        if text.startswith(sign):
            return _compared(given, text[len(sign) :].strip(), sign, compare)
    return _equal(given, text)


def _equal(given: Any, text: str) -> bool:  # noqa: ANN401 - plain JSON
    number = _number(text)
    if number is not None and isinstance(given, int | float) and not isinstance(given, bool):
        return bool(given == number)
    return _plain(given) == text


def _compared(given: Any, text: str, sign: str, compare: Callable[[Any, Any], bool]) -> bool:  # noqa: ANN401 - plain JSON
    if sign in {"==", "!="}:
        return _equal(given, text) is (sign == "==")
    wanted, number = _number(text), _number(_plain(given))
    if wanted is not None and number is not None:
        return compare(number, wanted)
    if wanted is None and isinstance(given, str):
        return compare(given, text)
    raise FatalError(f"{given!r} cannot be compared with {text!r} by {sign}")


def _plain(given: Any) -> str:  # noqa: ANN401 - plain JSON
    if isinstance(given, bool):
        return "true" if given else "false"
    return "" if given is None else str(given)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
