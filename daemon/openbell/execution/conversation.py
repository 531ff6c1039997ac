"""What is said about one task between the daemon and a worker.

Most tasks say little: then this costs no more than the frames themselves. A task group is made when
the worker asks its first question, which is answered while it goes on to be listened to.
"""

from __future__ import annotations

import anyio
from anyio.abc import TaskGroup

from openbell.execution.executor import Listener, StopSignal
from openbell.execution.process import WorkerProcess
from openbell.execution.protocol import (
    Answer,
    Ask,
    Done,
    Failed,
    StopTask,
    Task,
)


async def converse(
    worker: WorkerProcess,
    task: Task,
    listener: Listener,
    *,
    stop: StopSignal,
    tasks: TaskGroup,
) -> Done | Failed:
    """Give `task` to `worker` and return its end; `tasks` outlives the conversation.

    Raises WorkerLostError, FrameError for a task that cannot be sent, and what `listener` raises.
    """
    await worker.send(task)

    def pass_on() -> None:
        asked = StopTask(is_interrupt=stop.is_interrupt, attempt_id=task.attempt_id)
        tasks.start_soon(worker.send, asked, name="stop a task")

    with stop.heard_by(pass_on):
        while True:
            message = await worker.receive()
            match message:
                case Done() | Failed():
                    return message
                case Ask():
                    return await _with_questions(worker, message, listener, stop)
                case _:
                    await listener.hear(message)


async def _with_questions(
    worker: WorkerProcess, question: Ask, listener: Listener, stop: StopSignal
) -> Done | Failed:
    """Go on with a conversation in which the worker asks; return how the task ended."""
    ended: Done | Failed | Exception
    async with anyio.create_task_group() as answers:
        answers.start_soon(_answer, worker, question, listener, stop)
        try:
            ended = await _listen(worker, listener, stop, answers)
        except Exception as error:  # noqa: BLE001 - raised below, outside the task group
            ended = error
        answers.cancel_scope.cancel()
    if isinstance(ended, Exception):
        raise ended
    return ended


async def _listen(
    worker: WorkerProcess, listener: Listener, stop: StopSignal, answers: TaskGroup
) -> Done | Failed:
    while True:
        message = await worker.receive()
        match message:
            case Done() | Failed():
                return message
            case Ask():
                answers.start_soon(_answer, worker, message, listener, stop)
            case _:
                await listener.hear(message)


async def _answer(
    worker: WorkerProcess, question: Ask, listener: Listener, stop: StopSignal
) -> None:
    is_granted, now_us = await listener.answer(question, stop)
    await worker.send(Answer(ask_id=question.ask_id, is_granted=is_granted, now_us=now_us))
