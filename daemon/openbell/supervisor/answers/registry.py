"""Which control operators there are. Nothing here changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from openbell.supervisor.answers import noop
from openbell.supervisor.answers.question import Answer, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """How one operator is answered: `at_once` where `is_instant` says so, else by `answer`."""

    answer: Callable[[Question], Awaitable[Answer]]
    is_instant: Callable[[Question], bool] = lambda _: False
    at_once: Callable[[Question], Answer] | None = None


ANSWERS: Mapping[str, Answers] = {
    "noop": Answers(answer=noop.answer, is_instant=noop.is_instant, at_once=noop.at_once),
}
