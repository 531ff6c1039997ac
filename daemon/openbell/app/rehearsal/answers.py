"""Control nodes as a rehearsal answers them: nobody is asked, told or looked at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from openbell.app.rehearsal.chance import chance
from openbell.model.pipelines import Pipeline, Rehearsal
from openbell.sdk.clock import Clock
from openbell.sdk.errors import TransientError
from openbell.supervisor.answers.question import Answer, Question, value
from openbell.supervisor.answers.registry import ANSWERS

_SUCCESS = Rehearsal().outcome
_OUTSIDE = ("file", "url")


def written(pipelines: Iterable[Pipeline]) -> frozenset[str]:
    """Return the datasets that these pipelines may write."""
    return frozenset(
        str(node.settings["dataset"])
        for pipeline in pipelines
        if any(node.op == "write" for node in pipeline.nodes)
        for node in pipeline.nodes
        if node.settings.get("dataset")
    )


def asked_for(pipelines: Iterable[Pipeline]) -> frozenset[str]:
    """Return the datasets whose sessions pipelines or their nodes wait for."""
    found: set[str] = set()
    for pipeline in pipelines:
        found.update(pipeline.needs_dataset)
        found.update(
            str(node.settings["dataset"])
            for node in pipeline.nodes
            if node.op == "wait" and node.settings.get("dataset")
        )
    return frozenset(found)


class PlayedAnswers:
    """Stands in for the world: what a node declares, or an answer that touches nothing.

    What is left to the daemon waits for nothing but time and what is in history.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        seed: int,
        whose_run: Callable[[str], str],
        pipelines: Mapping[str, Pipeline],
    ) -> None:
        self._clock = clock
        self._seed = seed
        self._whose_run = whose_run
        self._written = written(pipelines.values())

    def way(self, question: Question, op: str) -> Callable[[Question], Awaitable[Answer]] | None:
        """Return how a node is played, None for one that the daemon itself answers."""
        if question.node in question.context.pipeline.rehearsal:
            return self._as_declared
        if op == "notify" or (op == "wait" and self._is_outside(question.settings)):
            return self._at_once
        return None

    def _is_outside(self, settings: Mapping[str, Any]) -> bool:
        dataset = settings["dataset"]
        is_foreign = dataset is not None and dataset not in self._written
        return is_foreign or any(settings[name] is not None for name in _OUTSIDE)

    async def _at_once(self, question: Question) -> Answer:
        settings = question.settings
        return Answer(output=value({name: settings.get(name) for name in _OUTSIDE}))

    async def _as_declared(self, question: Question) -> Answer:
        context = question.context
        declared = context.pipeline.rehearsal[question.node]
        if declared.duration_s > 0:
            await self._clock.sleep(declared.duration_s)
        run = self._whose_run(context.run.run_id)
        luck = chance(self._seed, run, question.node, question.item, question.attempt)
        if luck < declared.fail_rate:
            raise TransientError("this attempt fails in the rehearsal (fail_rate)")
        outcome = declared.outcome
        if outcome == _SUCCESS:
            outcome = _usual(question)
        return Answer(outcome=outcome, output=value({"label": outcome}))


def _usual(question: Question) -> str:
    """Return the label of a node that declares none: the first one, or what it would say itself."""
    op = _op(question)
    at_once = ANSWERS[op].at_once
    if at_once is not None:
        return at_once(question).outcome
    return str(question.settings["labels"][0]) if op == "approve" else _SUCCESS


def _op(question: Question) -> str:
    """Return the operator of the node that asks."""
    return question.context.pipeline.node(question.node).op
