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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from openbell.config.python_pipelines import Collected
from openbell.execution.process import describe_exit, without_private

TIME_LIMIT_S = 30.0
LARGEST_ANSWER_BYTES = 16 * 1024 * 1024
_TAIL_CHARS = 400


def collect(
    functions: Sequence[str],
    folder: Path,
    *,
    env: Mapping[str, str],
    time_limit_s: float = TIME_LIMIT_S,
) -> tuple[Collected, ...]:
    """Return what each of `functions` returns; one that fails has an error in words."""
    return tuple(_called(name, folder, env, time_limit_s=time_limit_s) for name in functions)


def _called(
    function: str, folder: Path, env: Mapping[str, str], *, time_limit_s: float
) -> Collected:
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [
                    sys.executable,
                    "-m",
                    "openbell.execution.worker.definitions",
                    function,
                    str(folder),
                    str(answer.fileno()),
                    str(LARGEST_ANSWER_BYTES),
                ],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                pass_fds=(answer.fileno(),),
                env=without_private(env),
                start_new_session=True,
            )
        except OSError as error:
            return Collected(function=function, error=f"cannot be called: {error}")
        try:
            exit_code = process.wait(time_limit_s)
        except subprocess.TimeoutExpired:
            return Collected(
                function=function,
                error=f"did not return within {time_limit_s:g} s",
                hint="a definition is computed whenever the configuration is read: keep it quick",
            )
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return _answer(function, exit_code, answer, said)


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
