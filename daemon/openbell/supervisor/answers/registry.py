"""Which control operators there are. Nothing here changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from openbell.history.errors import HISTORY_TROUBLE
from openbell.supervisor.answers import approve, branch, noop, notify, subrun, wait
from openbell.supervisor.answers.question import Answer, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """How one operator is answered: `at_once` where `is_instant` says so, else by `answer`.

    `abandon` ends what an attempt began whose time is up.
    """

    answer: Callable[[Question], Awaitable[Answer]]
    is_instant: Callable[[Question], bool] = lambda _: False
    at_once: Callable[[Question], Answer] | None = None
    abandon: Callable[[Question], Awaitable[None]] | None = None


ANSWERS: Mapping[str, Answers] = {
    "noop": Answers(answer=noop.answer, is_instant=noop.is_instant, at_once=noop.at_once),
    "wait": Answers(answer=wait.answer),
    "branch": Answers(answer=branch.answer, is_instant=branch.is_instant, at_once=branch.at_once),
    "approve": Answers(answer=approve.answer),
    "notify": Answers(answer=notify.answer),
    "pipeline": Answers(answer=subrun.answer, abandon=subrun.abandon),
}


def answered_at_once(question: Question, op: str) -> Answer | None:
    """Return the answer of a node that takes no time, None for one that may take some."""
    answers = ANSWERS[op]
    if answers.at_once is None or not answers.is_instant(question) or _stand_in(question, op):
        return None
    return answers.at_once(question)


async def answered(question: Question, op: str) -> Answer:
    """Return the answer; of whoever stands in for the world, where somebody does.

    While history's disk refuses it waits and asks again: that is no failure of the node.
    """
    way = _stand_in(question, op) or ANSWERS[op].answer
    while True:
        try:
            return await way(question)
        except HISTORY_TROUBLE as error:
            await question.context.services.clock.sleep(error.retry_after_s or 0.0)


def _stand_in(question: Question, op: str) -> Callable[[Question], Awaitable[Answer]] | None:
    stand_in = question.context.services.stand_in
    return None if stand_in is None else stand_in.way(question, op)
