"""`op: noop`: takes some time and ends as it is told; for rehearsals, tests and joints of a graph."""

from __future__ import annotations

from openbell.supervisor.answers.question import Answer, Question, value


def is_instant(question: Question) -> bool:
    """Return whether there is nothing to wait for."""
    return not question.settings["seconds"]


def at_once(question: Question) -> Answer:
    """Return how it was told to end."""
    settings = question.settings
    output = None if settings["value"] is None else value(settings["value"])
    return Answer(outcome=settings["outcome"], output=output)


async def answer(question: Question) -> Answer:
    """Return once its time is over."""
    left_s = question.left_s(question.settings["seconds"])
    await question.context.services.clock.sleep(left_s)
    return at_once(question)
