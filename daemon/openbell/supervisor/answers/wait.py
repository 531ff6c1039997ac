"""`op: wait`: until a file, a dataset's session, a URL or an instant is there."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import anyio

from openbell.execution.pool import SilentListener
from openbell.execution.process import WorkerLostError
from openbell.execution.protocol import CallTask, Done, Failed
from openbell.sdk.errors import FatalError
from openbell.sdk.values import to_us
from openbell.supervisor.answers.question import Answer, Question, value
from openbell.supervisor.deadline import deadline
from openbell.supervisor.facts import session_of
from openbell.supervisor.runs.committed import committed_keys, is_committed, reason_to_look

_PROBE = "openbell.execution.worker.probe:probe_url"
_LONGEST_PROBE_S = 30.0
_THINGS = {
    "file": "file {}",
    "dataset": "the session of dataset {}",
    "url": "{}",
    "until": "{}",
    "seconds": "{} to pass",
}
_FILES = anyio.CapacityLimiter(4)


class WaitedTooLongError(FatalError):
    """What a node waited for did not come before its deadline."""

    kind: ClassVar[str] = "timeout"


async def answer(question: Question) -> Answer:
    """Return once what is waited for is there; raises WaitedTooLongError at the deadline."""
    settings, clock = question.settings, question.context.services.clock
    limit_s = None if settings["deadline"] is None else question.left_s(settings["deadline"])
    found: list[Answer] = []
    looks: list[str] = []
    async with deadline(clock, limit_s):
        found.append(await _way(question)(question, looks))
    if not found:
        raise WaitedTooLongError(
            f"waited {settings['deadline']:g} s for {thing(settings)}{''.join(looks)}"
        )
    return found[0]


def _way(question: Question) -> Callable[[Question, list[str]], Awaitable[Answer]]:
    ways = {"file": _file, "dataset": _dataset, "url": _url, "until": _until, "seconds": _seconds}
    return next(way for name, way in ways.items() if question.settings[name] is not None)


def thing(settings: Mapping[str, Any]) -> str:
    """Return what is waited for, in words; `settings` are filled in or as they are written."""
    for name, words in _THINGS.items():
        given = settings.get(name)
        if given is not None:
            return words.format(f"{given:g} s" if isinstance(given, int | float) else given)
    return "nothing"


async def _seconds(question: Question, _looks: list[str]) -> Answer:
    await question.context.services.clock.sleep(question.left_s(question.settings["seconds"]))
    return Answer()


async def _until(question: Question, _looks: list[str]) -> Answer:
    until: datetime = question.settings["until"]
    await question.context.services.clock.sleep_until(until)
    return Answer()


async def _file(question: Question, looks: list[str]) -> Answer:
    """Wait for a file that has the same size and age at two looks.

    What is no absolute path is beside the configuration, wherever the daemon was started.
    """
    folder = Path(question.context.services.deployment.source).parent
    path, before = str(folder / question.settings["file"]), None
    while True:
        seen = await anyio.to_thread.run_sync(_look, path, limiter=_FILES, abandon_on_cancel=True)
        if seen is not None and seen == before:
            return Answer(output=value({"path": path, "size_bytes": seen[0]}))
        before = seen
        looks[:] = [f": {path} is not there" if seen is None else ": it still changes"]
        await question.context.services.clock.sleep(question.settings["poll"])


def _look(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - runs in a thread
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


async def _url(question: Question, looks: list[str]) -> Answer:
    """Ask a URL from a worker, again and again, until it answers."""
    looks[:] = [": it gave no answer, or no worker was free to ask"]
    context, url = question.context, question.settings["url"]
    services = context.services
    while True:
        now_us = to_us(services.clock.now())
        task = CallTask(
            attempt_id=services.ids.attempt(now_us),
            function=_PROBE,
            arguments={"url": url, "timeout_s": _LONGEST_PROBE_S},
        )
        try:
            done, _ = await services.executor.submit(task, SilentListener(), context.stop)
        except WorkerLostError:
            done = None
        if isinstance(done, Failed) and not done.is_retryable:
            raise FatalError(f"{url} cannot be asked: {done.message}")
        if isinstance(done, Done) and done.result:
            if "missing" not in done.result:
                return Answer(output=value(done.result))
            looks[:] = [f": {done.result['missing']}"]
        await services.clock.sleep(question.settings["poll"])


async def _dataset(question: Question, _looks: list[str]) -> Answer:
    """Wait until the run's session of a dataset is committed; every commit is a reason to look."""
    context, name = question.context, question.settings["dataset"]
    services = context.services
    dataset = services.deployment.datasets.get(name)
    if dataset is None:
        raise FatalError(f"dataset {name!r} is not in the configuration")
    session = await session_of(services.sessions, context.run, dataset.calendar)
    if session is None:
        raise FatalError(f"the run is about no single session, so nothing says which of {name!r}")
    with services.signals.listening(*committed_keys(name)) as signal:
        while not await is_committed(services, dataset, session):
            await reason_to_look(services, signal)
    return Answer(output=value({"dataset": name, "session": session.isoformat()}))
