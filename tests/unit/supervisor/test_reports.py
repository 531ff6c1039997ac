"""What workers report and ask on their way, on a manual clock."""

from __future__ import annotations

from typing import Any

import pytest
from doubles.scripted import JOB, Answer, run_state, succeed, world

from openbell.execution.pool import Listener, StopSignal
from openbell.execution.protocol import Ask, ChainTask, Found, Hello, Logged, Progressed
from openbell.model.events import NodeProgressed, ProviderRequested, QualityChecked
from openbell.model.runs import LogLine, RunState
from openbell.sdk import Finding, Severity, to_us
from openbell.testing.requests import START

pytestmark = pytest.mark.unit


def ask(what: str, **more: Any) -> Ask:
    return Ask(ask_id=1, what=what, provider="v", **more)


async def test_reports_are_put_on_record() -> None:
    async def report(task: ChainTask, listener: Listener, stop: StopSignal) -> Answer:
        line = LogLine(at=START, stream="stdout", level="INFO", text="hello")
        finding = Finding(rule="r", severity=Severity.WARN, message="m", row_count=1)
        for message in (
            Logged(node="fetch", lines=(line,)),
            Found(node="check", chunk=0, verdict="warn", findings=(finding,)),
            Progressed(node="fetch", rows=5, batches=1, total_rows=9),
            Progressed(node="fetch", rows=7, batches=2, total_rows=9, request_count=2),
        ):
            await listener.hear(message)
        return await succeed(task, listener, stop)

    async with world(scripts=[report]) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        assert await run_state(at, run.run_id) is RunState.SUCCESS
        assert [s.line.text for s in await at.history.logs(run.run_id)] == ["hello"]
        assert [q.rule for q in await at.history.quality(run.run_id)] == ["r"]
        assert [p.rows for p in at.seen.of(NodeProgressed)] == [5, 7]
        assert [p.request_count for p in at.seen.of(ProviderRequested)] == [2]
        assert len(at.seen.of(QualityChecked)) == 1


async def test_a_word_that_is_no_report_is_a_bug() -> None:
    caught: list[Exception] = []

    async def odd(task: ChainTask, listener: Listener, stop: StopSignal) -> Answer:
        try:
            await listener.hear(Hello(protocol_version=1, openbell_version="", pid=1))
        except AssertionError as error:
            caught.append(error)
        return await succeed(task, listener, stop)

    async with world(scripts=[odd]) as at:
        await at.engine.submit(JOB)
        await at.settle()
        assert "not a report" in str(caught[0])


@pytest.mark.parametrize(
    ("question", "seconds", "granted"),
    [
        (ask("pace", request_count=1), 0, True),
        (ask("wait", instant_us=0), 0, True),
        (ask("retry", failures=1, error_kind="transient"), 10, True),
        (ask("retry", failures=1, error_kind="transient", retry_after_s=33.0), 33, True),
        (ask("retry", failures=3, error_kind="transient"), 0, False),
        (ask("retry", failures=3, error_kind="rate_limited", retry_after_s=7.0), 7, True),
        (ask("retry", failures=20, error_kind="quota_exhausted", retry_after_s=7.0), 0, False),
    ],
)
async def test_questions_are_answered_when_their_time_has_come(
    question: Ask, seconds: float, granted: bool
) -> None:
    answers: list[tuple[float, tuple[bool, int]]] = []

    async def play(task: ChainTask, listener: Listener, stop: StopSignal) -> Answer:
        answer = await listener.answer(question, stop)
        answers.append((at.clock.monotonic(), answer))
        return await succeed(task, listener, stop)

    async with world(scripts=[play]) as at:
        await at.engine.submit(JOB)
        await at.settle(100)
        ((waited_s, (is_granted, now_us)),) = answers
        assert (round(waited_s, 3), is_granted) == (seconds, granted)
        assert now_us == to_us(at.clock.now()) - int((100 - waited_s) * 1_000_000)


async def test_who_is_to_stop_waits_no_longer() -> None:
    answers: list[bool] = []

    async def play(task: ChainTask, listener: Listener, stop: StopSignal) -> Answer:
        far = ask("wait", instant_us=to_us(at.clock.now()) + 10**12)
        answers.append((await listener.answer(far, stop))[0])
        answers.append((await listener.answer(far, stop))[0])
        return await succeed(task, listener, stop)

    async with world(scripts=[play]) as at:
        await at.engine.submit(JOB)
        await at.settle(5)
        assert answers == []
        at.engine.request_stop(fast=False)
        await at.settle()
        assert answers == [False, False]
