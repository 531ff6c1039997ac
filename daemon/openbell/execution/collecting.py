"""Functions that return pipelines, each called in a process of its own.

A definition is the user's code: it may raise, hang, print or leave, and none of that may harm the
process that loads a configuration. These processes are not the pool's workers, because a
configuration is read before there is a pool, and by commands that never have one. `collect` blocks
until all have answered or run out of time: call it in a thread where there is a loop.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Self

from openbell.config.python_pipelines import Collected
from openbell.execution.process import describe_exit, without_private
from openbell.sdk.clock import Clock, SystemClock

TIME_LIMIT_S = 20.0
"""For all functions together, which run beside each other; less than a client waits for a reload."""

LARGEST_ANSWER_BYTES = 16 * 1024 * 1024
_TAIL_CHARS = 400


def collect(
    functions: Sequence[str],
    folder: Path,
    *,
    env: Mapping[str, str],
    time_limit_s: float = TIME_LIMIT_S,
    clock: Clock | None = None,
) -> tuple[Collected, ...]:
    """Return what each of `functions` returns; one that fails has an error in words."""
    clock = clock or SystemClock()
    deadline_s = clock.monotonic() + time_limit_s
    with ExitStack() as stack:
        calls = [
            stack.enter_context(_Call(function, time_limit_s).begun(folder, env))
            for function in functions
        ]
        return tuple(call.answer(deadline_s - clock.monotonic()) for call in calls)


class _Call:
    """One function in its process."""

    def __init__(self, function: str, time_limit_s: float) -> None:
        self._function = function
        self._time_limit_s = time_limit_s
        self._process: subprocess.Popen[bytes] | None = None
        self._refusal = ""

    @contextlib.contextmanager
    def begun(self, folder: Path, env: Mapping[str, str]) -> Iterator[Self]:
        """Start the process; in the end it is gone, with all that it started."""
        with tempfile.TemporaryFile() as self._answer, tempfile.TemporaryFile() as self._said:
            try:
                self._process = self._start(folder, env)
            except OSError as error:
                self._refusal = f"cannot be called: {error}"
            try:
                yield self
            finally:
                self._end()

    def answer(self, left_s: float) -> Collected:
        """Return what the function returned within `left_s` seconds, or what went wrong."""
        if self._process is None:
            return Collected(function=self._function, error=self._refusal)
        try:
            exit_code = self._process.wait(max(0.0, left_s))
        except subprocess.TimeoutExpired:
            return Collected(
                function=self._function,
                error=f"did not return within {self._time_limit_s:g} s",
                hint="a definition is computed whenever the configuration is read: keep it quick",
            )
        return _answer(self._function, exit_code, self._answer, self._said)

    def _start(self, folder: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [
                sys.executable,
                "-m",
                "openbell.execution.worker.definitions",
                self._function,
                str(folder),
                str(self._answer.fileno()),
                str(LARGEST_ANSWER_BYTES),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
            pass_fds=(self._answer.fileno(),),
            env=without_private(env),
            start_new_session=True,
        )

    def _end(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _answer(function: str, exit_code: int, answer: IO[bytes], said: IO[bytes]) -> Collected:
    answer.seek(0)
    content = answer.read(LARGEST_ANSWER_BYTES + 1)
    if not content:
        said.seek(0)
        tail = said.read().decode("utf-8", "replace").strip()[-_TAIL_CHARS:]
        last = tail.splitlines()[-1] if tail else ""
        how = describe_exit(exit_code)
        return Collected(function=function, error=f"ended its process ({how})", hint=last)
    found = json.loads(content)
    return Collected(function=function, **found)
